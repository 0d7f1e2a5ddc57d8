import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { usageOfTree } from '../support/usage.ts';
import { type Peer, smtpLoad } from './peer.ts';

const SERVER = fileURLToPath(new URL('../processes/bare-server.ts', import.meta.url));
const PACKAGE = new URL('../../node_modules/smtp-server/package.json', import.meta.url);

/** The library that the relay is built on, with nothing behind it: what a 250 costs that promises nothing. */
export const smtpServer: Peer = {
  name: 'smtp-server',
  title: 'smtp-server alone, message thrown away',
  async start(_surroundings, load) {
    const { version } = JSON.parse(await readFile(PACKAGE, 'utf8')) as { version: string };
    const server = fork(SERVER);
    const [port] = (await once(server, 'message')) as [number];
    return {
      version,
      run: smtpLoad({ host: '127.0.0.1', port, key: 'any' }, load),
      settle: async () => {},
      usage: () => ({ server: usageOfTree(server.pid as number) }),
      check: async () => [],
      stop: async () => {
        const exited = once(server, 'exit');
        server.disconnect();
        await exited;
      },
    };
  },
};
