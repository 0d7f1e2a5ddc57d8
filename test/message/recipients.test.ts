import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatMailbox } from '../../src/message/addresses/address.ts';
import {
  allAddresses,
  type RecipientSource,
  refuseTooMany,
  resolveRecipients,
} from '../../src/message/addresses/recipients.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { mail } from '../support/mail.ts';

function resolve(source: RecipientSource, envelope: readonly string[], ...lines: readonly string[]) {
  const { to, cc, bcc } = resolveRecipients(source, envelope, readHeaderFields(mail(...lines, ''), 100_000));
  return { to: to.map(formatMailbox), cc: cc.map(formatMailbox), bcc: bcc.map(formatMailbox) };
}

describe('recipients by the envelope', () => {
  const cases: readonly {
    readonly what: string;
    readonly envelope: readonly string[];
    readonly lines: readonly string[];
    readonly expected: { readonly to?: string[]; readonly cc?: string[]; readonly bcc?: string[] };
  }[] = [
    {
      what: 'stand in To and Cc with their display names where those name them',
      envelope: ['a@x.test', 'b@x.test', 'c@x.test'],
      lines: ['To: "A, A" <a@x.test>', 'Cc: b@x.test (B)'],
      expected: { to: ['"A, A" <a@x.test>'], cc: ['B <b@x.test>'], bcc: ['c@x.test'] },
    },
    {
      what: 'are Bcc where neither names them, as mail clients send it',
      envelope: ['a@x.test', 'hidden@x.test'],
      lines: ['To: a@x.test'],
      expected: { to: ['a@x.test'], bcc: ['hidden@x.test'] },
    },
    {
      what: 'are Bcc where the Bcc header names them, which does not add others',
      envelope: ['a@x.test', 'hidden@x.test'],
      lines: ['To: a@x.test', 'Bcc: hidden@x.test, not-in-envelope@x.test'],
      expected: { to: ['a@x.test'], bcc: ['hidden@x.test'] },
    },
    {
      what: 'leave out what only the headers name, as a mailing list has it',
      envelope: ['member@x.test'],
      lines: ['To: list@lists.test', 'Cc: other@x.test'],
      expected: { bcc: ['member@x.test'] },
    },
    {
      what: 'leave To empty where there is none',
      envelope: ['a@x.test'],
      lines: ['Subject: x'],
      expected: { bcc: ['a@x.test'] },
    },
    {
      what: 'are found in groups, and in several To fields',
      envelope: ['a@x.test', 'b@x.test', 'c@x.test'],
      lines: ['To: Team: a@x.test, B <b@x.test>;', 'To: c@x.test'],
      expected: { to: ['a@x.test', 'B <b@x.test>', 'c@x.test'] },
    },
    {
      what: 'do not stand in an empty group',
      envelope: ['a@x.test'],
      lines: ['To: undisclosed-recipients:;'],
      expected: { bcc: ['a@x.test'] },
    },
    {
      what: 'are compared without regard to case; the envelope says how they are written',
      envelope: ['A@X.test'],
      lines: ['To: "A" <a@x.TEST>'],
      expected: { to: ['A <A@X.test>'] },
    },
    {
      what: 'are compared by A-labels',
      envelope: ['a@xn--bcher-kva.test'],
      lines: ['To: Ann <a@bücher.test>'],
      expected: { to: ['Ann <a@xn--bcher-kva.test>'] },
    },
    {
      what: 'that are given twice, or stand in To and Cc, are there once',
      envelope: ['a@x.test', 'A@x.test', 'b@x.test', 'b@x.test'],
      lines: ['To: a@x.test, a@x.test', 'Cc: a@x.test'],
      expected: { to: ['a@x.test'], bcc: ['b@x.test'] },
    },
    {
      what: 'get the message although To cannot be read',
      envelope: ['a@x.test', 'b@x.test'],
      lines: ['To: broken <<, b@x.test'],
      expected: { to: [], bcc: ['a@x.test', 'b@x.test'] },
    },
  ];
  for (const { what, envelope, lines, expected } of cases) {
    it(what, () => {
      assert.deepEqual(resolve('envelope', envelope, ...lines), { to: [], cc: [], bcc: [], ...expected });
    });
  }
});

describe('recipients by the headers', () => {
  it('are To, Cc and Bcc; the envelope is ignored', () => {
    const lines = ['To: A <a@x.test>', 'Cc: b@x.test', 'Bcc: c@x.test, D <d@x.test>'];
    assert.deepEqual(resolve('headers', ['ignored@x.test'], ...lines), {
      to: ['A <a@x.test>'],
      cc: ['b@x.test'],
      bcc: ['c@x.test', 'D <d@x.test>'],
    });
  });

  it('may be Bcc alone', () => {
    assert.deepEqual(resolve('headers', ['x@x.test'], 'Bcc: c@x.test'), { to: [], cc: [], bcc: ['c@x.test'] });
  });

  it('are there once, where they stand first', () => {
    const lines = ['To: a@x.test, A <a@X.test>, b@x.test', 'Cc: b@x.test', 'Bcc: a@x.test'];
    assert.deepEqual(resolve('headers', [], ...lines), { to: ['a@x.test', 'b@x.test'], cc: [], bcc: [] });
  });

  it('that are none refuse the message', () => {
    for (const lines of [['Subject: x'], ['To: undisclosed-recipients:;'], ['To:']]) {
      const expected = { code: 550, enhancedCode: '5.7.1', rule: 'no_recipient' };
      assert.throws(() => resolve('headers', ['x@x.test'], ...lines), expected);
    }
  });

  it('that cannot be read refuse the message, and the reply names the header', () => {
    const expected = { code: 550, enhancedCode: '5.7.1', rule: 'recipient_syntax', message: /^The cc header/ };
    assert.throws(() => resolve('headers', ['x@x.test'], 'To: a@x.test', 'Cc: nobody'), expected);
  });
});

describe('all recipients', () => {
  const recipients = resolveRecipients(
    'envelope',
    ['C@x.test', 'B@x.test', 'A@x.test'],
    readHeaderFields(mail('To: a@x.test', 'Cc: b@x.test', ''), 1_000),
  );

  it('come in the order To, Cc, Bcc, comparable', () => {
    assert.deepEqual(allAddresses(recipients), ['a@x.test', 'b@x.test', 'c@x.test']);
  });

  it('beyond the limit get 452 4.5.3', () => {
    refuseTooMany('envelope', recipients, 3);
    assert.throws(() => refuseTooMany('envelope', recipients, 2), {
      code: 452,
      enhancedCode: '4.5.3',
      message: /at most 2 /,
    });
    assert.throws(() => refuseTooMany('headers', recipients, 2), {
      code: 554,
      enhancedCode: '5.5.3',
      message: /at most 2 /,
    });
  });
});
