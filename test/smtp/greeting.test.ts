import assert from 'node:assert/strict';
import dns from 'node:dns';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import tls from 'node:tls';
import { freePort } from '../../dev/ports.ts';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';
import { holdTimers } from '../support/time.ts';

const relay = await startRelay({ after });

test('known defect: 100 ms pause before each greeting: none', async t => {
  holdTimers(t);
  const client = await SmtpClient.connect(t, relay);
  await client.expect('220 relay.test ESMTP');
});

test('known defect: a reverse DNS look-up for each connection: none', async t => {
  const reverse = t.mock.method(dns, 'reverse');
  const lookup = t.mock.method(dns.promises, 'reverse');
  const client = await SmtpClient.connect(t, relay);
  await client.expect('220 ');
  assert.equal(reverse.mock.callCount() + lookup.mock.callCount(), 0);
});

test('a client that talks before the greeting is served all the same', async t => {
  const client = await SmtpClient.connect(t, relay, { preamble: 'EHLO early.test\r\nQUIT\r\n' });
  await client.expect('220 ');
  await client.expect('250 ');
  await client.expect('221 2.0.0');
});

test('so is one that talks as soon as implicit TLS is up', async t => {
  const implicit = await startRelay(t, { queue: false, settings: { 'tls.implicitPort': await freePort() } });
  const client = await SmtpClient.connect(t, implicit, { port: implicit.implicitTlsPort });
  const socket = tls.connect({ socket: client.socket, ca: implicit.ca, servername: 'localhost' });
  t.after(() => void socket.destroy());
  socket.write('EHLO early.test\r\nQUIT\r\n');
  assert.match(await text(socket), /^220 .*\r\n(?:250[ -].*\r\n)+221 2\.0\.0 .*\r\n$/);
});
