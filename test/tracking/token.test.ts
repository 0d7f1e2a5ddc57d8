import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { suite, test } from 'node:test';
import {
  CLICK_PATH,
  createLinks,
  createTokens,
  hostOf,
  MAX_TOKEN_LENGTH,
  OPEN_PATH,
  ownerTag,
  type TrackingToken,
} from '../../src/tracking/token.ts';

const SECRET = 'a secret of 16 characters or more';
const NEW_SECRET = 'another secret of 16 characters';
const emailId = '4bf7c8f9-fd1b-419e-810e-a8d6a4fe3e43';
const HOST = 'track.example.com';

/** Tokens of one host and owner. */
function tokensOf(secrets: readonly string[]) {
  const tokens = createTokens(secrets, { defaultHost: HOST });
  return {
    sign: (content: TrackingToken) => tokens.sign(content, { host: HOST, owner: 'acme' }),
    verify: (token: string): TrackingToken | null => {
      const verified = tokens.verify(token, HOST);
      if (verified === null) return null;
      const { ownerTag: tag, ...content } = verified;
      assert.ok(tag === null || tag === ownerTag('acme'));
      return content;
    },
  };
}

const tokens = tokensOf([SECRET]);
const click = (url: string): TrackingToken => ({ kind: 'click', emailId, url });
const OPEN: TrackingToken = { kind: 'open', emailId };
const CLICK = click('https://example.com/?a=1&b=2#c');

suite('tokens', () => {
  test('say what was signed, in characters that URLs take', () => {
    for (const content of [OPEN, CLICK, click('http://bücher.example/straße?q=日本')]) {
      const token = tokens.sign(content);
      assert.match(token, /^[\w-]+$/);
      assert.deepEqual(tokens.verify(token), content);
      assert.equal(tokens.sign(content), token);
    }
  });

  test('URLs of up to 8 KiB fit', () => {
    const longest = click(`https://example.com/${'x'.repeat(8192 - 20)}`);
    const token = tokens.sign(longest);
    assert.equal(token.length, MAX_TOKEN_LENGTH);
    assert.deepEqual(tokens.verify(token), longest);
    assert.throws(() => tokens.sign(click(`https://example.com/${'x'.repeat(8192 - 19)}`)), TypeError);
  });

  test('are short for an open', () => {
    assert.ok(tokens.sign(OPEN).length <= 56);
  });

  test('only http and https URLs are signed', () => {
    for (const url of [
      'javascript:alert(1)',
      'data:text/html,x',
      'ftp://a.b/',
      '//a.b/',
      '/x',
      '',
      'https://',
      'http://a b/',
      'https://a.b/\r\nX: y',
    ]) {
      assert.throws(() => tokens.sign(click(url)), TypeError, url);
    }
  });

  test('only UUIDs are signed, and come back in lower case', () => {
    assert.throws(() => tokens.sign({ kind: 'open', emailId: '1; drop table emails' }), TypeError);
    assert.deepEqual(tokens.verify(tokens.sign({ kind: 'open', emailId: emailId.toUpperCase() })), OPEN);
  });

  test('without a secret none is signed, none is good', () => {
    assert.throws(() => tokensOf([]).sign(OPEN), /no secret/);
    assert.equal(tokensOf([]).verify(tokens.sign(OPEN)), null);
  });
});

suite('rotation', () => {
  test('the first secret signs, all verify', () => {
    const rotated = tokensOf([NEW_SECRET, SECRET]);
    assert.deepEqual(rotated.verify(tokens.sign(CLICK)), CLICK);
    assert.deepEqual(tokensOf([NEW_SECRET]).verify(rotated.sign(CLICK)), CLICK);
    assert.equal(tokens.verify(rotated.sign(CLICK)), null);
  });

  test('a secret that was taken away verifies nothing', () => {
    assert.equal(tokensOf([NEW_SECRET]).verify(tokens.sign(CLICK)), null);
  });
});

suite('forged tokens', () => {
  const token = tokens.sign(CLICK);

  test('with any bit changed', () => {
    const bytes = Buffer.from(token, 'base64url');
    for (let index = 0; index < bytes.length; index += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        const forged = Buffer.from(bytes);
        forged[index] = (forged[index] as number) ^ (1 << bit);
        assert.equal(tokens.verify(forged.toString('base64url')), null, `byte ${index}, bit ${bit}`);
      }
    }
  });

  test('cut anywhere', () => {
    for (let length = 0; length < token.length; length += 1) {
      assert.equal(tokens.verify(token.slice(0, length)), null);
      assert.equal(tokens.verify(token.slice(length + 1)), null);
    }
  });

  test('written in another way', () => {
    const spellings = [`${token}=`, `${token}A`, ` ${token}`, `${token}\n`, `${token}.gif`, token.replace(/.$/, '*')];
    for (const spelling of [...spellings, '', 'x', '%', '\0', '🎉', 'A'.repeat(100_000)]) {
      assert.equal(tokens.verify(spelling), null, JSON.stringify(spelling.slice(0, 99)));
    }
    for (const other of [undefined, null, 7, {}]) assert.equal(tokens.verify(other as unknown as string), null);
  });

  test('signed for another purpose, version or kind, or with a target of another scheme', () => {
    const id = Buffer.from(emailId.replaceAll('-', ''), 'hex');
    const signed = (purpose: string, head: number[], rest: string) => {
      const payload = Buffer.concat([Buffer.from(head), id, Buffer.from(rest)]);
      const mac = createHmac('sha256', SECRET).update(purpose).update(payload).digest().subarray(0, 16);
      return tokens.verify(Buffer.concat([payload, mac]).toString('base64url'));
    };
    const ours = 'opensend smtp-relay tracking\n';
    assert.deepEqual(signed(ours, [1, 1], 'https://a.b/'), click('https://a.b/'));
    assert.equal(signed('', [1, 1], 'https://a.b/'), null);
    assert.equal(signed(ours, [2, 1], 'https://a.b/'), null);
    assert.equal(signed(ours, [3, 1], 'https://a.b/'), null);
    const here = `opensend smtp-relay tracking at ${HOST}\n`;
    assert.equal(signed(here, [1, 1], 'https://a.b/'), null);
    assert.equal(signed(here, [2, 0], 'short'), null);
    assert.equal(signed(ours, [1, 2], 'https://a.b/'), null);
    assert.equal(signed(ours, [1, 0], 'https://a.b/'), null);
    assert.equal(signed(ours, [1, 1], 'javascript:alert(1)'), null);
    assert.equal(signed(ours, [1, 1], ''), null);
  });
});

suite('links', () => {
  const links = createLinks(createTokens([SECRET]), { baseUrl: 'https://Track.example.com/', emailId, owner: 'acme' });

  test('lead to the public listener', () => {
    const url = links.linkFor('https://example.com/') ?? '';
    assert.ok(links.pixelUrl.startsWith(`https://Track.example.com${OPEN_PATH}`));
    assert.ok(url.startsWith(`https://Track.example.com${CLICK_PATH}`));
    assert.deepEqual(tokens.verify(url.slice(url.lastIndexOf('/') + 1)), click('https://example.com/'));
  });

  test('are not made of those that are links of ours already, nor of what no token can carry', () => {
    const url = links.linkFor('https://example.com/') ?? '';
    for (const other of [url, links.pixelUrl, 'mailto:a@b.c', `https://a.b/${'x'.repeat(9000)}`]) {
      assert.equal(links.linkFor(other), null);
    }
  });
});

suite('of a host and an owner', () => {
  const signer = createTokens([SECRET]);
  const token = signer.sign(CLICK, { host: HOST, owner: 'acme' });

  test('are good at that host only', () => {
    assert.deepEqual(signer.verify(token, HOST), { ...CLICK, ownerTag: ownerTag('acme') });
    for (const host of ['track.example.org', `x.${HOST}`, `${HOST}\n`, '', null])
      assert.equal(signer.verify(token, host), null);
  });

  test('tell owners apart, and not who they are', () => {
    const other = signer.sign(CLICK, { host: HOST, owner: 'other' });
    const nobodys = signer.sign(CLICK, { host: HOST, owner: null });
    assert.equal(new Set([token, other, nobodys].map(each => signer.verify(each, HOST)?.ownerTag)).size, 3);
    assert.ok(!Buffer.from(token, 'base64url').includes('acme'));
  });

  test('have a host as browsers send it', () => {
    for (const text of ['https://Links.A.test/x', 'links.a.test:8443', 'links.a.test.', 'HTTP://links.a.test']) {
      assert.equal(hostOf(text), 'links.a.test', text);
    }
    assert.equal(hostOf('https://bücher.test/'), 'xn--bcher-kva.test');
    for (const text of ['', 'a b', 'https://', ':80']) assert.equal(hostOf(text), null, text);
  });
});
