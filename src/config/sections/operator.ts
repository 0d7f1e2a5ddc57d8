import { boolean, httpUrl } from '../formats/format.ts';
import { setting } from '../setting.ts';

/** The page for those who run the process. */
export const operator = {
  operatorPage: {
    enabled: setting({
      doc: 'Whether the operational listener shows at `/` what this process and the whole installation are doing, see [operations](operations.md#the-page). Read only, and without a log-in, as `/metrics` and `/healthz` are; it shows no more of a message, key or address than those.',
      format: boolean,
      default: true,
    }),
    guideUrl: setting({
      doc: 'Where its problems lead to: the troubleshooting guide, whose paragraphs are named behind a `#`.',
      format: httpUrl,
      default: 'https://github.com/opensend/opensend-smtp-relay/blob/main/docs/troubleshooting.md',
    }),
  },
};
