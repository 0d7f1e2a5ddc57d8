import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { readHtml } from '../../src/tracking/html.ts';
import { createLinkChooser } from '../../src/tracking/rewrite.ts';
import { readEncodedText } from '../../src/tracking/text-encoding.ts';
import { countCpu } from '../support/cpu.ts';

/** The targets of the links that are chosen. */
function chosen(html: string, listUnsubscribe: readonly string[] = []): string[] {
  const text = readEncodedText(Buffer.from(html), 'utf-8', 'html');
  assert.ok(text);
  const targetOf = createLinkChooser(listUnsubscribe);
  return readHtml(text).links.flatMap(link => targetOf(link) ?? []);
}

suite('a target is what browsers make of it', () => {
  const cases = {
    'https://x.test/&nbsp;': 'https://x.test/\u00a0',
    '&nbsp;https://x.test/': undefined,
    'https://x.test/&#x3000;&#xfeff;': 'https://x.test/\u3000\ufeff',
    '&#10; https://x.test/a&#9;b &#31;&#32;': 'https://x.test/ab',
    'https://x.test/a b': 'https://x.test/a b',
  };
  for (const [href, target] of Object.entries(cases)) {
    test(href, () => assert.deepEqual(chosen(`<a href="${href}">x</a>`), target === undefined ? [] : [target]));
  }

  test('in time that grows with its length', () => {
    const spaces = ' '.repeat(1_000_000);
    const took = countCpu();
    assert.deepEqual(chosen(`<a href="https://x.test/${spaces}y${spaces}">x</a>`), [`https://x.test/${spaces}y`]);
    assert.ok(took() < 10_000);
  });
});

const URL_LEFT_ALONE = 'https://example.com/x';

suite('links for unsubscribing are left alone', () => {
  const cases = {
    'by the URL': '<a href="https://example.com/Unsubscribe.php?u=1">x</a>',
    'by the host': '<a href="https://unsub.example.com/1">x</a>',
    'by a parameter': '<a href="https://example.com/?action=opt_out">x</a>',
    'by the text': `<a href="${URL_LEFT_ALONE}">Click to unsubscribe.</a>`,
    'by text with markup and references': `<a href="${URL_LEFT_ALONE}"><b>un</b>sub&#115;cribe</a>`,
    'by the title': `<a href="${URL_LEFT_ALONE}" title="Unsubscribe">x</a>`,
    'by the alt of an image': `<a href="${URL_LEFT_ALONE}"><img alt="Opt out" src="x"></a>`,
    'by the alt of an area': `<map><area href="${URL_LEFT_ALONE}" alt="unsubscribe"></map>`,
    'by the sentence before': `Thanks. To unsubscribe, <a href="${URL_LEFT_ALONE}">click here</a>`,
    'in German': `<a href="${URL_LEFT_ALONE}">Newsletter abbestellen</a>`,
    'in French': `<a href="${URL_LEFT_ALONE}">Se désabonner</a>`,
    'in Spanish': `<a href="${URL_LEFT_ALONE}">Darse de baja</a>`,
  };
  for (const [name, html] of Object.entries(cases)) {
    test(name, () => assert.deepEqual(chosen(html), []));
  }

  test('by List-Unsubscribe, however its URL is written', () => {
    const html = `<a href="HTTPS://Example.com:443/x">bye</a> <a href="https://example.com/y">y</a>`;
    const lines = ['List-Unsubscribe: <mailto:a@example.com>, <https://example.com\r\n /x>'];
    assert.deepEqual(chosen(html, lines), ['https://example.com/y']);
  });
});

test('similar words make no link one for unsubscribing', () => {
  for (const text of [
    'Subscribe',
    'Adopt outdoor cats',
    'optional outlook',
    'If you unsubscribe, you miss this. Read',
  ]) {
    assert.equal(chosen(`${text} <a href="https://example.com/adopt-outdoors">${text.slice(-4)}</a>`).length, 1, text);
  }
  const two = '<a href="https://example.com/u">Unsubscribe</a> | <a href="https://example.com/v">View</a>';
  assert.deepEqual(chosen(two), ['https://example.com/v']);
});

test('the sentence before a link is not looked for behind other markup', () => {
  const html = 'Unsubscribe <b>never</b>&nbsp;<a href="https://example.com/1">x</a>';
  assert.deepEqual(chosen(html), ['https://example.com/1']);
});

test('a link ends where the next one begins, or its parent was never closed', () => {
  const html = '<a href="https://example.com/1">one <a href="https://example.com/2">unsubscribe</a> opt out';
  assert.deepEqual(chosen(html), ['https://example.com/1']);
});

test('only http and https are for tracking', () => {
  const urls = [
    'mailto:a@example.com',
    'tel:1',
    '#x',
    '/x',
    'x',
    '//example.com/',
    'javascript:1',
    'data:,',
    'ftp://a/',
    '',
  ];
  assert.deepEqual(chosen(urls.map(url => `<a href="${url}">x</a>`).join('')), []);
  assert.deepEqual(chosen('<a href="HTTP://example.com">x</a>'), ['HTTP://example.com']);
});

test('links that are broken are not', () => {
  assert.deepEqual(chosen('<a href="https://example.com/>x</a> <p class="y">'), []);
  const text = readEncodedText(Buffer.from('<a href="https://example.com/\xe4">x</a>', 'latin1'), 'utf-8', 'html');
  assert.deepEqual(text && readHtml(text).links.flatMap(link => createLinkChooser([])(link) ?? []), []);
});

test('links marked data-track="off" are not', () => {
  assert.deepEqual(chosen('<a data-track="off" href="https://example.com/">x</a>'), []);
  assert.deepEqual(chosen('<a href=https://example.com/ DATA-TRACK=" Off ">x</a>'), []);
  assert.equal(chosen('<a data-track="on" href="https://example.com/">x</a>').length, 1);
});
