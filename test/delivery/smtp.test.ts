import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { makeCertificate } from '../support/tls.ts';
import { connectTo, never, outgoing, startSmarthost } from './support/smarthost.ts';

const ANN = 'ann@example.com';
const BOB = 'bob@example.com';
const CY = 'cy@example.com';

/** Dots at the beginnings of lines, a long line, every byte but CR, LF and NUL, no line break at the end. */
function awkward(): Buffer {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, code) => code).filter(code => ![0, 10, 13].includes(code)));
  const head = 'From: a@acme.test\r\nSubject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n';
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n${'x'.repeat(998)}\r\n`)]);
}

describe('the smtp transport', { concurrency: 4 }, () => {
  it('hands over the bytes and the envelope as they are', async t => {
    const server = await startSmarthost(t, undefined, { size: 10_000 });
    const transport = connectTo(t, server);
    const raw = awkward();
    const outcomes = await transport.send(outgoing({ raw, recipients: [ANN, BOB], bodyType: '8BITMIME' }), never);
    const sent = { kind: 'sent', providerMessageId: '4F2A1B', response: '250 2.0.0 Ok: queued as 4F2A1B' };
    assert.deepEqual(outcomes, [{ recipients: [ANN, BOB], outcome: sent }]);
    assert.deepEqual(server.messages, [{ connection: 1, from: 'bounces@acme.test', recipients: [ANN, BOB], raw }]);
    assert.ok(server.commands.includes('1 EHLO relay.test'));
    assert.ok(server.commands.includes(`1 MAIL FROM:<bounces@acme.test> BODY=8BITMIME SIZE=${raw.length}`));
  });

  it('has the null reverse-path', async t => {
    const server = await startSmarthost(t);
    const [result] = await connectTo(t, server).send(outgoing({ reversePath: '' }), never);
    assert.equal(result?.outcome.kind, 'sent');
    assert.ok(server.commands.some(command => command === '1 MAIL FROM:<>'));
  });

  it('sends a large message, in pieces', async t => {
    const server = await startSmarthost(t, undefined, { size: 20_000_000 });
    const line = Buffer.from(`.${'x'.repeat(75)}\r\n`);
    const raw = Buffer.concat([Buffer.from('From: a@acme.test\r\n\r\n'), Buffer.alloc(line.length * 100_000, line)]);
    const [result] = await connectTo(t, server).send(outgoing({ raw }), never);
    assert.equal(result?.outcome.kind, 'sent');
    assert.ok(server.messages[0]?.raw.equals(raw));
  });

  it('hears an answer to the final dot that comes at the last moment of the ten times that RFC 5321 gives it', async t => {
    const timeout = 2_000;
    const server = await startSmarthost(t, undefined, {
      onData: (stream, _session, callback) => {
        stream.resume().on('end', () => setTimeout(() => callback(null, '2.0.0 Ok: queued as 4F2A1B'), 10 * timeout));
      },
    });
    const [result] = await connectTo(t, server, { timeout }).send(outgoing({}), never);
    assert.equal(result?.outcome.kind, 'sent', JSON.stringify(result?.outcome));
  });

  it('tells each recipient its own fate', async t => {
    const answers: Record<string, string> = { [ANN]: '550 5.1.1 no such user', [CY]: '452 4.5.3 too many recipients' };
    const server = await startSmarthost(t, (step, line) =>
      step === 'RCPT' ? answers[line.slice('RCPT TO:<'.length, -1)] : undefined,
    );
    const outcomes = await connectTo(t, server).send(outgoing({ recipients: [ANN, BOB, CY] }), never);
    assert.deepEqual(
      outcomes.map(({ recipients, outcome }) => [recipients, outcome.kind]),
      [
        [[ANN], 'permanent'],
        [[CY], 'transient'],
        [[BOB], 'sent'],
      ],
    );
    assert.deepEqual(server.messages[0]?.recipients, [BOB]);
  });

  it('keeps what RCPT said where the message fails later', async t => {
    const server = await startSmarthost(t, (step, line) => {
      if (step === '.') return 'close';
      return line.includes(ANN) ? '550 5.1.1 no such user' : undefined;
    });
    const outcomes = await connectTo(t, server).send(outgoing({ recipients: [ANN, BOB] }), never);
    assert.deepEqual(
      outcomes.map(({ recipients, outcome }) => [recipients, outcome.kind]),
      [
        [[ANN], 'permanent'],
        [[BOB], 'unknown'],
      ],
    );
  });

  it('says SMTPUTF8 where an address or a header field needs it', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server, { connections: 1 });
    const raw = Buffer.from('From: a@acme.test\r\nSubject: Grüße\r\n\r\nHello\r\n');
    await transport.send(outgoing({ recipients: ['jürgen@example.com'], smtpUtf8: true }), never);
    await transport.send(outgoing({ raw, smtpUtf8: true }), never);
    await transport.send(outgoing({ raw }), never);
    await transport.send(outgoing({ smtpUtf8: true }), never);
    const mails = server.commands.filter(command => command.includes('MAIL FROM'));
    assert.deepEqual(
      mails.map(command => [command.includes(' SMTPUTF8'), command.includes(' BODY=8BITMIME')]),
      [
        [true, false],
        [true, true],
        [false, true],
        [false, false],
      ],
    );
    assert.equal(server.messages.length, 4);
  });

  it('refuses for good what the smarthost does not offer', async t => {
    const server = await startSmarthost(t, undefined, { hideSMTPUTF8: true, hide8BITMIME: true, size: 1000 });
    const transport = connectTo(t, server);
    const eightBit = Buffer.from('From: a@acme.test\r\n\r\nGrüße\r\n');
    const cases = [
      [{ recipients: ['jürgen@example.com'] }, '5.6.7'],
      [{ reversePath: 'jürgen@acme.test' }, '5.6.7'],
      [{ raw: Buffer.from('Subject: ü\r\n\r\n'), smtpUtf8: true }, '5.6.7'],
      [{ raw: eightBit }, '5.6.3'],
      [{ raw: Buffer.alloc(1001, 'x') }, '5.3.4'],
      [{ recipients: ['"a>b"@example.com'] }, '5.1.3'],
    ] as const;
    for (const [overrides, code] of cases) {
      const [result] = await transport.send(outgoing(overrides), never);
      assert.ok(result?.outcome.kind === 'permanent' && result.outcome.code === code, JSON.stringify(result));
      assert.ok(result.outcome.message.startsWith(code));
    }
    assert.deepEqual(server.messages, []);
  });

  it('leaves out only the recipients that the smarthost cannot take', async t => {
    const server = await startSmarthost(t, undefined, { hideSMTPUTF8: true });
    const outcomes = await connectTo(t, server).send(outgoing({ recipients: ['jürgen@example.com', BOB] }), never);
    assert.deepEqual(
      outcomes.map(({ recipients, outcome }) => [recipients, outcome.kind]),
      [
        [['jürgen@example.com'], 'permanent'],
        [[BOB], 'sent'],
      ],
    );
  });

  it('is transient where nobody listens', async t => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await eventually(() => server.listening);
    const { port } = server.address() as net.AddressInfo;
    await new Promise(resolve => server.close(resolve));
    const [result] = await connectTo(t, { port }).send(outgoing(), never);
    assert.ok(result?.outcome.kind === 'transient' && result.outcome.code === 'ECONNREFUSED', JSON.stringify(result));
  });

  it('ends a call under way when the worker stops', async t => {
    for (const [step, kind] of [
      ['MAIL', 'transient'],
      ['.', 'unknown'],
    ] as const) {
      const stop = new AbortController();
      const server = await startSmarthost(t, current => {
        if (current !== step) return undefined;
        stop.abort();
        return 'hang';
      });
      const [result] = await connectTo(t, server).send(outgoing(), stop.signal);
      assert.ok(result && result.outcome.kind === kind, `${step}: ${JSON.stringify(result)}`);
      assert.equal('code' in result.outcome && result.outcome.code, 'ABORTED');
    }
  });
});

/** A server that breaks in the middle of a message, after it has said `lastWords`. */
async function startBreaking(t: TestContext, lastWords: string): Promise<number> {
  const server = net.createServer(socket => {
    socket.on('error', () => {});
    socket.write('220 breaking.test\r\n');
    let received = '';
    socket.on('data', (chunk: Buffer) => {
      if (received.endsWith('DATA\r\n')) return void socket.end(lastWords);
      received += chunk.toString('latin1');
      if (received.endsWith('DATA\r\n')) socket.write('354 go on\r\n');
      else socket.write('250 Ok\r\n');
    });
  });
  server.listen(0, '127.0.0.1');
  t.after(() => void server.close());
  await eventually(() => server.listening);
  return (server.address() as net.AddressInfo).port;
}

describe('a message that is broken off', () => {
  const raw = Buffer.concat([Buffer.from('From: a@acme.test\r\n\r\n'), Buffer.alloc(30_000_000, 'xxxxxxx\r\n')]);

  it('was not taken without its final dot', async t => {
    const port = await startBreaking(t, '');
    const [result] = await connectTo(t, { port }).send(outgoing({ raw }), never);
    assert.equal(result?.outcome.kind, 'transient', JSON.stringify(result));
  });

  it('is refused as the reply says', async t => {
    const port = await startBreaking(t, '552 5.3.4 too large\r\n');
    const transport = connectTo(t, { port });
    for (const _ of ['once', 'and again, on another connection']) {
      const [result] = await transport.send(outgoing({ raw }), never);
      assert.ok(result?.outcome.kind === 'permanent' && result.outcome.code === '552', JSON.stringify(result));
    }
  });
});

describe('connections to a smarthost', { concurrency: 4 }, () => {
  it('are kept, and no more than allowed', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server, { connections: 2 });
    const results = await Promise.all(Array.from({ length: 20 }, () => transport.send(outgoing(), never)));
    assert.ok(results.every(([result]) => result?.outcome.kind === 'sent'));
    assert.deepEqual([...new Set(server.messages.map(({ connection }) => connection))].sort(), [1, 2]);
    assert.equal(server.open, 2);
  });

  it('are replaced after so many messages', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server, { connections: 1, messagesPerConnection: 2 });
    for (let number = 0; number < 5; number += 1) await transport.send(outgoing(), never);
    assert.deepEqual(
      server.messages.map(({ connection }) => connection),
      [1, 1, 2, 2, 3],
    );
    assert.ok(server.commands.includes('1 QUIT') && server.commands.includes('2 QUIT'));
  });

  it('are closed without work, and with QUIT', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server, { idleTimeout: 50 });
    await transport.send(outgoing(), never);
    await eventually(() => server.open === 0);
    assert.equal(server.commands.at(-1), '1 QUIT');
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent');
  });

  it('end with QUIT when the transport is closed, which takes nothing any more', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server);
    await transport.send(outgoing(), never);
    await transport.close();
    assert.equal(server.commands.at(-1), '1 QUIT');
    await eventually(() => server.open === 0);
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'transient');
  });

  it('finish what they have when the transport is closed', async t => {
    const closing: Promise<void>[] = [];
    const server = await startSmarthost(t, step => {
      if (step === '.') closing.push(transport.close());
      return undefined;
    });
    const transport = connectTo(t, server);
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent');
    await Promise.all(closing);
    assert.equal(server.commands.at(-1), '1 QUIT');
  });

  it('are cleared by RSET after a message that was refused', async t => {
    let mails = 0;
    const server = await startSmarthost(t, step => (step === 'RCPT' && mails++ === 0 ? '550 5.1.1 no' : undefined));
    const transport = connectTo(t, server, { connections: 1 });
    const [refused] = await transport.send(outgoing(), never);
    const [sent] = await transport.send(outgoing(), never);
    assert.equal(refused?.outcome.kind, 'permanent');
    assert.equal(sent?.outcome.kind, 'sent');
    assert.equal(server.commands.filter(command => command === '1 RSET').length, 1);
  });

  it('fail no message by having been closed by the other side', async t => {
    const server = await startSmarthost(t);
    const transport = connectTo(t, server);
    await transport.send(outgoing(), never);
    server.disconnect();
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent');
    server.announce('421 4.4.2 idle for too long');
    const [again] = await transport.send(outgoing(), never);
    assert.equal(again?.outcome.kind, 'sent');
  });

  for (const [what, answer] of [
    ['break at MAIL', 'close'],
    ['answer MAIL with 421', '421 4.4.2 idle for too long'],
  ] as const) {
    it(`that ${what} are tried anew once, if they were used before`, async t => {
      let mails = 0;
      const server = await startSmarthost(t, step => (step === 'MAIL' && ++mails === 2 ? answer : undefined));
      const transport = connectTo(t, server);
      await transport.send(outgoing(), never);
      const [result] = await transport.send(outgoing(), never);
      assert.equal(result?.outcome.kind, 'sent');
      assert.deepEqual(
        server.messages.map(({ connection }) => connection),
        [1, 2],
      );
    });
  }

  it('are not tried anew where the message may have been taken', async t => {
    let dots = 0;
    const server = await startSmarthost(t, step => (step === '.' && ++dots === 2 ? 'close' : undefined));
    const transport = connectTo(t, server);
    await transport.send(outgoing(), never);
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'unknown');
    assert.equal(dots, 2);
  });

  it('make do with as many as the smarthost allows', async t => {
    const server = await startSmarthost(t, (step, _line, connection) =>
      step === 'CONNECT' && connection > 1 ? '421 4.7.0 too many connections' : undefined,
    );
    const transport = connectTo(t, server, { connections: 5 });
    await transport.send(outgoing(), never);
    const results = await Promise.all(Array.from({ length: 10 }, () => transport.send(outgoing(), never)));
    assert.ok(
      results.every(([result]) => result?.outcome.kind === 'sent'),
      JSON.stringify(results),
    );
  });

  it('fail all that wait at once where none can be opened', async t => {
    let tries = 0;
    const server = await startSmarthost(t, step => {
      if (step === 'CONNECT') tries += 1;
      return step === 'CONNECT' ? '554 5.3.2 closed' : undefined;
    });
    const transport = connectTo(t, server, { connections: 1 });
    const results = await Promise.all(Array.from({ length: 10 }, () => transport.send(outgoing(), never)));
    assert.ok(results.every(([result]) => result?.outcome.kind === 'transient'));
    assert.equal(tries, 1);
  });
});

describe('a smarthost with TLS', { concurrency: 4 }, () => {
  const withStartTls = { disabledCommands: [], authOptional: true };

  it('is spoken to by STARTTLS before the log-in', async t => {
    const { cert, key, caPath } = await makeCertificate(t);
    const server = await startSmarthost(t, undefined, { ...withStartTls, cert, key });
    const user = { user: 'relay', password: 'pa55word' };
    const transport = connectTo(t, server, { security: 'starttls', caPath, ...user });
    const [result] = await transport.send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent', JSON.stringify(result));
    const words = server.commands.map(command => command.split(' ')[1]);
    assert.deepEqual(words.slice(0, 4), ['EHLO', 'STARTTLS', 'EHLO', 'AUTH']);
  });

  it('is spoken to by TLS from the first byte', async t => {
    const { cert, key, caPath } = await makeCertificate(t);
    const server = await startSmarthost(t, undefined, { secure: true, cert, key });
    const [result] = await connectTo(t, server, { security: 'tls', caPath }).send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent', JSON.stringify(result));
  });

  it('gets nothing in clear text where it has no STARTTLS', async t => {
    const server = await startSmarthost(t);
    const user = { user: 'relay', password: 'pa55word' };
    const [result] = await connectTo(t, server, { security: 'starttls', ...user }).send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'transient');
    assert.ok(!server.commands.some(command => /AUTH|MAIL/.test(command)));
  });

  it('gets nothing where its certificate is of an authority that is not trusted', async t => {
    const { cert, key } = await makeCertificate(t);
    const server = await startSmarthost(t, undefined, { ...withStartTls, cert, key });
    const [result] = await connectTo(t, server, { security: 'starttls' }).send(outgoing(), never);
    assert.ok(result?.outcome.kind === 'transient', JSON.stringify(result));
    assert.match('message' in result.outcome ? result.outcome.message : '', /^TLS with the smarthost failed$/);
    assert.ok(!server.commands.some(command => /MAIL/.test(command)));
  });

  it('is logged in to with LOGIN where it has no PLAIN, and a password that a file holds', async t => {
    const { cert, key, caPath, directory } = await makeCertificate(t);
    const passwordFile = join(directory, 'password');
    await writeFile(passwordFile, 'pa55word\n');
    const server = await startSmarthost(t, undefined, { secure: true, cert, key, authMethods: ['LOGIN'] });
    const options = { security: 'tls', caPath, user: 'relay', passwordFile } as const;
    const [result] = await connectTo(t, server, options).send(outgoing(), never);
    assert.equal(result?.outcome.kind, 'sent', JSON.stringify(result));
    assert.ok(server.commands.includes('1 AUTH LOGIN'));
  });

  it('is not told a password that it does not ask for', async t => {
    const server = await startSmarthost(t, undefined, { disabledCommands: ['AUTH', 'STARTTLS'] });
    const user = { user: 'relay', password: 'pa55word' };
    const [result] = await connectTo(t, server, user).send(outgoing(), never);
    assert.ok(result?.outcome.kind === 'transient' && result.outcome.code === 'ENOAUTH', JSON.stringify(result));
  });
});
