import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { receivedField } from '../../src/delivery/outgoing/compose.ts';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';

const arrival = {
  clientAddress: '192.0.2.7',
  sessionId: 'abc',
  helo: 'printer.acme.test',
  protocol: 'ESMTPSA',
  receivedBy: 'relay.test',
};
const facts = {
  emailId: '0b8e1c9e-6f0c-4f0e-9d7a-2f5a3c1d4e6f',
  acceptedAt: new Date('2026-11-23T15:04:05Z'),
  recipients: ['b@example.com'],
  arrival,
};

describe('Received', () => {
  it('full: by RFC 5321 section 4.4, each clause on a line', () => {
    assert.equal(
      receivedField('full', facts),
      'Received: from printer.acme.test ([192.0.2.7])\r\n' +
        '\tby relay.test with ESMTPSA id 0b8e1c9e-6f0c-4f0e-9d7a-2f5a3c1d4e6f\r\n' +
        '\tfor <b@example.com>;\r\n' +
        '\tMon, 23 Nov 2026 15:04:05 +0000\r\n',
    );
  });

  it('private: nothing of the client', () => {
    const field = receivedField('private', facts);
    assert.match(field, /^Received: from smtp-client\r\n\tby relay\.test with ESMTPSA id /);
    for (const secret of [arrival.clientAddress, arrival.helo, arrival.sessionId]) assert.ok(!field.includes(secret));
  });

  it('off, and for a message that did not come by SMTP: none', () => {
    assert.equal(receivedField('off', facts), '');
    assert.equal(receivedField('full', { ...facts, arrival: null }), '');
  });

  it('an IPv6 address is marked as one', () => {
    const field = receivedField('full', { ...facts, arrival: { ...arrival, clientAddress: '2001:db8::7' } });
    assert.match(field, /from printer\.acme\.test \(\[IPv6:2001:db8::7\]\)/);
  });

  for (const helo of [
    '',
    'unknown host',
    '[127.0.0.1]',
    'x\r\nBcc: a@b.c',
    'a'.repeat(254),
    '(comment)',
    'bücher.test',
    '-a',
  ]) {
    it(`a client that calls itself ${JSON.stringify(helo.slice(0, 20))} is named by its address`, () => {
      const field = receivedField('full', { ...facts, arrival: { ...arrival, helo } });
      assert.match(field, /^Received: from \[192\.0\.2\.7\] \(\[192\.0\.2\.7\]\)\r\n\tby /);
    });
  }

  it('several recipients do not learn of each other, and it stays ASCII', () => {
    assert.ok(!receivedField('full', { ...facts, recipients: ['a@x.test', 'b@x.test'] }).includes('for <'));
    assert.ok(!receivedField('full', { ...facts, recipients: ['é@x.test'] }).includes('for <'));
  });
});

describe('the whole way', () => {
  const raw = messageFrom('a@acme.test', { body: 'Hi\r\n' });

  async function deliver(t: TestContext, settings: Record<string, unknown>, to: readonly string[]) {
    const shared = { pipeline: 'standalone', ...settings };
    const relay = await startRelay(t, {
      queue: false,
      settings: { ...shared, 'proxyProtocol.networks': ['127.0.0.0/8'] },
    });
    const worker = await startWorker(t, { databaseUrl: relay.databaseUrl, settings: shared });
    const preamble = 'PROXY TCP6 2001:db8::7 2001:db8::1 55555 2587\r\n';
    const client = await SmtpClient.loggedIn(t, relay, { preamble });
    const id = emailIdOf(await client.transact({ from: 'a@acme.test', to, data: raw }, '250 '));
    const captured = await eventually(async () =>
      (await worker.captured()).find(({ envelope }) => envelope.emailId === id),
    );
    return { id, relay, text: captured?.raw.toString() ?? '', envelope: captured?.envelope };
  }

  it('full: the address behind the balancer is in Received, above all that the client wrote, and in the row', async t => {
    const { id, relay, text } = await deliver(t, { receivedHeader: 'full' }, ['b@example.com']);
    const [received, rest] = [text.slice(0, text.indexOf('From:')), text.slice(text.indexOf('From:'))];
    assert.match(
      received,
      new RegExp(
        `^Received: from client\\.test \\(\\[IPv6:2001:db8::7\\]\\)\\r\\n\\tby relay\\.test with ESMTPSA id ${id}\\r\\n\\tfor <b@example\\.com>;`,
      ),
    );
    assert.ok(rest.startsWith('From: a@acme.test\r\nTo: someone@example.com\r\nSubject: Hello\r\n'), rest);
    const { rows } = await relay.db.query(
      'select client_address, helo, protocol, received_by, session_id from smtp_relay_messages',
    );
    const session = relay.logs.find(({ emailId }) => emailId === id)?.['session'];
    assert.deepEqual(rows, [
      {
        client_address: '2001:db8::7',
        helo: 'client.test',
        protocol: 'ESMTPSA',
        received_by: 'relay.test',
        session_id: session,
      },
    ]);
  });

  it('private, the default: the address is in the row, not in the message', async t => {
    const { text } = await deliver(t, {}, ['b@example.com']);
    assert.match(text, /^Received: from smtp-client\r\n\tby relay\.test with ESMTPSA id /);
    assert.ok(!text.includes('2001:db8::7') && !text.includes('client.test'));
  });

  it('off: none', async t => {
    const { text } = await deliver(t, { receivedHeader: 'off' }, ['b@example.com']);
    assert.match(text, /^From: /);
  });

  it('a message for somebody outside the allow list goes to capture, whatever the transport is', async t => {
    const staging = {
      recipientAllowList: ['example.com'],
      recipientsElsewhere: 'capture',
      transport: 'smtp',
      // Nobody listens there: a message that went to it would never be seen.
      'smtp.host': '127.0.0.1',
      'smtp.port': 9,
    };
    const { envelope } = await deliver(t, staging, ['b@example.com', 'customer@elsewhere.test']);
    assert.deepEqual(envelope?.recipients, ['b@example.com', 'customer@elsewhere.test']);
  });
});
