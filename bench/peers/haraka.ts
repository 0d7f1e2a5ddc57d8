import { execFileSync } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../dev/ports.ts';
import { usageOfTree } from '../support/usage.ts';
import { type Peer, smtpLoad } from './peer.ts';
import { startServer, stopServer } from './server-process.ts';

const VERSION = '3.3.4';
const PLUGIN = fileURLToPath(new URL('./haraka/fsync-queue.cjs', import.meta.url));

/** Haraka with one plug-in, which takes every recipient and keeps each message in a file that is on the disk before the 250. */
export const haraka: Peer = {
  name: 'haraka',
  title: 'Haraka, a file with fsync',
  async start({ cache, directory: parent }, load) {
    const home = await install(cache);
    const directory = join(parent, 'haraka');
    const queue = join(directory, 'queue');
    const port = await freePort();
    await configure(directory, home, port);
    const child = await startServer([process.execPath, join(home, 'bin/haraka'), '-c', directory], {
      port,
      logFile: join(directory, 'haraka.log'),
      env: { ...process.env, FSYNC_QUEUE: queue },
    });
    return {
      version: VERSION,
      run: smtpLoad({ host: '127.0.0.1', port }, load),
      settle: async () => {},
      usage: () => ({ server: usageOfTree(child.pid as number) }),
      check: async accepted => {
        const { length } = await readdir(queue);
        return length === accepted ? [] : [`${accepted} messages got a 250, and there are ${length} files`];
      },
      stop: async () => {
        await stopServer(child);
        await rm(directory, { recursive: true });
      },
    };
  },
};

/** @returns the package's folder */
async function install(cache: string): Promise<string> {
  const folder = join(cache, 'haraka');
  const home = join(folder, 'node_modules/Haraka');
  const installed = await readFile(join(home, 'package.json'), 'utf8').catch(() => '{}');
  if ((JSON.parse(installed) as { version?: string }).version !== VERSION) {
    await mkdir(folder, { recursive: true });
    // A package of its own: without one npm would install into ours.
    await writeFile(join(folder, 'package.json'), '{ "private": true }\n');
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional', '--loglevel=error'];
    execFileSync('npm', ['install', ...flags, `Haraka@${VERSION}`], { cwd: folder, stdio: ['ignore', 2, 2] });
  }
  return home;
}

async function configure(directory: string, home: string, port: number): Promise<void> {
  for (const name of ['config', 'plugins', 'queue']) await mkdir(join(directory, name), { recursive: true });
  const files = {
    plugins: 'fsync_queue\n',
    'smtp.ini': `listen=127.0.0.1:${port}\nspool_dir=${directory}\n`,
    'log.ini': '[main]\nlevel=warn\n',
    me: 'bench.test\n',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, 'config', name), text);
  // Defaults that Haraka does not know by itself.
  await copyFile(join(home, 'config/connection.ini'), join(directory, 'config/connection.ini'));
  await copyFile(PLUGIN, join(directory, 'plugins/fsync_queue.js'));
}
