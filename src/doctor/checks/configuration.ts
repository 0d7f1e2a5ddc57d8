import { advice, type DoctorParts, type Finding, ok } from '../finding.ts';

/** What is wrong with the configuration ends the command before anything is looked at; this is what the rest of it is. */
export async function checkConfiguration({ config, settings, warnings }: DoctorParts): Promise<Finding[]> {
  const said = settings.filter(({ source }) => source !== 'default').length;
  return [
    ok('configuration', `right: ${said} settings are said, in the pipeline ${config.pipeline}`),
    ...warnings.map(warning => {
      const [, setting = 'configuration', text = warning] = /^(\S+): (.+)$/s.exec(warning) ?? [];
      return advice(setting, text.replace(/\.$/, ''), 'see it with: smtp-relay config print');
    }),
  ];
}
