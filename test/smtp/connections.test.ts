import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type tls from 'node:tls';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

describe('connections', () => {
  it('past the limit get 421, and one that goes makes room', async t => {
    const relay = await startRelay(t, { queue: false, settings: { 'limits.connections': 2 } });
    const [first] = [await SmtpClient.greeted(t, relay), await SmtpClient.greeted(t, relay)];
    const third = await SmtpClient.connect(t, relay);
    await third.expect('421 4.3.2');
    await third.closed;
    first.destroy();
    await eventually(async () => {
      const next = await SmtpClient.connect(t, relay);
      return (await next.reply()).code === 220;
    });
  });

  it('have TCP keep-alive, so that balancers do not forget them', { skip: needs('procTcp') }, async t => {
    const relay = await startRelay(t, { queue: false });
    const client = await SmtpClient.secured(t, relay);
    const port = (client.socket as tls.TLSSocket).localPort as number;
    // Of the relay's side of it, what the kernel's timer is for: 2 is keep-alive, and when it is due in hundredths of a second.
    const hex = (number: number) => number.toString(16).toUpperCase().padStart(4, '0');
    const line = await eventually(async () => {
      const table = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map(row => row.trim().split(/\s+/));
      const row = table.find(
        ([, local, remote]) => local?.endsWith(`:${hex(relay.port)}`) && remote?.endsWith(`:${hex(port)}`),
      );
      return row?.[5]?.startsWith('02:') ? row[5] : null;
    });
    const due = Number.parseInt(line?.slice(3) ?? '', 16) / 100;
    assert.ok(due > 30 && due <= 60, `due in ${due} s`);
  });

  it('that are waiting for their TLS handshake are bounded too', async t => {
    const settings = { 'limits.connections': 2, 'tls.implicitPort': await freePort() };
    const relay = await startRelay(t, { queue: false, settings });
    const port = relay.implicitTlsPort;
    for (let count = 0; count < 2; count += 1) await SmtpClient.connect(t, relay, { port });
    const third = await SmtpClient.connect(t, relay, { port });
    await third.closed;
  });
});

describe('implicit TLS port (RFC 8314)', () => {
  it('takes a message, with AUTH at once and no STARTTLS', async t => {
    const relay = await startRelay(t, { queue: false, settings: { 'tls.implicitPort': await freePort() } });
    const options = { port: relay.implicitTlsPort, implicitTls: true };
    const client = await SmtpClient.connect(t, relay, options);
    await client.expect('220 relay.test ESMTP');
    const { lines } = await client.command('EHLO client.test', '250 ');
    assert.ok(lines.includes('AUTH PLAIN LOGIN') && !lines.includes('STARTTLS'), lines.join());
    await client.command('STARTTLS', '50');
    await client.logIn(relay.owner.apiKey);
    const data = messageFrom('a@acme.test');
    await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
    assert.equal((client.socket as tls.TLSSocket).authorized, true);
    // The other port goes on with STARTTLS.
    await SmtpClient.loggedIn(t, relay);
  });

  it('takes TLS 1.2 or later, and survives what is no handshake', async t => {
    const relay = await startRelay(t, { queue: false, settings: { 'tls.implicitPort': await freePort() } });
    const options = { port: relay.implicitTlsPort, implicitTls: true };
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
    await assert.rejects(SmtpClient.connect(t, relay, { ...options, tls: old }), /protocol version/i);
    const clear = await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort, preamble: 'EHLO x\r\n' });
    await clear.closed;
    await SmtpClient.greeted(t, relay, options);
  });
});
