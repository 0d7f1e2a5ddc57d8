import { oneOf } from '../formats/format.ts';
import { setting } from '../setting.ts';

/** What the relay writes about itself. */
export const logging = {
  logLevel: setting({
    doc: 'The least severe entries that are logged. The contents of messages and API keys are never logged, at any level.',
    format: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    default: 'info',
    reloadable: true,
  }),
  logFormat: setting({
    doc: '`json`: one JSON object a line, for log collectors. `pretty`: for people at a terminal.',
    format: oneOf('json', 'pretty'),
    default: 'json',
  }),
};
