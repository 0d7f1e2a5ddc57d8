import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { Admission, SMALL_MESSAGE } from '../../src/intake/admission.ts';
import { eventually } from '../support/eventually.ts';
import { type Owner, seedOwner } from '../support/owner.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const MIB = 1024 * 1024;
const A = { key: 'a', owner: 'A' };
const B = { key: 'b', owner: 'B' };

function room(share: number, bytes = 256 * MIB): Admission {
  return new Admission(() => ({ bytes, share }), { untilWanted: () => null });
}

/** Takes as much as it gets, in messages of that size. @returns bytes */
function takeAll(admission: Admission, holder: typeof A, size: number): number {
  let taken = 0;
  while (admission.begin(holder).tryTake(size)) taken += size;
  return taken;
}

describe('Admission', () => {
  it('gives one key its share, and the next the same share of the rest', () => {
    const admission = room(0.75);
    assert.equal(takeAll(admission, A, MIB), 192 * MIB);
    assert.equal(takeAll(admission, B, MIB), 48 * MIB);
    assert.equal(takeAll(admission, { key: 'c', owner: 'C' }, MIB), 12 * MIB);
    assert.equal(admission.used, 252 * MIB);
  });

  it('gives an owner of many keys the share, and the same share of the rest', () => {
    const admission = room(0.75);
    const taken = Array.from({ length: 20 }, (_, index) => takeAll(admission, { key: `a${index}`, owner: 'A' }, MIB));
    assert.deepEqual(taken.slice(0, 3), [192 * MIB, 48 * MIB, 0]);
    assert.equal(takeAll(admission, B, MIB), 12 * MIB);
  });

  it('gives one key all of it where its share is all', () => {
    assert.equal(takeAll(room(1), A, MIB), 256 * MIB);
  });

  it('keeps room for small messages that large ones never take', () => {
    const admission = room(1);
    takeAll(admission, A, MIB);
    assert.ok(!admission.begin(B).tryTake(SMALL_MESSAGE + 1));
    assert.ok(!admission.hasRoomFor(B, SMALL_MESSAGE + 1));
    assert.ok(admission.hasRoomFor(B, 0) && admission.hasRoomFor(A, SMALL_MESSAGE));
    const small = admission.begin(A);
    assert.ok(small.tryTake(SMALL_MESSAGE));
    assert.ok(!small.tryTake(1), 'it is not small any more');
  });

  it('lets small messages into the room of large ones where theirs is full', () => {
    const admission = room(1, 16 * MIB);
    assert.equal(takeAll(admission, A, SMALL_MESSAGE), 17 * MIB);
    assert.ok(!admission.hasRoomFor(A, 0));
  });

  it('takes a message that has grown out of the room for small ones', () => {
    const admission = room(1);
    const message = admission.begin(A);
    assert.ok(message.tryTake(SMALL_MESSAGE));
    assert.ok(message.tryTake(MIB));
    assert.equal(admission.used, SMALL_MESSAGE + MIB);
    const others = Array.from({ length: (16 * MIB) / SMALL_MESSAGE }, () => admission.begin(B));
    assert.ok(
      others.every(other => other.tryTake(SMALL_MESSAGE)),
      'all of that room is free again',
    );
  });

  it('has all of it again when all is given back, once', () => {
    const admission = room(0.75);
    const holdings = [SMALL_MESSAGE, MIB, 40 * MIB].map(bytes => {
      const holding = admission.begin(A);
      assert.ok(holding.tryTake(bytes));
      return holding;
    });
    for (const holding of [...holdings, ...holdings]) holding.release();
    assert.equal(admission.used, 0);
    assert.equal(takeAll(admission, A, MIB), 192 * MIB);
  });

  it('never takes a message that is larger than the room, alone or not', () => {
    const admission = room(1, MIB);
    assert.ok(!admission.begin(A).tryTake(MIB + 1));
    assert.ok(!admission.hasRoomFor(A, MIB + 1));
    assert.equal(admission.used, 0);
  });
});

describe('a key that holds what it may', async () => {
  const settings = { 'limits.bytesInFlight': 16 * MIB, maxMessageSizeBytes: 2 * MIB, shutdownTimeout: 500 };
  const relay = await startRelay({ after }, { queue: false, settings });
  const other = await seedOwner(relay.db);
  const bodyOf = (bytes: number) => `${'x'.repeat(76)}\r\n`.repeat(Math.floor(bytes / 78));

  async function openData(t: Parameters<typeof SmtpClient.loggedIn>[0], owner: Owner): Promise<SmtpClient> {
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(owner.apiKey);
    await client.command(`MAIL FROM:<a@${owner.domain}>`, '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await client.send(`${messageFrom(`a@${owner.domain}`, { body: '' })}`);
    return client;
  }

  /** Whether six large messages are received, which is what a key may hold: what was sent is so a little later. */
  async function isFull(t: Parameters<typeof SmtpClient.loggedIn>[0]): Promise<boolean> {
    const asker = await SmtpClient.loggedIn(t, relay);
    await asker.command(`MAIL FROM:<a@${relay.owner.domain}> SIZE=${Math.floor(0.65 * MIB)}`, '250 ');
    await asker.command('RCPT TO:<b@example.com>', '250 ');
    asker.socket.write('DATA\r\n');
    const { code } = await asker.reply();
    asker.destroy();
    return code === 452;
  }

  it('keeps none from others: another owner sends its largest message, and both send small ones', async t => {
    const hold = async (): Promise<SmtpClient> => {
      const client = await openData(t, relay.owner);
      await client.send(bodyOf(1.9 * MIB));
      return client;
    };
    const first = await hold();
    for (let count = 0; count < 5; count += 1) await hold();
    await eventually(() => isFull(t));
    // These are too many, whichever of them comes first.
    for (let count = 0; count < 3; count += 1) await hold();
    const large = await openData(t, other);
    await large.send(bodyOf(1.9 * MIB), '.\r\n');
    await large.expect('250 2.0.0');
    for (const owner of [other, relay.owner]) {
      const small = await openData(t, owner);
      await small.send('Hi\r\n.\r\n');
      await small.expect('250 2.0.0');
    }
    const own = await openData(t, relay.owner);
    await own.send(bodyOf(1.9 * MIB), '.\r\n');
    await own.expect('452 4.3.1');
    await first.send('.\r\n');
    await first.expect('250 2.0.0');
  });
});
