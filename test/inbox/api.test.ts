import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Changed, Details, Page } from '../../src/inbox/contract.ts';
import { eventually } from '../support/eventually.ts';
import { mail, multipart } from '../support/mail.ts';
import { rawRequest, startInbox } from './inbox.ts';

const HEADER = ['From: Shop <shop@acme.test>', 'To: Ada <ada@example.com>', 'Cc: team@example.com'];
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** HTML with a picture of its own, text, and a file. */
function order(subject: string): string {
  const text = mail('Content-Type: text/plain; charset=utf-8', '', 'Thank you, Ada.');
  const html = mail(
    'Content-Type: text/html; charset=utf-8',
    'Content-Transfer-Encoding: quoted-printable',
    '',
    '<p>Thank you</p><img src=3D"cid:logo@acme"><a href=3D"https://shop.example/1?a=3D1&amp;b=3D2">Go</a>',
  );
  const logo = mail(
    'Content-Type: image/png',
    'Content-ID: <logo@acme>',
    'Content-Disposition: inline; filename="logo.png"',
    'Content-Transfer-Encoding: base64',
    '',
    PIXEL,
  );
  const file = mail(
    'Content-Type: application/pdf',
    "Content-Disposition: attachment; filename*=UTF-8''Rechnung%20M%C3%A4rz.pdf",
    'Content-Transfer-Encoding: base64',
    '',
    Buffer.from('%PDF-1.4').toString('base64'),
  );
  const body = multipart('mixed', multipart('alternative', text, multipart('related', html, logo)), file);
  const header = [...HEADER, `Subject: ${subject}`, 'X-OpenSend-Tag: campaign=spring', 'MIME-Version: 1.0'];
  return `${header.join('\r\n')}\r\n${body}`;
}

const plain = (subject: string, text = 'Hi'): string =>
  mail('From: shop@acme.test', 'To: someone@example.com', `Subject: ${subject}`, '', text).toString();

describe('the API of the inbox', () => {
  it('tells all of a message: its list entry, envelope, parts, files, and its way', async t => {
    const inbox = await startInbox(t);
    const to = ['ada@example.com', 'team@example.com', 'hidden@example.com'];
    const id = await inbox.send({ data: order('Your order'), to });
    await eventually(async () => (await inbox.ask<Details>(`/api/messages/${id}`)).message.status === 'sent');

    const { messages, total, next } = await inbox.ask<Page>('/api/messages');
    assert.equal(total, 1);
    assert.equal(next, null);
    const [message] = messages;
    assert.deepEqual(
      [message?.id, message?.subject, message?.attachments, message?.bcc, message?.tags],
      [id, 'Your order', 2, ['hidden@example.com'], [{ name: 'campaign', value: 'spring' }]],
    );
    assert.match(message?.preview ?? '', /^Thank you, Ada\./);

    const details = await inbox.ask<Details>(`/api/messages/${id}`);
    assert.deepEqual(details.envelope, {
      from: 'shop@acme.test',
      recipients: [
        { address: 'ada@example.com', field: 'to', outcome: 'sent' },
        { address: 'team@example.com', field: 'cc', outcome: 'sent' },
        { address: 'hidden@example.com', field: 'bcc', outcome: 'sent' },
      ],
    });
    assert.deepEqual(
      details.parts.map(({ path, contentType, role, filename }) => [path, contentType, role, filename]),
      [
        ['', 'multipart/mixed', 'multipart', null],
        ['1', 'multipart/alternative', 'multipart', null],
        ['1.1', 'text/plain', 'body', null],
        ['1.2', 'multipart/related', 'multipart', null],
        ['1.2.1', 'text/html', 'body', null],
        ['1.2.2', 'image/png', 'inline', 'logo.png'],
        ['2', 'application/pdf', 'attachment', 'Rechnung März.pdf'],
      ],
    );
    assert.deepEqual(details.links, ['https://shop.example/1?a=1&b=2']);
    assert.ok(details.headers.some(({ name, value }) => name === 'Cc' && value === 'team@example.com'));
    // What was said in the session is written a second later.
    const later = ['claim', 'commit', 'event', 'receive', 'send'];
    const stages = details.timeline.map(({ stage }) => stage).filter(stage => later.includes(stage));
    assert.deepEqual(stages.toSorted(), later);

    const file = await rawRequest(`${inbox.url}/api/messages/${id}/parts/2`);
    assert.equal(file.body, '%PDF-1.4');
    assert.match(String(file.headers['content-disposition']), /filename\*=UTF-8''Rechnung%20M%C3%A4rz\.pdf$/);
    const source = await rawRequest(`${inbox.url}/api/messages/${id}/source`);
    assert.equal(source.body.trimEnd(), order('Your order').trimEnd());
    assert.equal((await rawRequest(`${inbox.url}/api/messages/${id}/parts/9`)).status, 404);
  });

  it('gives HTML with its own pictures in it, under a policy by which nothing runs and nothing is loaded', async t => {
    const inbox = await startInbox(t);
    const id = await inbox.send({ data: order('Your order') });
    const { headers, body } = await rawRequest(`${inbox.url}/api/messages/${id}/html`);
    const policy = String(headers['content-security-policy']).split('; ');
    assert.ok(policy.includes("default-src 'none'"));
    assert.ok(policy.includes('img-src data:'));
    assert.ok(policy.includes('sandbox allow-popups allow-popups-to-escape-sandbox'));
    assert.ok(!policy.some(part => part.startsWith('script-src') || part.includes('http')));
    assert.ok(body.includes(`<img src="data:image/png;base64,${PIXEL}">`), body);
    const remote = await rawRequest(`${inbox.url}/api/messages/${id}/html?remote=true`);
    assert.match(String(remote.headers['content-security-policy']), /img-src data: https: http:;/);
  });

  it('tells what delivery changed: what is for the relay left out, links and pixel tracked', async t => {
    const tracking = { 'tracking.baseUrl': 'https://track.test', 'tracking.secrets': ['a-secret-that-nobody-guesses'] };
    const inbox = await startInbox(t, { settings: tracking });
    const data = order('Your order').replace('MIME-Version', 'X-OpenSend-Track-Clicks: yes\r\nMIME-Version');
    const id = await inbox.send({ data });
    await eventually(async () => (await inbox.ask<Details>(`/api/messages/${id}`)).message.status === 'sent');
    const { sections } = await inbox.ask<Changed>(`/api/messages/${id}/changes`);
    const [header, html] = sections;
    assert.deepEqual(
      sections.map(({ title }) => title),
      ['Header', 'HTML'],
    );
    assert.match(header?.before ?? '', /X-OpenSend-Tag: campaign=spring/);
    assert.doesNotMatch(header?.after ?? '', /X-OpenSend/);
    assert.match(html?.before ?? '', /href="https:\/\/shop\.example\/1/);
    assert.match(html?.after ?? '', /href="https:\/\/track\.test\/t\/c\//);
  });

  it('waits for a message, and for one that matches', async t => {
    const inbox = await startInbox(t);
    await inbox.send({ data: plain('Earlier'), to: ['ada@example.com'] });
    const since = new Date().toISOString();
    const waited = inbox.ask<Page>(`/api/messages?to=ada@example.com&since=${since}&wait=60s`);
    await sleep(500);
    await inbox.send({ data: plain('For another'), to: ['bob@example.com'] });
    const id = await inbox.send({ data: plain('For her'), to: ['ada@example.com'] });
    const { messages } = await waited;
    assert.deepEqual(
      messages.map(message => message.id),
      [id],
    );
    const none = await inbox.ask<Page>('/api/messages?to=nobody@example.com&wait=1s');
    assert.deepEqual(none.messages, []);
  });

  it('pages through all, newest first, and deletes one, some or all', async t => {
    const inbox = await startInbox(t);
    const ids: string[] = [];
    for (let number = 1; number <= 5; number += 1) ids.push(await inbox.send({ data: plain(`Number ${number}`) }));
    await eventually(async () =>
      (await inbox.ask<Page>('/api/messages')).messages.every(({ status }) => status === 'sent'),
    );
    const seen: string[] = [];
    for (let after = ''; ; ) {
      const page = await inbox.ask<Page>(`/api/messages?limit=2${after}`);
      seen.push(...page.messages.map(({ id }) => id));
      if (page.next === null) break;
      after = `&after=${encodeURIComponent(page.next)}`;
    }
    assert.deepEqual(seen, ids.toReversed());

    await eventually(
      async () => (await rawRequest(`${inbox.url}/api/messages/${ids[0]}`, { method: 'DELETE' })).status === 204,
    );
    assert.equal((await rawRequest(`${inbox.url}/api/messages/${ids[0]}`, { method: 'DELETE' })).status, 404);
    assert.equal((await rawRequest(`${inbox.url}/api/messages/${ids[0]}`)).status, 404);
    const some = await inbox.ask<{ removed: number }>('/api/messages?subject=number%202', { method: 'DELETE' });
    assert.equal(some.removed, 1);
    const rest = await inbox.ask<{ removed: number }>('/api/messages', { method: 'DELETE' });
    assert.equal(rest.removed, 3);
    for (const table of ['emails', 'email_events', 'smtp_relay_messages', 'smtp_relay_attempts', 'smtp_relay_outbox'])
      assert.equal((await inbox.worker.db.query(`select from ${table}`)).rowCount, 0, table);
  });

  it('tells where a text leads that has no HTML beside it', async t => {
    const inbox = await startInbox(t);
    const text = 'Confirm (https://app.example.com/confirm?code=4711), or see https://app.example.com/help.';
    const id = await inbox.send({ data: plain('Confirm', text), to: ['ada@example.com'] });
    const { links } = await inbox.ask<Details>(`/api/messages/${id}`);
    assert.deepEqual(links, ['https://app.example.com/confirm?code=4711', 'https://app.example.com/help']);
  });

  it('says what is wrong with a request', async t => {
    const { url } = await startInbox(t);
    const wrong = async (path: string) => {
      const { status, body } = await rawRequest(`${url}${path}`);
      return [status, JSON.parse(body).error];
    };
    assert.deepEqual(await wrong('/api/messages?after=x'), [400, 'after is not what a page gave as next']);
    assert.deepEqual(await wrong('/api/messages?limit=0'), [400, 'limit must be >= 1']);
    assert.deepEqual(await wrong('/api/messages?wait=5m'), [400, 'wait has to be 1s to 60s']);
    assert.match(String(await wrong('/api/messages?since=now')), /^400,since has to be a time, such as 2026-/);
    assert.match(String(await wrong('/api/messages/no-id')), /^400,id has to be an id, such as/);
    const slip = [400, 'there is no recipient: see /api/openapi.json'];
    assert.deepEqual(await wrong('/api/messages?recipient=ada@example.com'), slip);
    const deleted = await rawRequest(`${url}/api/messages?recipient=ada@example.com`, { method: 'DELETE' });
    assert.deepEqual([deleted.status, JSON.parse(deleted.body).error], slip, 'and nothing is deleted by it');
    assert.deepEqual(await wrong('/api/messages?to='), [400, 'to is empty']);
    assert.match(String(await wrong('/api/messages?query=a%00b')), /^400,something in the request is no text/);
    assert.deepEqual(await wrong(`/api/messages?query=${'a+'.repeat(21)}`), [400, 'query has more than 20 words']);
    const unknown = '5ce7200a-ad56-46bf-acb8-629e819448e5';
    const none = `no message has the id "${unknown}"; see: GET /api/messages`;
    assert.deepEqual(await wrong(`/api/messages/${unknown}`), [404, none], 'as the API has it, not the command line');
  });

  it('deletes nothing where a condition has come out empty', async t => {
    const inbox = await startInbox(t);
    await inbox.send({ data: plain('Kept') });
    for (const condition of ['to=', 'subject=', 'query=', 'query=to:', 'query=%22%22']) {
      const { status } = await rawRequest(`${inbox.url}/api/messages?${condition}`, { method: 'DELETE' });
      assert.equal(status, 400, condition);
    }
    assert.equal((await inbox.ask<Page>('/api/messages')).messages.length, 1);
  });

  it('searches in all alphabets, upper and lower case alike, for what is there and for what is not', async t => {
    const inbox = await startInbox(t);
    await inbox.send({
      data: plain('=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_K=C3=B6ln?=', '100 % sure, -5 degrees'),
      to: ['ada@example.com'],
    });
    await inbox.send({ data: plain('Other'), to: ['someone@example.com'] });
    const found = async (query: string) =>
      (await inbox.ask<Page>(`/api/messages?query=${encodeURIComponent(query)}`)).messages.map(
        ({ subject }) => subject,
      );
    const [greetings, other] = ['Grüße aus Köln', 'Other'];
    for (const query of [
      'KÖLN',
      'subject:KöLN',
      '"GRÜßE AUS"',
      '-other',
      '!subject:other',
      'bcc:ada',
      '-bcc:nobody KÖLN',
    ])
      assert.deepEqual(await found(query), [greetings], query);
    for (const query of ['-KÖLN', '-ada', '-bcc:ada', 'to:someone -"-5 degrees"'])
      assert.deepEqual(await found(query), [other], query);
    assert.deepEqual(await found('"-5 degrees"'), [greetings], 'as it is');
    assert.deepEqual(await found('K.LN ö'), [], 'no pattern');
    assert.deepEqual(await found('ö.'), [], 'no pattern');
    assert.deepEqual(await found('cc:ada'), []);
    assert.deepEqual(await found('-has:attachment -tag:campaign'), [other, greetings]);
  });

  it('finds a domain as people write it, and as it is sent', async t => {
    const inbox = await startInbox(t);
    const to = ['ada@xn--bcher-kva.example'];
    await inbox.send({ data: plain('Here').replace('someone@example.com', 'Ada <ada@bücher.example>'), to });
    await inbox.send({ data: plain('Other'), to: ['someone@example.com'] });
    const found = async (conditions: Record<string, string>) =>
      (await inbox.ask<Page>(`/api/messages?${new URLSearchParams(conditions)}`)).messages.map(
        ({ subject }) => subject,
      );
    for (const written of ['ada@bücher.example', 'BÜCHER.example', '@bücher', ...to]) {
      assert.deepEqual(await found({ to: written }), ['Here'], written);
      for (const query of [`to:${written}`, written]) assert.deepEqual(await found({ query }), ['Here'], query);
      assert.deepEqual(await found({ query: `-to:${written}` }), ['Other'], written);
    }
  });

  it('is described by OpenAPI', async t => {
    const { ask } = await startInbox(t);
    const document = await ask<{ openapi: string; paths: Record<string, Record<string, { summary: string }>> }>(
      '/api/openapi.json',
    );
    assert.equal(document.openapi, '3.1.0');
    const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { summary }]): [string, string] => [`${method} ${path}`, summary]),
    );
    assert.ok(
      operations.every(([, summary]) => summary),
      'each has a summary',
    );
    const names = operations.map(([name]) => name);
    const expected = ['get /api/messages', 'get /api/messages/{id}', 'delete /api/messages/{id}'];
    assert.deepEqual(
      expected.filter(name => !names.includes(name)),
      [],
    );
  });

  it('tells live of what happens', async t => {
    const inbox = await startInbox(t);
    const ended = new AbortController();
    t.after(() => ended.abort());
    const response = await fetch(`${inbox.url}/api/live`, { signal: ended.signal });
    assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
    let told = '';
    const reading = (async () => {
      for await (const chunk of response.body as AsyncIterable<Uint8Array>) told += Buffer.from(chunk).toString();
    })().catch(() => {});
    await eventually(() => told.includes('event: hello'));
    await sleep(500);
    const id = await inbox.send({ data: plain('Hello') });
    await eventually(() => told.includes(id));
    await eventually(async () => (await inbox.ask<Page>('/api/messages')).messages[0]?.status === 'sent');
    await rawRequest(`${inbox.url}/api/messages/${id}`, { method: 'DELETE' });
    await eventually(() => told.includes(`"removed":["${id}"]`));
    // It ends with the worker, and does not hold its end up.
    await inbox.worker.stop();
    await reading;
  });
});
