import { oneOf } from '../formats/format.ts';
import { delay } from '../formats/time.ts';
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
  sessions: {
    kept: setting({
      doc: 'How long sessions in which something was refused or deferred are kept, for `smtp-relay sessions`: what client and relay said, without credentials and without messages, and 200 of a key or address at most; and for as long the sessions of messages that go to nobody, for the [inbox](testing-your-app.md). `0s`: none is kept.',
      format: delay,
      default: 86_400_000,
      reloadable: true,
    }),
  },
};
