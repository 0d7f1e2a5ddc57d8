/** Measures what idle connections cost in memory; see README.md beside this file. */
import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { startRelay } from './support/relay.ts';
import { startSystem } from './support/system.ts';

const HELP = `Usage: node bin/node24.js bench/idle.ts [options]

  --connections <n>  how many (5000)
  --opening <n>      how many are opened at a time (50)
  --rounds <n>       how often they come and go (1)
  --groups <list>    key exchanges that clients bring, as OpenSSL calls them (those of Node)
  --after <n>        how many seconds after they have gone memory is looked at again (60)
`;

const MB = 1_000_000;

/** A client behind STARTTLS, which is greeted again and says nothing more. */
async function open(port: number, ca: string, ecdhCurve: string): Promise<tls.TLSSocket> {
  const socket = net.connect(port, '127.0.0.1');
  await said(socket, '220 ');
  socket.write('EHLO idle.bench.test\r\n');
  await said(socket, '250 ');
  socket.write('STARTTLS\r\n');
  await said(socket, '220 ');
  const secured = tls.connect({ socket, ca, servername: 'localhost', ecdhCurve });
  await once(secured, 'secureConnect');
  secured.write('EHLO idle.bench.test\r\n');
  await said(secured, '250 ');
  return secured;
}

async function said(socket: net.Socket, code: string): Promise<void> {
  let text = '';
  for await (const [chunk] of on(socket)) {
    text += chunk;
    const last = text.trimEnd().split('\r\n').at(-1) ?? '';
    if (text.endsWith('\r\n') && last.startsWith(code)) return;
    if (text.endsWith('\r\n') && /^\d{3} /.test(last)) throw new Error(last);
  }
}

async function* on(socket: net.Socket): AsyncGenerator<[Buffer]> {
  for (;;) yield (await once(socket, 'data')) as [Buffer];
}

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '5000' },
    opening: { type: 'string', default: '50' },
    rounds: { type: 'string', default: '1' },
    after: { type: 'string', default: '60' },
    groups: { type: 'string', default: tls.DEFAULT_ECDH_CURVE },
    help: { type: 'boolean', default: false },
  },
});

async function measure(): Promise<void> {
  const directory = join(tmpdir(), `smtp-relay-bench-${process.pid}`);
  await mkdir(directory, { recursive: true });
  const system = await startSystem();
  try {
    const stage = await system.prepare('idle', 'standalone');
    const env = { SMTP_RELAY_LIMITS_LOGIN_TIMEOUT: '10m', SMTP_RELAY_LIMITS_IDLE_TIMEOUT: '10m' };
    const relay = await startRelay({
      system,
      stage,
      pipeline: 'standalone',
      tls: true,
      directory,
      profile: false,
      env,
    });
    const megabytes = () => `${Math.round(relay.usage().bytes / MB)} MB`;
    await sleep(15_000);
    process.stdout.write(`at the start: ${megabytes()}\n`);
    for (let round = 1; round <= Number(values.rounds); round += 1) {
      const clients: tls.TLSSocket[] = [];
      const opener = async (): Promise<void> => {
        while (clients.length < Number(values.connections)) {
          clients.push(await open(relay.port, system.tls.ca, values.groups));
        }
      };
      await Promise.all(Array.from({ length: Number(values.opening) }, opener));
      process.stdout.write(`${clients.length} connections: ${megabytes()}`);
      await sleep(15_000);
      process.stdout.write(`, after 15 s: ${megabytes()}\n`);
      for (const client of clients) client.destroy();
      await sleep(2_000);
      process.stdout.write(`gone: ${megabytes()}`);
      await sleep(Number(values.after) * 1_000);
      process.stdout.write(`, ${values.after} s later: ${megabytes()}\n`);
    }
    await relay.stop();
    await stage.remove();
  } finally {
    await system.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

if (values.help) process.stdout.write(HELP);
else await measure();
