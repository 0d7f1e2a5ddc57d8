import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { base64, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after }, { queue: false });
const key = relay.owner.apiKey;

/** What the client sends, line by line, and how the replies begin. */
type Dialogue = readonly (readonly [line: string, reply: string])[];

function say(name: string, dialogue: Dialogue): void {
  it(name, async t => {
    const client = await SmtpClient.secured(t, relay);
    for (const [line, reply] of dialogue) await client.command(line, reply);
  });
}

const plain = base64(`\0apikey\0${key}`);
const ACCEPTED = '235 2.7.0';
const USERNAME = '334 VXNlcm5hbWU6';
const PASSWORD = '334 UGFzc3dvcmQ6';

describe('AUTH PLAIN', () => {
  say('with an initial response', [[`AUTH PLAIN ${plain}`, ACCEPTED]]);
  say('without one', [
    ['AUTH PLAIN', '334 '],
    [plain, ACCEPTED],
  ]);
  say('in any case', [[`aUtH pLaIn ${plain}`, ACCEPTED]]);
  say('with white space to spare', [[`AUTH  PLAIN   ${plain}  `, ACCEPTED]]);
  say('with an authorisation identity', [[`AUTH PLAIN ${base64(`someone\0else\0${key}`)}`, ACCEPTED]]);
  say('with an empty user name', [[`AUTH PLAIN ${base64(`\0\0${key}`)}`, ACCEPTED]]);
  say('with a user name of 8-bit characters', [[`AUTH PLAIN ${base64(`\0jürgen@bücher.example\0${key}`)}`, ACCEPTED]]);
  say('with white space around the key, as pasted', [[`AUTH PLAIN ${base64(`\0apikey\0 ${key}\n`)}`, ACCEPTED]]);
  say('with an empty initial response', [['AUTH PLAIN =', '501 5.5.2']]);
  say('cancelled', [
    ['AUTH PLAIN', '334 '],
    ['*', '501 5.7.0'],
    [`AUTH PLAIN ${plain}`, ACCEPTED],
  ]);
  say('cancelled at once', [['AUTH PLAIN *', '501 5.7.0']]);
  for (const bad of ['!!!!', 'YQ', 'YQ===', 'YQ=a', 'a b', base64('no nul'), base64('a\0b'), base64('a\0b\0c\0d')]) {
    say(`malformed: ${bad}`, [
      ['AUTH PLAIN', '334 '],
      [bad, '501 5.5'],
      [`AUTH PLAIN ${bad}`, '501 5.5'],
      ['NOOP', '250 2.0.0'],
      [`AUTH PLAIN ${plain}`, ACCEPTED],
    ]);
  }
});

describe('AUTH LOGIN', () => {
  say('without an initial response', [
    ['AUTH LOGIN', USERNAME],
    [base64('apikey'), PASSWORD],
    [base64(key), ACCEPTED],
  ]);
  say('known defect: old devices send the user name as initial response: accepted', [
    [`AUTH LOGIN ${base64('apikey')}`, PASSWORD],
    [base64(key), ACCEPTED],
  ]);
  say('known defect: old devices write verbs in lower case: accepted', [
    ['auth login', USERNAME],
    [base64('apikey'), PASSWORD],
    [base64(key), ACCEPTED],
  ]);
  say('with an empty user name', [
    ['AUTH LOGIN', USERNAME],
    ['', PASSWORD],
    [base64(key), ACCEPTED],
  ]);
  say('with an empty user name as initial response', [
    ['AUTH LOGIN =', PASSWORD],
    [base64(key), ACCEPTED],
  ]);
  say('cancelled at the user name', [
    ['AUTH LOGIN', USERNAME],
    ['*', '501 5.7.0'],
    ['NOOP', '250 2.0.0'],
  ]);
  say('cancelled at the password', [
    ['AUTH LOGIN', USERNAME],
    [base64('apikey'), PASSWORD],
    ['*', '501 5.7.0'],
    [`AUTH PLAIN ${plain}`, ACCEPTED],
  ]);
  say('malformed user name', [
    ['AUTH LOGIN', USERNAME],
    ['apikey!', '501 5.5.2'],
    ['NOOP', '250 2.0.0'],
  ]);
  say('malformed initial response', [
    ['AUTH LOGIN apikey!', '501 5.5.2'],
    ['NOOP', '250 2.0.0'],
  ]);
  say('malformed password', [
    ['AUTH LOGIN', USERNAME],
    [base64('apikey'), PASSWORD],
    [`${base64('0123456789')}=`, '501 5.5.2'],
    ['NOOP', '250 2.0.0'],
  ]);
});

describe('AUTH', () => {
  for (const [name, wrong] of [
    ['an unknown key', 'os_live_unknown'],
    ['an empty key', ''],
    ['a key cut short', key.slice(0, -1)],
    ['a key in another case', key.toUpperCase()],
  ] as const) {
    say(`refuses ${name}`, [
      [`AUTH PLAIN ${base64(`\0apikey\0${wrong}`)}`, '535 5.7.8 Authentication failed'],
      ['AUTH LOGIN', USERNAME],
      [base64('apikey'), PASSWORD],
      [wrong === '' ? '=' : base64(wrong), '535 5.7.8 Authentication failed'],
      ['MAIL FROM:<a@acme.test>', '530 5.7.0'],
      [`AUTH PLAIN ${plain}`, ACCEPTED],
      ['MAIL FROM:<a@acme.test>', '250 2.1.0'],
    ]);
  }
  say('has lines of 12,288 octets and no more: the session goes on', [
    [`AUTH PLAIN ${'A'.repeat(12_276)}`, '501 5.5.2'],
    [`AUTH PLAIN ${'A'.repeat(12_280)}`, '500 5.5.6'],
    ['AUTH PLAIN', '334 '],
    ['A'.repeat(12_292), '500 5.5.6'],
    ['AUTH LOGIN', USERNAME],
    ['A'.repeat(20_000), '500 5.5.6'],
    [`AUTH PLAIN ${plain}`, ACCEPTED],
  ]);
  say('refuses other mechanisms', [
    ['AUTH CRAM-MD5', '504 5.5.4'],
    ['AUTH XOAUTH2 abc=', '504 5.5.4'],
    ['AUTH', '501 5.5.4'],
    [`AUTH PLAIN ${plain} more`, '501 5.5.4'],
  ]);
  say('comes once', [
    [`AUTH PLAIN ${plain}`, ACCEPTED],
    [`AUTH PLAIN ${plain}`, '503 5.5.1'],
    ['AUTH LOGIN', '503 5.5.1'],
    ['RSET', '250 2.0.0'],
    [`AUTH PLAIN ${plain}`, '503 5.5.1'],
  ]);
  say('is required for MAIL, RCPT and DATA', [
    ['MAIL FROM:<a@acme.test>', '530 5.7.0'],
    ['RCPT TO:<a@acme.test>', '530 5.7.0'],
    ['DATA', '530 5.7.0'],
  ]);
  say('takes lines of the 12,288 bytes that RFC 4954 asks for', [
    ['AUTH PLAIN', '334 '],
    [base64(`\0${'u'.repeat(9_000)}\0${key}`), ACCEPTED],
  ]);
});

describe('known defect: failed log-ins without end: 421 after ten', () => {
  it('by AUTH PLAIN', async t => {
    const client = await SmtpClient.secured(t, relay);
    for (let attempt = 1; attempt <= 10; attempt += 1) await client.logIn(`wrong ${attempt}`, '535 5.7.8');
    await client.logIn('wrong 11', '421 4.7.0');
    await client.closed;
  });

  it('by AUTH LOGIN, and with the right key too', async t => {
    const client = await SmtpClient.secured(t, relay);
    for (let attempt = 1; attempt <= 10; attempt += 1) {
      await client.command(`AUTH LOGIN ${base64('apikey')}`, PASSWORD);
      await client.command(base64('wrong'), '535 5.7.8');
    }
    await client.logIn(key, '421 4.7.0');
    await client.closed;
  });

  it('pipelined', async t => {
    const client = await SmtpClient.secured(t, relay);
    await client.send(`AUTH PLAIN ${base64('\0\0wrong')}\r\n`.repeat(50));
    for (let attempt = 1; attempt <= 10; attempt += 1) await client.expect('535 5.7.8');
    await client.expect('421 4.7.0');
    await client.closed;
  });
});

describe('every AUTH that comes to nothing counts', () => {
  const LOGIN = `AUTH LOGIN ${base64('apikey')}`;
  for (const [name, lines] of [
    ['malformed', ['AUTH PLAIN !!!!']],
    ['without a mechanism', ['AUTH']],
    ['with a parameter too many', [`AUTH PLAIN ${plain} x`]],
    ['by an unknown mechanism', ['AUTH CRAM-MD5']],
    ['cancelled', ['AUTH PLAIN', '*']],
    ['half malformed', [LOGIN, '!!!!']],
    ['without the fields of PLAIN', [`AUTH PLAIN ${base64('no nul')}`]],
  ] as const) {
    it(`${name}: 421 after ten, and as few lines in the log`, async t => {
      const client = await SmtpClient.secured(t, relay);
      const before = relay.logs.length;
      await client
        .send(
          lines
            .map(line => `${line}\r\n`)
            .join('')
            .repeat(300),
        )
        .catch(() => {});
      let replies = 0;
      let reply = await client.reply();
      for (; reply.code !== 421; reply = await client.reply()) replies += 1;
      assert.match(reply.last, /^421 4\.7\.0 Too many failed logins/);
      assert.equal(replies, 10 * lines.length);
      await client.closed;
      assert.ok(relay.logs.length - before <= 15, `${relay.logs.length - before} lines`);
    });
  }

  it('before EHLO and before STARTTLS, too', async t => {
    const client = await SmtpClient.greeted(t, relay);
    for (let attempt = 1; attempt <= 10; attempt += 1) await client.command(`AUTH PLAIN ${plain}`, '538 5.7.11');
    await client.command('AUTH LOGIN', '421 4.7.0');
    await client.closed;
    const hasty = await SmtpClient.connect(t, relay);
    await hasty.expect('220 ');
    for (let attempt = 1; attempt <= 10; attempt += 1) await hasty.command(`AUTH PLAIN ${plain}`, '503 5.5.1');
    await hasty.command('AUTH LOGIN', '421 4.7.0');
  });
});
