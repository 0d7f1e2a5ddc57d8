import { execFileSync } from 'node:child_process';
import { chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports.ts';
import { usageOfTree } from '../support/usage.ts';
import { type Peer, smtpLoad } from './peer.ts';
import { startServer, stopServer } from './server-process.ts';

/** Every Debian has both. Postfix wants an owner of its queue that is nobody else's, and a group. */
const OWNER = 'mail';
const GROUP = 'games';
const DRAIN_LIMIT_MS = 60_000;

/**
 * Debian's Postfix as it comes, its queue with fsync, mail discarded behind it. It is unpacked, not installed: the system has no
 * service of it, and knows nothing of it afterwards.
 */
export const postfix: Peer = {
  name: 'postfix',
  title: 'Postfix, its queue with fsync',
  async start({ cache, directory: parent }, load) {
    if (process.getuid?.() !== 0) throw new Error('Postfix starts only as root');
    const programs = await unpack(cache);
    const directory = join(parent, 'postfix');
    const port = await freePort();
    await configure(directory, programs, port);
    const environment = { MAIL_CONFIG: directory, LD_LIBRARY_PATH: join(programs, 'usr/lib/postfix') };
    const env = { ...process.env, ...environment };
    const master = join(programs, 'usr/lib/postfix/sbin/master');
    const logFile = join(directory, 'start.log');
    const child = await startServer([master, '-c', directory, '-d'], { port, logFile, env });
    const queue = join(directory, 'queue');
    return {
      version: execFileSync(join(programs, 'usr/sbin/postconf'), ['-h', 'mail_version'], {
        env,
        encoding: 'utf8',
      }).trim(),
      run: smtpLoad({ host: '127.0.0.1', port }, load),
      settle: async () => {
        const deadline = performance.now() + DRAIN_LIMIT_MS;
        while ((await countQueued(queue)) > 0 && performance.now() < deadline) await sleep(50);
      },
      usage: () => ({ server: usageOfTree(child.pid as number) }),
      check: async accepted => {
        const log = await readFile(join(directory, 'postfix.log'), 'latin1');
        const sent = log.match(/ status=sent /g)?.length ?? 0;
        return sent === accepted ? [] : [`${accepted} messages got a 250, and ${sent} were delivered`];
      },
      stop: async () => {
        await stopServer(child);
        await rm(directory, { recursive: true });
      },
    };
  },
};

/** @returns the folder that is to Postfix what / is to an installed one */
async function unpack(cache: string): Promise<string> {
  const folder = join(cache, 'postfix');
  const isThere = await stat(join(folder, 'usr/sbin/postconf')).catch(() => undefined);
  if (!isThere) {
    const download = join(cache, 'debian');
    // Lists and packages of our own: nothing of the system's is touched.
    for (const name of ['lists/partial', 'archives/partial']) await mkdir(join(download, name), { recursive: true });
    const options = [`Dir::State::Lists=${download}/lists`, `Dir::Cache=${download}`, 'APT::Sandbox::User=root'];
    const apt = (...args: string[]) =>
      execFileSync('apt-get', [...options.flatMap(option => ['-o', option]), '-q', ...args], {
        cwd: download,
        stdio: ['ignore', 'ignore', 2],
      });
    apt('update');
    apt('download', 'postfix');
    const archive = (await readdir(download)).find(name => /^postfix_.*\.deb$/.test(name));
    if (!archive) throw new Error('apt-get downloaded no Postfix');
    execFileSync('dpkg', ['-x', join(download, archive), folder]);
    await rm(download, { recursive: true });
  }
  const libraries = { LD_LIBRARY_PATH: join(folder, 'usr/lib/postfix') };
  const daemon = join(folder, 'usr/lib/postfix/sbin/smtpd');
  const missing = execFileSync('ldd', [daemon], { env: { ...process.env, ...libraries }, encoding: 'utf8' })
    .split('\n')
    .filter(line => line.includes('not found'));
  if (missing.length > 0) throw new Error(`Postfix needs libraries that are not installed:${missing.join(',')}`);
  return folder;
}

async function configure(directory: string, programs: string, port: number): Promise<void> {
  const queue = join(directory, 'queue');
  await mkdir(queue, { recursive: true });
  const [owner, group] = [idOf('passwd', OWNER), idOf('group', GROUP)];
  const own = async (name: string, mode: number, gid = 0) => {
    await mkdir(name, { mode });
    await chown(name, owner, gid);
  };
  await own(join(directory, 'data'), 0o700);
  const folders = 'active bounce corrupt defer deferred flush hold incoming private saved trace';
  for (const name of folders.split(' ')) await own(join(queue, name), 0o700);
  await own(join(queue, 'maildrop'), 0o730, group);
  await own(join(queue, 'public'), 0o710, group);
  await mkdir(join(queue, 'pid'));
  await writeFile(join(directory, 'main.cf'), mainConfiguration(directory, programs));
  await writeFile(join(directory, 'master.cf'), services(port));
}

function mainConfiguration(directory: string, programs: string): string {
  return `compatibility_level = 3.6
command_directory = ${programs}/usr/sbin
daemon_directory = ${programs}/usr/lib/postfix/sbin
shlib_directory = ${programs}/usr/lib/postfix
queue_directory = ${directory}/queue
data_directory = ${directory}/data
mail_owner = ${OWNER}
setgid_group = ${GROUP}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
export_environment = MAIL_CONFIG LD_LIBRARY_PATH
maillog_file = ${directory}/postfix.log
maillog_file_prefixes = ${directory}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = bench.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
default_transport = discard
message_size_limit = 50000000
alias_maps =
alias_database =
`;
}

/** Debian's master.cf, less what nothing here needs. */
function services(port: number): string {
  return `127.0.0.1:${port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`;
}

function idOf(database: 'passwd' | 'group', name: string): number {
  const id = execFileSync('getent', [database, name], { encoding: 'utf8' }).split(':')[2];
  return Number(id);
}

/** Accepted, and not yet discarded. */
async function countQueued(queue: string): Promise<number> {
  const names = await Promise.all(['incoming', 'active'].map(name => readdir(join(queue, name))));
  return names.flat().length;
}
