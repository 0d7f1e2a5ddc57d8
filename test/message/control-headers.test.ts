import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ControlSettings, isControlHeader, readControlHeaders } from '../../src/message/header/control-headers.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { mail } from '../support/mail.ts';

const NOTHING: ControlSettings = { idempotencyKey: null, tags: [], trackOpens: null, trackClicks: null };

function read(...lines: readonly string[]): ControlSettings {
  return readControlHeaders(readHeaderFields(mail(...lines, ''), 100_000));
}

describe('control headers', () => {
  const accepted: readonly (readonly [lines: readonly string[], settings: Partial<ControlSettings>])[] = [
    [['Subject: x'], {}],
    [['X-OpenSend-Idempotency-Key: order-1'], { idempotencyKey: 'order-1' }],
    [['Resend-Idempotency-Key: order-1'], { idempotencyKey: 'order-1' }],
    [['x-opensend-IDEMPOTENCY-key:order 1 / ü'], { idempotencyKey: 'order 1 / ü' }],
    [['X-OpenSend-Idempotency-Key: a', 'Resend-Idempotency-Key: a'], { idempotencyKey: 'a' }],
    [[`X-OpenSend-Idempotency-Key: ${'k'.repeat(256)}`], { idempotencyKey: 'k'.repeat(256) }],
    [['X-OpenSend-Tag: campaign=spring_24'], { tags: [{ name: 'campaign', value: 'spring_24' }] }],
    [
      ['X-OpenSend-Tag: a=1', 'X-OpenSend-Tag: b = 2, c=3'],
      {
        tags: [
          { name: 'a', value: '1' },
          { name: 'b', value: '2' },
          { name: 'c', value: '3' },
        ],
      },
    ],
    [
      ['X-SES-MESSAGE-TAGS: a=1, b=2'],
      {
        tags: [
          { name: 'a', value: '1' },
          { name: 'b', value: '2' },
        ],
      },
    ],
    [['X-PM-Tag: welcome'], { tags: [{ name: 'tag', value: 'welcome' }] }],
    [['X-Mailgun-Tag: welcome'], { tags: [{ name: 'tag', value: 'welcome' }] }],
    [['X-OpenSend-Track-Opens: yes', 'X-OpenSend-Track-Clicks: no'], { trackOpens: true, trackClicks: false }],
    [['X-OpenSend-Track-Opens: NO'], { trackOpens: false }],
    [['X-PM-TrackOpens: true', 'X-PM-TrackLinks: None'], { trackOpens: true, trackClicks: false }],
    [['X-PM-TrackOpens: false', 'X-PM-TrackLinks: HtmlAndText'], { trackOpens: false, trackClicks: true }],
    [['X-PM-TrackLinks: HtmlOnly'], { trackClicks: true }],
    [['X-PM-TrackLinks: TextOnly'], { trackClicks: true }],
    [['X-Mailgun-Track: no'], { trackOpens: false, trackClicks: false }],
    [['X-Mailgun-Track: yes', 'X-Mailgun-Track-Clicks: no'], { trackOpens: true, trackClicks: false }],
    [['X-Mailgun-Track-Opens: yes'], { trackOpens: true }],
    [['X-SES-CONFIGURATION-SET: theirs', 'X-SES-SOURCE-ARN: arn:aws:ses:x'], {}],
  ];
  for (const [lines, settings] of accepted) {
    it(`are read: ${lines.join('⏎').slice(0, 90)}`, () =>
      assert.deepEqual(read(...lines), { ...NOTHING, ...settings }));
  }

  const refused: readonly (readonly [lines: readonly string[], reply: RegExp])[] = [
    [['X-OpenSend-Idempotency-Key:'], /X-OpenSend-Idempotency-Key must have 1 to 256 characters/],
    [[`Resend-Idempotency-Key: ${'k'.repeat(257)}`], /Resend-Idempotency-Key must have 1 to 256 characters/],
    [['X-OpenSend-Idempotency-Key: a', 'Resend-Idempotency-Key: b'], /twice with different values/],
    [['X-OpenSend-Tag: welcome'], /X-OpenSend-Tag must be of the form name=value/],
    [['X-OpenSend-Tag: a=b=c'], /name=value/],
    [['X-OpenSend-Tag: =b'], /1 to 256 letters/],
    [['X-OpenSend-Tag: a='], /1 to 256 letters/],
    [['X-OpenSend-Tag: a=b c'], /1 to 256 letters/],
    [['X-OpenSend-Tag: größe=1'], /1 to 256 letters/],
    [[`X-OpenSend-Tag: a=${'v'.repeat(257)}`], /1 to 256 letters/],
    [['X-SES-MESSAGE-TAGS: a'], /X-SES-MESSAGE-TAGS must be/],
    [['X-PM-Tag: two words'], /X-PM-Tag takes/],
    [Array.from({ length: 51 }, (_, number) => `X-OpenSend-Tag: t${number}=1`), /at most 50 tags/],
    [['X-OpenSend-Track-Opens: perhaps'], /X-OpenSend-Track-Opens must be yes or no/],
    [['X-Mailgun-Track: htmlonlyish'], /X-Mailgun-Track must be yes or no/],
  ];
  for (const [lines, reply] of refused) {
    it(`are refused with 550 5.7.1: ${lines[0]?.slice(0, 60)}`, () => {
      assert.throws(() => read(...lines), { code: 550, enhancedCode: '5.7.1', rule: 'control_header', message: reply });
    });
  }

  it('are all that the relay must keep for itself, and nothing else', () => {
    for (const name of [
      'x-opensend-anything',
      'x-ses-source-arn',
      'x-ses-configuration-set',
      'x-ses-from-arn',
      'x-ses-return-path-arn',
      'x-ses-message-tags',
      'resend-idempotency-key',
      'x-pm-tag',
      'x-pm-trackopens',
      'x-pm-tracklinks',
      'x-mailgun-tag',
      'x-mailgun-track',
      'x-mailgun-track-opens',
      'x-mailgun-track-clicks',
    ]) {
      assert.ok(isControlHeader(name), name);
    }
    for (const name of [
      'x-ses',
      'x-openserve',
      'x-mailgun-variables',
      'x-pm-message-stream',
      'list-unsubscribe',
      'x-mailer',
    ]) {
      assert.ok(!isControlHeader(name), name);
    }
  });
});
