import type { IncomingMessage } from 'node:http';
import type { Fault } from './faults.ts';
import { FakeSes, type FakeSesOptions } from './server.ts';

/*
 * node test/support/ses/main.ts ['<JSON of FakeSesOptions, and host>']
 *
 * Prints {"endpoint", "pid"} as one line when it listens, and ends with SIGTERM or with its standard input.
 *   GET  /_control/counts            {messages, recipients, bytes, calls}
 *   GET  /_control/notes?from=N      {notes, next}: one entry a message, in order
 *   GET  /_control/messages          {messages}: those kept, raw in Base64
 *   POST /_control/fault   a Fault   plans it
 *   POST /_control/clear   {}        forgets messages and faults
 */
const options = JSON.parse(process.argv[2] ?? '{}') as FakeSesOptions & { readonly host?: string };
const ses = new FakeSes({ keep: 0, ...options });

function counts(): object {
  const { notes } = ses.mailbox;
  const recipients = notes.reduce((sum, note) => sum + note.recipients, 0);
  const bytes = notes.reduce((sum, note) => sum + note.bytes, 0);
  return { messages: ses.mailbox.count, recipients, bytes, calls: ses.calls };
}

ses.control = (request: IncomingMessage, body: Buffer): object | null => {
  const url = new URL(request.url ?? '', 'http://control');
  switch (url.pathname.slice('/_control/'.length)) {
    case 'counts':
      return counts();
    case 'notes': {
      const notes = ses.mailbox.notes.slice(Number(url.searchParams.get('from') ?? 0));
      return { notes, next: ses.mailbox.notes.length };
    }
    case 'messages':
      return { messages: ses.mailbox.messages.map(message => ({ ...message, raw: message.raw.toString('base64') })) };
    case 'fault':
      ses.faults.plan(JSON.parse(body.toString()) as Fault);
      return {};
    case 'clear':
      ses.faults.clear();
      ses.mailbox.clear();
      return {};
    default:
      return null;
  }
};

await ses.listen(options.port, options.host);
console.log(JSON.stringify({ endpoint: ses.endpoint, pid: process.pid }));
process.stdin.resume().on('end', () => process.exit());
