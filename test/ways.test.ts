import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { eventually } from './support/eventually.ts';
import { startRelay } from './support/relay.ts';
import { startFakeSes } from './support/ses/start.ts';
import { messageFrom, SmtpClient } from './support/smtp-client.ts';
import { storeMessage } from './support/stored.ts';
import { startWorker } from './support/worker.ts';

const SRC = fileURLToPath(new URL('../src/', import.meta.url));
const ARCHITECTURE = await readFile(join(SRC, '../docs/architecture.md'), 'utf8');

/** What the page says of one way: its steps, and which files these call for one thing each. */
interface Way {
  readonly said: number;
  readonly steps: readonly string[];
  readonly helpers: readonly string[];
}

/** The lists below "**The files.**", of the way in and of the way out. */
const [WAY_IN, WAY_OUT] = ARCHITECTURE.split('**The files.**').slice(1).map(wayOf) as [Way, Way];

function wayOf(text: string): Way {
  const [list = ''] = /^- [\s\S]*?(?=\n\n(?!-))/m.exec(text) ?? [];
  const [steps = '', helpers = ''] = list.split('- For one thing each:');
  const filesIn = (part: string): string[] => [...part.matchAll(/`([^`]+\.ts)`/g)].map(([, file = '']) => file);
  return { said: Number(/these (\d+)/.exec(text)?.[1]), steps: filesIn(steps), helpers: filesIn(helpers) };
}

/** Rooms that know messages. `flow/`, the driver and what is below serve all alike. */
const ROOMS = ['smtp', 'intake', 'delivery', 'events', 'tracking', 'message', 'routing', 'store'];
/** What runs from time to time whatever becomes of a message, counts, or puts together. */
const BESIDE = [
  /(^|\/)(create-[\w-]+|metrics|listeners)\.ts$/,
  /^store\/(retention|webhooks|inbox|intake\/idempotency|schema|configured|delivery\/(republish|workers)|messages\/outbox|events\/(later|ended-links))/,
  /^(delivery\/(worker-heartbeat|claim-upkeep)|events\/later-events|tracking\/ended)/,
];

/** Files of those rooms of which a function has run since it was asked last. */
async function filesRun(session: Session): Promise<string[]> {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const ran = result.filter(({ functions }) =>
    // The first one is the module itself.
    functions.some(({ ranges: [range] }) => range !== undefined && range.count > 0 && range.startOffset > 0),
  );
  const files = ran.flatMap(({ url }) => (url.startsWith('file:') ? [fileURLToPath(url)] : []));
  const ours = files.filter(file => file.startsWith(SRC)).map(file => file.slice(SRC.length));
  return ours.filter(file => ROOMS.includes(file.split('/')[0] ?? '')).sort();
}

async function startCoverage(t: TestContext): Promise<Session> {
  const session = new Session();
  session.connect();
  t.after(() => session.disconnect());
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
  return session;
}

function check(ran: readonly string[], { said, steps, helpers }: Way, wired: readonly string[] = []): void {
  assert.equal(steps.length, said);
  const listed = [...steps, ...helpers];
  assert.equal(new Set(listed).size, listed.length, 'a file stands there twice');
  assert.deepEqual(
    listed.filter(file => !ran.includes(file)),
    [],
    'listed, and no message passes it',
  );
  const unlisted = ran.filter(file => !(listed.includes(file) || wired.includes(file)));
  assert.deepEqual(
    unlisted.filter(file => !BESIDE.some(pattern => pattern.test(file))),
    [],
    'not listed, and a message passes it',
  );
}

it('a message passes the files that docs/architecture.md names on its way in', async t => {
  const relay = await startRelay(t, { settings: { pipeline: 'standalone' } });
  const session = await startCoverage(t);
  const client = await SmtpClient.loggedIn(t, relay);
  await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') }, '250 ');
  check(await filesRun(session), WAY_IN);
  assert.ok(WAY_IN.steps.length <= 40, String(WAY_IN.steps.length));
});

it('and on its way out', async t => {
  const ses = await startFakeSes(t);
  const settings = { transport: 'ses', 'ses.endpoint': ses.endpoint, awsRegion: 'us-east-1' };
  const worker = await startWorker(t, { settings });
  // Stored before anything is counted: the test does so by functions of the relay's.
  const id = await storeMessage(worker.db, { outboxLease: 3_600_000 });
  const session = await startCoverage(t);
  await worker.db.query('update smtp_relay_outbox set leased_until = null where email_id = $1', [id]);
  await eventually(async () => worker.logs.some(({ msg }) => msg === 'message sent'));
  check(await filesRun(session), WAY_OUT);
  assert.ok(WAY_OUT.steps.length <= 42, String(WAY_OUT.steps.length));
});
