import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { rewriteMessage } from '../../src/tracking/rewrite.ts';
import { countCpu } from '../support/cpu.ts';
import { needs } from '../support/needs.ts';
import { FIXTURES, namesIn, READABLE, readFixture } from './fixtures.ts';

const COMPARE = fileURLToPath(new URL('compare.py', import.meta.url));
/** Fixtures with other than one link and one pixel. */
const OTHER_COUNTS: Readonly<Record<string, { links: number; pixels: number }>> = {
  'html-broken': { links: 2, pixels: 1 },
  'html-left-open': { links: 1, pixels: 0 },
  'link-too-long-for-its-line': { links: 0, pixels: 1 },
  links: { links: 9, pixels: 1 },
  'mixed-two-htmls': { links: 2, pixels: 1 },
};

const rewritten = await namesIn('rewritten', '.before.eml');
const untouched = await namesIn('untouched', '.eml');

function html(body: string, fields = 'Content-Type: text/html; charset=utf-8'): Buffer {
  return Buffer.from(`From: hello@acme.test\r\nMIME-Version: 1.0\r\n${fields}\r\n\r\n${body}`);
}

async function rewrite(raw: Buffer): Promise<string> {
  return (await rewriteMessage(raw, READABLE)).toString();
}

suite('fixtures', () => {
  test('there are some', () => {
    assert.ok(rewritten.length > 50 && untouched.length >= 20);
  });

  for (const name of rewritten) {
    test(`${name} is rewritten, once`, async () => {
      const after = await readFixture(`rewritten/${name}.after.eml`);
      const out = await rewriteMessage(await readFixture(`rewritten/${name}.before.eml`), READABLE);
      assert.equal(out.toString('latin1'), after.toString('latin1'));
      assert.equal(await rewriteMessage(after, READABLE), after);
    });
  }

  for (const name of untouched) {
    test(`${name} stays as it is`, async () => {
      const raw = await readFixture(`untouched/${name}.eml`);
      assert.equal(await rewriteMessage(raw, READABLE), raw);
    });
  }

  test("Python's email package finds nothing else changed", { skip: needs('python3') }, async () => {
    const files = rewritten.flatMap(name => [`${name}.before.eml`, `${name}.after.eml`]);
    const { stdout } = await promisify(execFile)('python3', [COMPARE, 'https://links.example.com', ...files], {
      cwd: `${FIXTURES}/rewritten`,
    });
    const results = stdout.trim().split('\n');
    assert.equal(results.length, rewritten.length);
    rewritten.forEach((name, index) => {
      const expected = { problems: [], ...(OTHER_COUNTS[name] ?? { links: 1, pixels: 1 }) };
      assert.deepEqual(JSON.parse(results[index] as string), expected, name);
    });
  });
});

suite('what is asked for', () => {
  const raw = html('<body><a href="https://example.com/">x</a></body>\r\n');

  test('nothing', async () => {
    assert.equal(await rewriteMessage(raw, { ...READABLE, opens: false, clicks: false }), raw);
  });

  test('opens only', async () => {
    const out = (await rewriteMessage(raw, { ...READABLE, clicks: false })).toString();
    assert.ok(out.includes('href="https://example.com/"') && out.includes('/t/o/pixel'));
  });

  test('clicks only', async () => {
    const out = (await rewriteMessage(raw, { ...READABLE, opens: false })).toString();
    assert.ok(out.includes('href="https://links.example.com/t/c/') && !out.includes('<img'));
  });

  test('nothing that would change anything', async () => {
    const plain = html('<p>No link</p>\r\n');
    assert.equal(await rewriteMessage(plain, { ...READABLE, opens: false }), plain);
  });
});

suite('the pixel', () => {
  const PIXEL = '<img src="https://links.example.com/t/o/pixel" width="1" height="1" alt="">';
  const cases: Record<string, [before: string, after: string]> = {
    'before the last </body>': [
      '<body>a</body><body>b</BODY ></html>\r\n',
      `<body>a</body><body>b${PIXEL}</BODY ></html>\r\n`,
    ],
    'else before </html>': ['<html>a</html>\r\n', `<html>a${PIXEL}</html>\r\n`],
    'else at the end, before white space': ['<p>a</p>\r\n\r\n', `<p>a</p>${PIXEL}\r\n\r\n`],
    'not by a </body> in a comment': ['<p>a</p><!-- </body> -->\r\n', `<p>a</p><!-- </body> -->${PIXEL}\r\n`],
    'not by a </body> in a script': ['<script>"</body>"</script>a\r\n', `<script>"</body>"</script>a${PIXEL}\r\n`],
    'behind text that ends like markup': ['a &amp\r\n', `a &amp${PIXEL}\r\n`],
    'behind a lone <': ['a <\r\n', `a <${PIXEL}\r\n`],
    'not in a comment left open': ['a<!-- b\r\n', 'a<!-- b\r\n'],
    'not in a script left open': ['a<script>b\r\n', 'a<script>b\r\n'],
    'not in a tag left open': ['a<p class="b\r\n', 'a<p class="b\r\n'],
  };
  for (const [name, [before, after]] of Object.entries(cases)) {
    test(name, async () => {
      assert.equal(await rewrite(html(before)), html(after).toString());
    });
  }
});

suite('links', () => {
  test('character references are decoded as browsers do, and written where they are needed', async () => {
    const seen: string[] = [];
    const raw = html('<a href="https://example.com/?a=1&amp;b=2&copy=3&#38;d=%20&quot;">x</a>\r\n');
    const out = await rewriteMessage(raw, {
      ...READABLE,
      opens: false,
      linkFor: url => {
        seen.push(url);
        return 'https://t.example/?a=1&b="é"\'<>';
      },
    });
    assert.deepEqual(seen, ['https://example.com/?a=1&b=2&copy=3&d=%20"']);
    assert.match(out.toString(), /<a href="https:\/\/t\.example\/\?a=1&amp;b=&#34;&#233;&#34;&#39;&#60;&#62;">x<\/a>/);
  });

  test('a value without quotes gets them where the new one needs them', async () => {
    const raw = html('<a href=https://example.com/>x</a>\r\n');
    const out = await rewriteMessage(raw, { ...READABLE, opens: false, linkFor: () => 'https://t.example/?a=1' });
    assert.match(out.toString(), /<a href="https:\/\/t\.example\/\?a=1">x/);
  });

  test('what browsers take out of a URL is not in its target', async () => {
    const out = await rewrite(html('<a href=" https://exam\r\nple.com/\t ">x</a>\r\n'));
    assert.ok(
      out.includes(`"https://links.example.com/t/c/${Buffer.from('https://example.com/').toString('base64url')}"`),
    );
  });

  test('one that no token can carry stays', async () => {
    const raw = html('<a href="https://example.com/">x</a>\r\n');
    assert.equal(await rewriteMessage(raw, { ...READABLE, opens: false, linkFor: () => null }), raw);
  });
});

suite('lines', () => {
  const link = `<a href="https://example.com/${'p'.repeat(300)}">x</a>`;

  test('none becomes longer than 998 bytes, and line breaks come only where HTML allows them', async () => {
    const raw = html(`<p>${link} ${link} ${link}</p>\r\n`);
    const out = await rewrite(raw);
    assert.ok(Math.max(...out.split('\r\n').map(line => line.length)) <= 998);
    assert.equal(out.match(/href="https:\/\/links\.example\.com\/t\/c\/[\w-]+"/g)?.length, 3);
    const restored = out
      .replace(/<img[^>]*>/, '')
      .replace(/https:\/\/links\.example\.com\/t\/c\/([\w-]+)/g, (_, code) =>
        Buffer.from(code, 'base64url').toString(),
      );
    assert.equal(restored.replace(/\s+/g, ' '), raw.toString().replace(/\s+/g, ' '));
  });

  test('one that was longer before hinders nobody', async () => {
    const out = await rewrite(html(`<p>${'x'.repeat(2000)}<a href="https://example.com/">x</a></p>\r\n`));
    assert.ok(out.includes('/t/c/') && out.includes('x'.repeat(2000)));
  });

  test('quoted-printable lines without a link stay byte for byte', async () => {
    const kept = '<p>odd=20but=0D=0Avalid =\r\n text=3d=3D</p>\r\n';
    const fields = 'Content-Type: text/html\r\nContent-Transfer-Encoding: Quoted-Printable';
    const out = await rewrite(html(`${kept}<a href=3D"https://example.com/">x</a>\r\n${kept}`, fields));
    assert.equal(out.split(kept.slice(0, -6)).length, 3);
  });

  test('a full quoted-printable line takes the pixel', async () => {
    const fields = 'Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable';
    for (const end of ['x', '=E4']) {
      const out = await rewrite(html(`${'a'.repeat(76 - end.length)}${end}\r\n`, fields));
      assert.ok(Math.max(...out.split('\r\n').map(line => line.length)) <= 76, out);
      assert.ok(out.replaceAll('=\r\n', '').includes(`a${end}<img src=3D"https://links`));
    }
  });
});

suite('hostile HTML of 1 MB', () => {
  const size = 1_000_000;
  const fill = (text: string) => text.repeat(Math.ceil(size / text.length));
  const cases: Record<string, string> = {
    'tags left open': fill('<a '),
    'angle brackets': fill('<'),
    ampersands: fill('&'),
    references: `<a href="${fill('&#x41;')}`,
    comments: fill('<!--'),
    scripts: fill('<script>'),
    'closing tags': fill('</body>'),
    links: fill('<a href="https://example.com/">'),
    'links on one line after long texts': fill(`${'a. '.repeat(100)}<a href=http://a.b/>`),
    'one attribute many times': `<a${fill(' href=http://a.b/')}>`,
    'white space in a URL': `<a href="http://a.b/${fill(' ')}x">`,
    'white space around an equals sign': `<a href${fill(' ')}=${fill(' ')}"http://a.b/">`,
    'white space within a line': `x${fill(' \t')}y`,
    'white space at the end': fill(' '),
    'a long text of a link': `<a href="http://a.b/">${fill('opt ')}</a>`,
    'a long title of a link': `<a href="http://a.b/" title="${fill('opt ')}">x</a>`,
  };
  for (const [name, text] of Object.entries(cases)) {
    test(name, async () => {
      const fields = 'Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable';
      const took = countCpu();
      await rewriteMessage(html(text), READABLE);
      await rewriteMessage(html(text.replaceAll('=', '=3D'), fields), READABLE);
      // What is quadratic takes minutes.
      assert.ok(took() < 30_000);
    });
  }

  test('HTML over 2 MiB stays as it is', async () => {
    const raw = html(fill('<a href="https://example.com/">x</a>\r\n').repeat(3));
    assert.equal(await rewriteMessage(raw, READABLE), raw);
  });
});
