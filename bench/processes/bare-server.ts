/** smtp-server with nothing behind it, in a process of its own: takes every login and throws every message away. */
import type { AddressInfo } from 'node:net';
import { SMTPServer } from 'smtp-server';

const server = new SMTPServer({
  disableReverseLookup: true,
  hideSTARTTLS: true,
  allowInsecureAuth: true,
  onAuth: (_auth, _session, callback) => callback(null, { user: 'bench' }),
  onData: (stream, _session, callback) => {
    stream.on('end', () => callback());
    stream.resume();
  },
});
server.listen(0, '127.0.0.1', () => process.send?.((server.server.address() as AddressInfo).port));
process.on('disconnect', () => process.exit(0));
