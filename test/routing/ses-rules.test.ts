import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { compose } from '../../src/delivery/outgoing/compose.ts';
import { decide, type Facts } from '../../src/intake/decide.ts';
import { isAscii, localPartOf, parseAddress, quoteOddDots } from '../../src/message/addresses/address.ts';
import { readSender } from '../../src/message/addresses/originators.ts';
import { MAX_LINE } from '../../src/message/bytes.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { mend } from '../../src/message/mending/mend.ts';
import { readMessage } from '../../src/message/mime/read-message.ts';
import { Refusal } from '../../src/message/refusal.ts';
import { transportLimits } from '../../src/routing/routes.ts';
import { SES_RULES } from '../../src/routing/ses-rules.ts';
import { PARTS_OPTIONS } from '../message/read-parts.ts';
import { Random, randomMail } from '../support/random-mail.ts';
import { readAddresses } from '../support/ses/strict/addresses.ts';
import { rawFault } from '../support/ses/strict/raw.ts';

const COMPOSE = {
  emailId: '4bf7c8f9-fd1b-419e-810e-a8d6a4fe3e43',
  acceptedAt: new Date('2026-11-03T09:05:07.890Z'),
  fromDomain: 'acme.test',
  plainAddresses: true,
};
const FACTS: Facts = {
  keyDomain: null,
  foreignDomain: null,
  foreignReturn: null,
  suppressed: [],
  outside: [],
  transport: transportLimits('ses'),
  sentAsReceived: true,
};
const SEEDS = 10_000;

/** What the relay says to a message that is to go through SES; null where it takes it. */
async function refusalOf(raw: Buffer): Promise<Refusal | null> {
  try {
    const fields = readHeaderFields(raw, 1_000_000);
    const sender = readSender(fields);
    const longestLine = Math.max(
      ...raw
        .toString('latin1')
        .split('\r\n')
        .map(line => line.length),
    );
    const options = { ...PARTS_OPTIONS, contents: false, longLines: longestLine > MAX_LINE };
    const { contentFields, mending } = await readMessage(raw, fields, options);
    const question = { sender, recipients: [], bytes: raw.length, longestLine, fields, contentFields, mending };
    return decide(question, FACTS);
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function message(...fields: readonly string[]): Buffer {
  return Buffer.from(`${['From: a@acme.test', ...fields].join('\r\n')}\r\n\r\nx\r\n`);
}

async function replyTo(...fields: readonly string[]): Promise<string | null> {
  const refusal = await refusalOf(message(...fields));
  return refusal && `${refusal.code} ${refusal.enhancedCode} ${refusal.message}`;
}

describe('what SES refuses', () => {
  it('is refused at the acceptance, in ten thousand messages of all kinds', async () => {
    const counts = { taken: 0, mended: 0, refused: new Map<string, number>() };
    for (let seed = 0; seed < SEEDS; seed += 1) {
      const { raw } = randomMail(seed, 'acme.test', seed % 3 === 0);
      const refusal = await refusalOf(raw);
      if (refusal) counts.refused.set(refusal.rule, (counts.refused.get(refusal.rule) ?? 0) + 1);
      else {
        counts.taken += 1;
        if ((await mend(raw, { lines: false, types: true })) !== raw) counts.mended += 1;
        const sent = compose(await mend(raw, { lines: true, types: true }), COMPOSE);
        assert.equal(rawFault(sent), null, `seed ${seed}:\n${raw}\n--- goes out as\n${sent}`);
      }
    }
    // Were nearly all refused, or none by a rule, nothing would be tried.
    assert.ok(counts.taken > SEEDS / 3, `${counts.taken} taken`);
    assert.ok(counts.mended > 100, `${counts.mended} mended`);
    for (const rule of ['header_twice', 'address_syntax', 'attachment_type', 'line_length']) {
      assert.ok((counts.refused.get(rule) ?? 0) > 10, `${rule}: ${JSON.stringify([...counts.refused])}`);
    }
  });

  it('names a header that may be there once, whatever its case', async () => {
    for (const name of [
      'Subject',
      'LIST-ID',
      'dkim-signature',
      'Comments',
      'acceptLanguage',
      'Organization',
      'To',
      'CC',
    ]) {
      const value = /^(?:to|cc)$/i.test(name) ? 'b@x.test' : 'x';
      const reply = await replyTo(`${name.toLowerCase()}: ${value}`, `X-Between: y`, `${name}: ${value}`);
      assert.match(reply ?? '', new RegExp(`^550 5\\.6\\.0 Header ${name} is there twice`));
      assert.equal(await replyTo(`${name}: ${value}`), null);
    }
  });

  it('does not count what does not go out, and what may be there often', async () => {
    for (const name of [
      'Delivered-To',
      'Errors-To',
      'Bcc',
      'Return-Path',
      'Resent-Bcc',
      'X-SES-TENANT',
      'X-OpenSend-New',
      'Received',
      'X-Any',
      'ARC-Seal',
    ]) {
      assert.equal(await replyTo(`${name}: <a@x.test>`, `${name}: <b@x.test>`), null, name);
    }
  });

  it('names a field of addresses that cannot be read', async () => {
    for (const field of [
      'Cc: <First Last <first@example.com, Second Person <second@example.com>',
      'Reply-To: Acme, Inc. <h@acme.test>',
      'To: Bob',
      'Sender: jürgen@acme.test',
      'cc: jürgen@example.com',
    ]) {
      const [name = ''] = field.split(':');
      assert.match(
        (await replyTo(field)) ?? '',
        new RegExp(`^554 5\\.6\\.0 Header ${name} cannot be read \\(.+\\)`),
        field,
      );
    }
  });

  it('names a content field that is not of its form where that is signed, and a type of file', async () => {
    const broken = 'Content-Type: application/pdf; name=my report.pdf';
    assert.equal(await replyTo(broken), null);
    const reply = (await replyTo('DKIM-Signature: v=1', broken)) ?? '';
    assert.match(reply, /^554 5\.6\.0 A Content-Type header is not of the form/);
    const file = 'Content-Disposition: attachment; filename="Setup.EXE"';
    assert.match((await replyTo(file)) ?? '', /^554 5\.6\.0 Amazon SES carries no \.EXE files/);
  });

  it('takes a multipart without parts, which goes out as the text it is; one that is signed is refused', async () => {
    const mixed = 'Content-Type: multipart/mixed; boundary=b';
    const within = '--b\r\nContent-Type: multipart/alternative; boundary=c; charset=koi8-r\r\n\r\n--c--\r\n--b--';
    const loose = [
      [mixed, 'Hello'],
      [mixed, '--b--'],
      [mixed, '--another\r\n\r\nHello\r\n--another--'],
      ['Content-Type: multipart/mixed', '--b\r\n\r\nHello\r\n--b--'],
      ['Content-Type: multipart/mixed; boundary="bé"', '--bé\r\n\r\nHello\r\n--bé--'],
      [mixed, within],
    ] as const;
    for (const [type, body] of loose) {
      assert.equal(await replyTo(type, '', body), null, body);
      const sent = compose(await mend(message(type, '', body), { lines: true, types: true }), COMPOSE);
      assert.equal(rawFault(sent), null, String(sent));
      assert.match(String(sent), /^Content-Type: text\/plain(?:; charset=koi8-r)?\r$/m);
      const reply = (await replyTo('DKIM-Signature: v=1', type, '', body)) ?? '';
      assert.match(reply, /^554 5\.6\.0 A multipart has no parts, .*: mend the client$/, body);
    }
    for (const [type, body] of [
      [mixed, '--b\r\n\r\nHello\r\n--b--'],
      [mixed, '--b\r\n\r\nnot closed'],
      [mixed, '--b\r\n--b--'],
      ['Content-Type: multipart/mixed; boundary=(c)b', '--b\r\n\r\nHello\r\n--b--'],
    ] as const) {
      assert.equal(await replyTo(type, '', body), null);
      assert.match(String(await mend(message(type, '', body), { lines: true, types: true })), /multipart\/mixed/);
    }
  });

  it('takes every address that RCPT takes', () => {
    const pieces = [...`aB9.."\\@[]<>(),;: \t-_+=%!/'~|\x01\x7fé`, '\\"', 'xn--', '..', '"a b"', '.a'];
    const domains = ['example.com', 'b\u00fccher.example', '[127.0.0.1]', '[IPv6:::1]', 'a_b.example', 'localhost'];
    const random = new Random(1);
    let taken = 0;
    for (let count = 0; count < 50_000; count += 1) {
      const written = Array.from({ length: 1 + random.upTo(4) }, () => random.pick(pieces)).join('');
      const localPart = random.chance(0.4) ? `"${written}"` : written;
      const address = parseAddress(quoteOddDots(`${localPart}@${random.pick(domains)}`));
      if (address === null || !isAscii(localPartOf(address))) continue;
      taken += 1;
      assert.equal(readAddresses(address).fault, null, address);
    }
    assert.ok(taken > 5_000, `${taken}`);
  });

  it('has a source in each line of the table', () => {
    for (const { source } of SES_RULES) assert.match(source, /^SES |^RFC /);
  });

  it('is no reason for other transports', () => {
    const header = (name: string) => ({ name, value: 'x', spaceBeforeColon: false });
    const content = {
      fields: [header('Subject'), header('Subject')],
      contentFields: { fileNames: ['a.exe'], unreadable: 'Content-Type' as const },
    };
    assert.equal(transportLimits('smtp').refuse(content, true), null);
    assert.equal(transportLimits('capture').refuse(content, true), null);
    assert.equal(transportLimits('ses').refuse(content, true)?.rule, 'header_twice');
  });

  it('holds for names of files beside OpenSend, whose worker writes the rest itself', () => {
    const header = (name: string) => ({ name, value: 'x', spaceBeforeColon: false });
    const contentFields = { fileNames: [] as string[], unreadable: 'Content-Type' as const };
    const content = { fields: [header('Subject'), header('Subject'), header('To')], contentFields };
    assert.equal(transportLimits('ses').refuse(content, false), null);
    const named = { ...content, contentFields: { ...contentFields, fileNames: ['a.vbs '] } };
    assert.equal(transportLimits('ses').refuse(named, false)?.rule, 'attachment_type');
  });
});
