import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { mail } from '../support/mail.ts';
import { startRelay } from '../support/relay.ts';
import { countEmails, storedRow, submit } from './submit.ts';

const relay = await startRelay({ after }, { queue: false });
const message = (...lines: readonly string[]) => mail('From: a@acme.test', ...lines, 'X-Kept: 1', '', 'x');

describe('control headers', () => {
  it('become tags, under all their names, and are absent from headers', async t => {
    const lines = [
      'X-OpenSend-Tag: campaign=spring',
      'X-OpenSend-Tag: batch=7',
      'X-SES-MESSAGE-TAGS: team=growth, kind=promo',
      'X-PM-Tag: welcome',
      'X-Mailgun-Tag: onboarding',
    ];
    const row = await storedRow(t, relay, message(...lines));
    assert.deepEqual(
      row.tags?.map(({ name, value }) => `${name}=${value}`),
      ['campaign=spring', 'batch=7', 'team=growth', 'kind=promo', 'tag=welcome', 'tag=onboarding'],
    );
    assert.deepEqual(row.headers, { 'X-Kept': '1' });
  });

  it('are stripped whatever they are: X-OpenSend-*, X-SES-*, and the aliases', async t => {
    const lines = [
      'X-OpenSend-Track-Opens: yes',
      'X-OpenSend-Track-Clicks: no',
      'X-OpenSend-Unheard-Of: x',
      'Resend-Idempotency-Key: k',
      'X-PM-TrackOpens: true',
      'X-PM-TrackLinks: None',
      'X-Mailgun-Track: yes',
      'X-Mailgun-Track-Opens: yes',
      'X-Mailgun-Track-Clicks: no',
      'X-SES-CONFIGURATION-SET: other',
      'X-SES-SOURCE-ARN: arn:aws:ses:us-east-1:1:identity/other.test',
      'X-SES-FROM-ARN: arn:aws:ses:us-east-1:1:identity/other.test',
      'X-SES-RETURN-PATH-ARN: arn:aws:ses:us-east-1:1:identity/other.test',
      'x-ses-anything : x',
    ];
    const row = await storedRow(t, relay, message(...lines));
    assert.deepEqual([row.headers, row.tags, row.idempotency_key], [{ 'X-Kept': '1' }, null, null]);
  });

  it('that cannot be read get 550 5.7.1 naming the header and what it takes, and nothing is stored', async t => {
    const before = await countEmails(relay);
    for (const [line, reply] of [
      ['X-OpenSend-Tag: spring', '550 5.7.1 Header X-OpenSend-Tag must be of the form name=value'],
      ['X-PM-Tag: two words', '550 5.7.1 Header X-PM-Tag takes names and values of 1 to 256 letters'],
      ['X-OpenSend-Track-Opens: maybe', '550 5.7.1 Header X-OpenSend-Track-Opens must be yes or no'],
    ] as const) {
      await submit(t, relay, message(line), {}, reply);
    }
    assert.equal(await countEmails(relay), before);
  });
});
