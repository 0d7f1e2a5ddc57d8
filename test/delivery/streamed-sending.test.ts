import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { StreamedBytes } from '../../src/delivery/outgoing/bytes.ts';
import type { Outcome, Transport } from '../../src/delivery/transport/contract.ts';
import { SesBodyHash } from '../../src/delivery/transport/ses/request.ts';
import { eventually } from '../support/eventually.ts';
import { startFakeSes } from '../support/ses/start.ts';
import { openSesTransport, outgoing } from '../support/ses/transport.ts';
import { storeMessage } from '../support/stored.ts';
import { startWorker } from '../support/worker.ts';
import { untilStatus } from './support/sending.ts';
import { connectTo, never, startSmarthost } from './support/smarthost.ts';

const HEAD = Buffer.from('From: hello@acme.test\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\n');

/** Lines that begin with dots, and are of all lengths. */
const STORED = Buffer.from(
  Array.from({ length: 9_000 }, (_, nth) => `${'.'.repeat(nth % 3)}${'x'.repeat(nth % 77)}\r\n`).join(''),
);

interface Streamed {
  readonly slice: number;
  /** Bytes of the stored message from which on it cannot be read. */
  readonly breaksAt?: number;
  /** How often it is read before it breaks. */
  readonly goodReads?: number;
  /** Milliseconds that each slice takes. */
  readonly pause?: number;
  readonly onRead?: () => void;
}

function streamed({
  slice,
  breaksAt = Number.POSITIVE_INFINITY,
  goodReads = 0,
  pause = 0,
  onRead = () => {},
}: Streamed): StreamedBytes {
  let begun = 0;
  const pieces = [HEAD, { start: 0, end: STORED.length, isAscii: true }];
  const read = async (start: number, length: number): Promise<Buffer> => {
    if (start === 0) begun += 1;
    onRead();
    if (pause > 0) await sleep(pause);
    if (start >= breaksAt && begun > goodReads) throw new Error('the database is away');
    return Buffer.from(STORED.subarray(start, start + length));
  };
  return new StreamedBytes(pieces, read, { slice });
}

const WHOLE = Buffer.concat([HEAD, STORED]);

async function outcomeOf(transport: Transport, raw: StreamedBytes | Buffer, signal = never) {
  const [result] = await transport.send(outgoing({ raw }), signal);
  return result?.outcome;
}

/** Kind, code, and what is the matter with the way out. */
function told(outcome: Outcome | undefined): readonly unknown[] {
  return outcome && outcome.kind !== 'sent' ? [outcome.kind, outcome.code, outcome.reason] : [outcome?.kind];
}

describe('a message that is read while it is sent', () => {
  it('arrives by SMTP and by SES byte for byte, wherever its slices end', async t => {
    const smarthost = await startSmarthost(t);
    const ses = await startFakeSes(t);
    for (const transport of [connectTo(t, smarthost), openSesTransport(t, ses.endpoint)])
      for (const slice of [100_003, 4_096, 701, STORED.length])
        assert.equal((await outcomeOf(transport, streamed({ slice })))?.kind, 'sent', `slices of ${slice}`);
    const received = [...smarthost.messages, ...ses.mailbox.messages];
    assert.equal(received.length, 8);
    for (const { raw } of received) assert.ok(raw.equals(WHOLE));
  });

  it('is not sent by SMTP where it cannot be read to its end, and the connection is not used again', async t => {
    const smarthost = await startSmarthost(t);
    const transport = connectTo(t, smarthost, { connections: 1 });
    for (const breaksAt of [0, 50_000, STORED.length - 5_000]) {
      const outcome = await outcomeOf(transport, streamed({ slice: 5_000, breaksAt }));
      assert.deepEqual(told(outcome), ['transient', 'MessageUnread', undefined]);
    }
    assert.equal((await outcomeOf(transport, WHOLE))?.kind, 'sent');
    assert.deepEqual(
      smarthost.messages.map(({ raw }) => raw.length),
      [WHOLE.length],
    );
    const begun = smarthost.commands.filter(command => command.includes('DATA')).map(command => command[0]);
    assert.deepEqual(begun, ['1', '2', '3', '4'], 'each on a connection of its own');
  });

  it('is not asked of SES where it cannot be read for its hash', async t => {
    const ses = await startFakeSes(t);
    const transport = openSesTransport(t, ses.endpoint);
    const outcome = await outcomeOf(transport, streamed({ slice: 5_000, breaksAt: 50_000 }));
    assert.deepEqual(told(outcome), ['transient', 'MessageUnread', undefined]);
    assert.equal(ses.mailbox.count, 0);
  });

  it('is not sent by SES where it cannot be read to its end: the request is shorter than it says', async t => {
    const requests: { told: number; came: number; isComplete: boolean }[] = [];
    const server = createServer((request: IncomingMessage) => {
      const told = Number(request.headers['content-length']);
      let came = 0;
      request.on('data', (bytes: Buffer) => (came += bytes.length));
      request.on('error', () => {});
      request.on('close', () => requests.push({ told, came, isComplete: request.complete }));
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => void server.close());
    const transport = openSesTransport(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    for (const breaksAt of [0, 50_000, STORED.length - 5_000]) {
      const outcome = await outcomeOf(transport, streamed({ slice: 5_000, breaksAt, goodReads: 1 }));
      assert.deepEqual(told(outcome), ['transient', 'MessageUnread', undefined]);
    }
    for (let waited = 0; requests.length < 3 && waited < 5_000; waited += 20) await sleep(20);
    assert.equal(requests.length, 3);
    for (const { told, came, isComplete } of requests) {
      assert.ok(came < told, `${came} of ${told}`);
      assert.equal(isComplete, false);
    }
  });

  it('is read no further where SES answers before its end', async t => {
    let closed = false;
    const server = createServer((request, response) => {
      request.socket.once('close', () => (closed = true));
      request.on('error', () => {});
      response.writeHead(429, { 'x-amzn-errortype': 'TooManyRequestsException' }).end('{}');
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    t.after(() => void server.close());
    const transport = openSesTransport(t, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    let reads = 0;
    const raw = streamed({ slice: 1_000, pause: 20, onRead: () => (reads += 1) });
    const preview = new SesBodyHash();
    preview.add(WHOLE);
    raw.preview = preview;
    const outcome = await outcomeOf(transport, raw);
    assert.deepEqual(told(outcome), ['transient', 'TooManyRequestsException', 'throttled']);
    await eventually(() => closed);
    const read = reads;
    await sleep(100);
    assert.equal(reads, read, 'no slice is read any more');
    assert.ok(read < STORED.length / 1_000 / 2, `${read} slices were read`);
  });

  it('is not sent where the worker is stopped meanwhile', async t => {
    const smarthost = await startSmarthost(t);
    const ses = await startFakeSes(t);
    for (const transport of [connectTo(t, smarthost), openSesTransport(t, ses.endpoint)]) {
      const stopping = new AbortController();
      setTimeout(() => stopping.abort(), 150);
      const outcome = await outcomeOf(transport, streamed({ slice: 5_000, pause: 10 }), stopping.signal);
      assert.deepEqual(told(outcome), ['transient', transport.kind === 'ses' ? 'Aborted' : 'ABORTED', undefined]);
    }
    assert.equal(smarthost.messages.length + ses.mailbox.count, 0);
  });

  it('arrives from the database by SES, by SMTP and in a folder', async t => {
    const smarthost = await startSmarthost(t);
    const ses = await startFakeSes(t);
    const line = `${'QUJD'.repeat(19)}\r\n`;
    const parts = `--b\r\nContent-Type: text/html\r\n\r\n<p>Hi\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n`;
    const header = `From: Acme <hello@acme.test>\r\nTo: to@example.com\r\nSubject: Hi\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@acme.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n`;
    const raw = Buffer.from(`${header}${parts}${line.repeat(100_000)}--b--\r\n`);
    const received: Buffer[] = [];
    for (const settings of [
      { transport: 'ses', 'ses.endpoint': ses.endpoint, 'ses.sendRate': 1_000 },
      {
        transport: 'smtp',
        'smtp.host': '127.0.0.1',
        'smtp.port': smarthost.port,
        'smtp.security': 'none',
      },
      {},
    ]) {
      const worker = await startWorker(t, {
        settings: { receivedHeader: 'off', ...settings },
      });
      const id = await storeMessage(worker.db, { raw });
      await untilStatus(worker.db, id, 'sent');
      const { rows } = await worker.db.query('select count(*)::integer as count from smtp_relay_attempts');
      assert.equal(rows[0].count, 1);
      received.push(...(await worker.captured()).map(message => message.raw));
      await worker.stop();
    }
    received.push(
      ...ses.mailbox.messages.map(message => message.raw),
      ...smarthost.messages.map(message => message.raw),
    );
    const digests = received.map(bytes => createHash('sha256').update(bytes).digest('hex'));
    assert.deepEqual(digests, Array(3).fill(createHash('sha256').update(raw).digest('hex')));
  });
});
