import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { masked } from '../../../src/http/sessions/masks.ts';

describe('what a page shows of a transcript', () => {
  for (const [said, shown] of [
    ['MAIL FROM:<shop@acme.test> SIZE=120 BODY=8BITMIME', 'MAIL FROM:<***@acme.test> SIZE=120 BODY=8BITMIME'],
    ['MAIL FROM:<>', 'MAIL FROM:<>'],
    ['MAIL FROM:<a@acme.test> AUTH=ann+40acme.test', 'MAIL FROM:<***@acme.test> AUTH=***'],
    ['rcpt to:ann@example.com', 'rcpt to:***@example.com'],
    ['RCPT TO:<"ann b@c"@example.com> NOTIFY=NEVER', 'RCPT TO:<***@example.com> NOTIFY=NEVER'],
    ['RCPT TO:<"a>ann"@example.com>', 'RCPT TO:<***@example.com>'],
    ['RCPT TO:<ann@example.com> ORCPT=rfc822;bob@example.com', 'RCPT TO:<***@example.com> ORCPT=***'],
    ['RCPT TO:<ann@example.com> <bob@example.com>', 'RCPT TO:<***@example.com>'],
    ['RCPT TO:<ann', 'RCPT TO:<***'],
    ['RCPT TO:ann smith@example.com', 'RCPT TO:***@example.com'],
    ['RCPT TO:<@relay.test:ann@example.com>', 'RCPT TO:<***@example.com>'],
    ['RCPT TO:<ann@[203.0.113.9]>', 'RCPT TO:<***@[203.0.113.0/24]>'],
    ['RCPT TO:<ännchen@exämple.com>', 'RCPT TO:<***@exämple.com>'],
    ['550 5.7.1 ann.b+c@example.com is not among those', '550 5.7.1 ***@example.com is not among those'],
    ['550 5.1.1 <"ann b"@example.com>, bob@a.test', '550 5.1.1 <***@example.com>, ***@a.test'],
    ['EHLO [198.51.100.23]', 'EHLO [198.51.100.0/24]'],
    ['EHLO [IPv6:2001:db8:1:2::3]', 'EHLO [IPv6:2001:db8:1::/48]'],
    ['EHLO [10.2.3.4]', 'EHLO [10.2.3.4]'],
    ['250-relay.test 5.1.1 at 12:30:15', '250-relay.test 5.1.1 at 12:30:15'],
  ] as const) {
    it(`of "${said}" is "${shown}"`, () => assert.equal(masked(said), shown));
  }
});
