import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { startSending } from './support/sending.ts';

const SIGNATURE = 'DKIM-Signature: v=1; a=rsa-sha256; d=acme.test; s=one;\r\n h=from; bh=abc; b=def\r\n';
const RAW =
  `${SIGNATURE}From: hello@acme.test\r\nTo: to@example.com\r\nSubject: Hi\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n` +
  'Message-ID: <1@acme.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<a href="https://x.test/">x</a>\r\n';
const TRACKING = {
  'tracking.baseUrl': 'https://click.acme.test',
  'tracking.secrets': ['0123456789abcdef0123456789abcdef'],
};

async function sent(t: TestContext, settings: object): Promise<string> {
  const { ses, store, until } = await startSending(t, { ...TRACKING, ...settings });
  await until(await store({ raw: RAW, trackClicks: true }), 'sent');
  return ses.mailbox.messages[0]?.raw.toString() ?? '';
}

describe("a client's DKIM signature", () => {
  it('is left out of what goes by SES, which is then tracked as any other', async t => {
    const raw = await sent(t, {});
    assert.doesNotMatch(raw, /dkim-signature/i);
    assert.match(raw, /href="https:\/\/click\.acme\.test\//);
  });

  it('goes out where it is to, and then nothing is changed', async t => {
    const raw = await sent(t, { 'ses.clientSignatures': 'keep' });
    assert.ok(raw.includes(SIGNATURE));
    assert.match(raw, /href="https:\/\/x\.test\/"/);
  });
});
