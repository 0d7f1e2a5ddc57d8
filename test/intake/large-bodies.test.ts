import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import type pg from 'pg';
import { newTrace } from '../../src/observability/tracing.ts';
import { insertMessages } from '../../src/store/messages/insert.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, SmtpClient } from '../support/smtp-client.ts';

const MIB = 1024 * 1024;

/** Whatever characters: each of these lines is written another way as JSON, or longer than it was. */
const LINES = {
  ASCII: 'The quick brown fox jumps over the lazy dog.\r\n',
  'control characters': '\x01\x02\x07\x08\x0b\x0c\x0e\x1f\x7f"\\\r\n',
  'characters of two to four bytes': 'Grüße 日本 🙂\u2028\r\n',
};

async function startBoth(): Promise<Record<'opensend' | 'standalone', TestRelay>> {
  const opensend = await startRelay({ after }, { queue: false });
  const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });
  return { opensend, standalone };
}

const relays = await startBoth();

async function submit(t: Parameters<typeof SmtpClient.loggedIn>[0], relay: TestRelay, data: string): Promise<string> {
  const client = await SmtpClient.loggedIn(t, relay);
  return emailIdOf(await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0'));
}

async function bodiesOf(relay: TestRelay, id: string): Promise<{ text: string | null; html: string | null }> {
  const { rows } = await relay.db.query('select text, html from emails where id = $1', [id]);
  return rows[0];
}

for (const [pipeline, relay] of Object.entries(relays)) {
  describe(`a large body, ${pipeline}`, () => {
    for (const [what, line] of Object.entries(LINES)) {
      it(`arrives as it was written: ${what}`, async t => {
        const body = line.repeat(Math.ceil((2 * MIB) / Buffer.byteLength(line)));
        const header = [
          'From: a@acme.test',
          'Content-Type: text/plain; charset=utf-8',
          'Content-Transfer-Encoding: 8bit',
        ];
        const id = await submit(t, relay, [...header, '', body].join('\r\n'));
        const { text, html } = await bodiesOf(relay, id);
        assert.equal(html, null);
        assert.ok(text === `${body}\r\n`.replaceAll('\r\n', '\n'), 'the text as it was');
      });
    }

    it('arrives beside another, and beside an attachment', async t => {
      const text = 'Grüße\r\n'.repeat(100_000);
      const html = '<p>日本 🙂</p>\r\n'.repeat(100_000);
      const parts = [
        ['Content-Type: text/plain; charset=utf-8', '', text],
        ['Content-Type: text/html; charset=utf-8', '', html],
        ['Content-Type: application/pdf', 'Content-Transfer-Encoding: base64', '', 'QUJD'],
      ];
      const lines = parts.flatMap(part => ['--b', ...part]);
      const header = ['From: a@acme.test', 'Content-Type: multipart/mixed; boundary=b', ''];
      const stored = await bodiesOf(relay, await submit(t, relay, [...header, ...lines, '--b--'].join('\r\n')));
      assert.ok(stored.text === text.replaceAll('\r\n', '\n'));
      assert.ok(stored.html === html.replaceAll('\r\n', '\n'));
    });

    it('with NUL in it is refused', async t => {
      const client = await SmtpClient.loggedIn(t, relay);
      const body = `${'x'.repeat(76)}=\r\n`.repeat(10_000);
      const header = ['From: a@acme.test', 'Content-Transfer-Encoding: quoted-printable'];
      const data = [...header, '', `${body}=00`].join('\r\n');
      await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '554 5.6.0');
    });
  });
}

it('lines that SES refuses are broken in a large body beside an attachment', async t => {
  const body = '日本🙂'.repeat(200_000);
  const attachment = ['--b', 'Content-Type: application/pdf', 'Content-Transfer-Encoding: base64', '', 'QUJD', '--b--'];
  const header = ['From: a@acme.test', 'Content-Type: multipart/mixed; boundary=b', ''];
  const part = ['--b', 'Content-Type: text/plain; charset=utf-8', '', body];
  const id = await submit(t, relays.opensend, [...header, ...part, ...attachment].join('\r\n'));
  const { text } = await bodiesOf(relays.opensend, id);
  assert.equal(text?.replaceAll('\n', ''), body);
  assert.ok(text?.split('\n').every(line => Buffer.byteLength(line) <= 998));
});

describe('known defect: a large text was copied into JSON', () => {
  const message = {
    id: '0b8e1c9e-6f0c-4f0e-9d7a-2f5a3c1d4e6f',
    userId: 'u',
    from: 'a@acme.test',
    to: ['b@example.com'],
    cc: [],
    bcc: [],
    replyTo: [],
    subject: 's',
    headers: {},
    attachments: [],
    attachmentsJson: null,
    tags: [],
    trace: newTrace(),
    messageId: null,
    original: null,
    idempotency: null,
  };

  /** What is written to the connection, in place of a server. */
  async function written(
    text: string | Buffer,
    html: string | Buffer | null,
  ): Promise<{ json: string; slices: number[] }> {
    const slices: Buffer[] = [];
    const connection = {
      stream: {
        write(bytes: Buffer, done: () => void) {
          slices.push(Buffer.from(bytes));
          setImmediate(done);
        },
      },
      parse: () => {},
      bind: () => {},
      describe: () => {},
      execute: () => {},
      sync: () => query?.callback(null, [{ rows: [] }, { rows: [] }]),
    };
    let query: { callback: (error: null, result: unknown) => void; submit: (to: unknown) => void } | undefined;
    const db = {
      query(sent: typeof query, _values: undefined, done: (error: null, result: unknown) => void) {
        if (!sent) throw new Error('nothing is sent');
        query = sent;
        query.callback = done;
        query.submit(connection);
      },
    };
    await insertMessages(db as unknown as pg.Pool, [{ ...message, text, html }], { outboxLease: null });
    const all = Buffer.concat(slices).toString('latin1');
    const json = all.slice(all.indexOf('[{'), all.indexOf('}]') + 2);
    return { json, slices: slices.map(({ length }) => length) };
  }

  it('it is a parameter of its own, written from where it is', async () => {
    const { json, slices } = await written(Buffer.alloc(3 * MIB, '\x01'), Buffer.alloc(MIB, '<'));
    const [row] = JSON.parse(json);
    assert.deepEqual([row.text, row.html], [undefined, undefined]);
    assert.ok(json.length < 1_000);
    assert.ok(Math.max(...slices) <= MIB / 4, 'slice by slice');
    assert.ok(slices.reduce((sum, length) => sum + length, 0) > 4 * MIB);
  });
});
