import { path } from '../formats/format.ts';
import { deliverySetting } from '../setting.ts';
import { describeTransport, routeField } from './transport.ts';

/** A folder on this machine, for trying things out. */
export const capture = describeTransport({
  what: 'a store on this machine for trying things out (`capture`)',
  settings: {
    directory: deliverySetting({
      doc: 'The folder into which the transport `capture` writes each message as `.eml`, and its envelope as `.json`.',
      format: path,
      default: 'captured',
    }),
  },
  route: {
    directory: routeField(path, {
      expected: 'the path of a folder',
      maxLength: 1024,
      description: 'The folder that messages are written to.',
    }),
  },
  declaredAs: 'For the transport `capture`.',
  carries: {
    messageBytes: Number.POSITIVE_INFINITY,
    longLines: true,
    strictTypes: false,
    smtpUtf8: true,
    bouncesToSender: false,
    rules: null,
  },
});
