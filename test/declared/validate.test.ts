import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createDeclarationReader } from '../../src/declared/plan/declarations.ts';
import { API_VERSION, createFolder } from './support.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function problemsOf(t: TestContext, files: Readonly<Record<string, string>>) {
  const folder = await createFolder(t, files);
  const declarations = await createDeclarationReader()([folder.path], { documents: folder.path, secrets: null });
  return declarations.problems.map(({ file, line, object, path, why, fix }) => {
    return { at: `${file.slice(folder.path.length + 1)}:${line}`, object, path, why, fix };
  });
}

const HEAD = `apiVersion: ${API_VERSION}\nkind: SmtpCredential\nmetadata:\n  name: billing\nspec:\n  owner: acme\n`;
const HASH = 'ab'.repeat(32);

describe('a problem is told with file, line, path and what to write', () => {
  const cases: [what: string, text: string, expected: { line: number; path: string; why: RegExp; fix: RegExp }][] = [
    [
      'a misspelt field',
      `${HEAD}  keyHash: ${HASH}\n  domian: acme.test\n`,
      { line: 8, path: 'spec.domian', why: /does not exist/, fix: /write domain/ },
    ],
    [
      'a field deep inside',
      `${HEAD}  keyHash: ${HASH}\n  limits:\n    messagesPerDay: 10\n    perDay: 1\n`,
      { line: 10, path: 'spec.limits.perDay', why: /does not exist/, fix: /messagesPerDay/ },
    ],
    [
      'a wrong type',
      `${HEAD}  keyHash: ${HASH}\n  limits: {\n    messagesPerDay: "10" }\n`,
      { line: 9, path: 'spec.limits.messagesPerDay', why: /wrong type/, fix: /whole number from 0/ },
    ],
    [
      'a pattern',
      `${HEAD}  keyFile: ../key\n`,
      { line: 7, path: 'spec.keyFile', why: /not what is allowed/, fix: /without \.\./ },
    ],
    [
      'neither of two',
      HEAD,
      { line: 5, path: 'spec', why: /none or several/, fix: /exactly one of keyFile and keyHash/ },
    ],
    [
      'both of two',
      `${HEAD}  keyHash: ${HASH}\n  keyFile: key\n`,
      { line: 5, path: 'spec', why: /none or several/, fix: /exactly one/ },
    ],
    [
      'a domain that is none',
      `${HEAD}  keyHash: ${HASH}\n  # a comment\n  domain: acme..test\n`,
      { line: 9, path: 'spec.domain', why: /not a domain name/, fix: /such as acme\.com/ },
    ],
    [
      'another version',
      HEAD.replace('v1alpha1', 'v1'),
      { line: 1, path: 'apiVersion', why: /another one/, fix: /v1alpha1/ },
    ],
    [
      'a misspelt kind',
      HEAD.replace('SmtpCredential', 'SMTPCredentials'),
      { line: 2, path: 'kind', why: /no kind/, fix: /write SmtpCredential/ },
    ],
    [
      'a name that is none',
      `${HEAD.replace('billing', 'Billing Server')}  keyHash: ${HASH}\n`,
      { line: 4, path: 'metadata.name', why: /not what is allowed/, fix: /lower-case/ },
    ],
    [
      'a missing spec',
      `apiVersion: ${API_VERSION}\nkind: Route\nmetadata: { name: x }\n`,
      { line: 1, path: 'spec', why: /missing/, fix: /group of fields/ },
    ],
    ['what is not YAML', `${HEAD}  domain: [\n`, { line: 8, path: '', why: /not YAML/, fix: /correct the YAML/ }],
    [
      'a key that stands twice',
      `${HEAD}  owner: other\n`,
      { line: 7, path: '', why: /duplicated mapping key/, fix: /./ },
    ],
    ['a text in place of an object', 'hello\n', { line: 1, path: '', why: /not an object/, fix: /apiVersion/ }],
  ];
  for (const [what, text, expected] of cases) {
    it(what, async t => {
      // Behind another document, so that lines are those of the file.
      const before = `# comment\n---\napiVersion: ${API_VERSION}\nkind: SendingDomain\nmetadata: {name: ok}\nspec: {owner: acme, name: acme.test}\n---\n`;
      const [first, ...others] = await problemsOf(t, { 'a.yaml': before + text });
      assert.deepEqual(others, []);
      assert.equal(first?.at, `a.yaml:${7 + expected.line}`);
      assert.equal(first?.path, expected.path);
      assert.match(first?.why ?? '', expected.why);
      assert.match(first?.fix ?? '', expected.fix);
    });
  }

  it('and never with the value', async t => {
    const secret = 'os_live_this_is_a_key';
    const [problem] = await problemsOf(t, { 'a.yaml': `${HEAD}  keyHash: ${secret}\n` });
    assert.equal(problem?.path, 'spec.keyHash');
    assert.ok(!JSON.stringify(problem).includes(secret));
  });

  it('and all of them at once', async t => {
    const problems = await problemsOf(t, { 'a.yaml': `${HEAD}  keyHash: x\n  domian: y\n  limits: {sessions: -1}\n` });
    assert.deepEqual(problems.map(({ path }) => path).sort(), ['spec.domian', 'spec.keyHash', 'spec.limits.sessions']);
  });
});

describe('a folder', () => {
  const good = (name: string): string => `${HEAD.replace('billing', name)}  keyHash: ${HASH}\n`;

  it('is read with the folders below it, JSON too; other files are not', async t => {
    const json = JSON.stringify({
      apiVersion: API_VERSION,
      kind: 'SmtpCredential',
      metadata: { name: 'j' },
      spec: { owner: 'a', keyHash: HASH },
    });
    const folder = await createFolder(t, {
      'a.yaml': good('a'),
      'below/b.yml': good('b'),
      'c.json': json,
      'notes.txt': 'x',
      '.hidden.yaml': 'x: y',
    });
    const declarations = await createDeclarationReader()([folder.path], { documents: folder.path, secrets: null });
    assert.deepEqual(declarations.problems, []);
    assert.deepEqual(
      declarations.all.map(({ name }) => name),
      ['a', 'b', 'j'],
    );
    assert.equal(declarations.isWhole, true);
  });

  it('that is not there is not whole', async () => {
    const declarations = await createDeclarationReader()(['/nonexistent/folder'], { documents: '/', secrets: null });
    assert.equal(declarations.isWhole, false);
    assert.match(declarations.problems[0]?.why ?? '', /does not exist/);
  });

  it('may have one name once only', async t => {
    const problems = await problemsOf(t, { 'a.yaml': good('a'), 'b.yaml': good('a') });
    assert.deepEqual(
      problems.map(({ at, path }) => `${at} ${path}`),
      ['b.yaml:4 metadata.name'],
    );
  });

  it('may say of a domain once only which route it takes', async t => {
    const route = (name: string, domains: string) =>
      `apiVersion: ${API_VERSION}\nkind: Route\nmetadata: {name: ${name}}\nspec:\n  transport: capture\n  domains:\n${domains}`;
    const problems = await problemsOf(t, {
      'a.yaml': route('a', '  - acme.test\n'),
      'b.yaml': route('b', '  - b.test\n  - ACME.test\n'),
    });
    assert.deepEqual(
      problems.map(({ at, path }) => `${at} ${path}`),
      ['b.yaml:8 spec.domains[1]'],
    );
  });

  it('that is a mounted ConfigMap is read by its ..data, whole', async t => {
    const folder = await createFolder(t, { '..2026_11_23/a.yaml': good('a') });
    const { symlink } = await import('node:fs/promises');
    await symlink('..2026_11_23', `${folder.path}/..data`);
    await symlink('..data/a.yaml', `${folder.path}/a.yaml`);
    const declarations = await createDeclarationReader()([folder.path], { documents: folder.path, secrets: null });
    assert.deepEqual(
      declarations.all.map(({ name, source }) => [name, source.file]),
      [['a', `${folder.path}/a.yaml`]],
    );
  });
});

it('what a cluster adds to an object is taken', async t => {
  const text = JSON.stringify({
    apiVersion: API_VERSION,
    kind: 'SendingDomain',
    metadata: {
      name: 'a',
      namespace: 'mail',
      labels: { a: 'b' },
      annotations: { c: 'd' },
      generation: 3,
      uid: 'x',
      resourceVersion: '1',
      creationTimestamp: '2026-11-23T00:00:00Z',
    },
    spec: { owner: 'a', name: 'a.test' },
    status: { observedGeneration: 3, conditions: [{ type: 'Ready', status: 'True', reason: 'Applied', message: '' }] },
  });
  assert.deepEqual(await problemsOf(t, { 'a.yaml': text }), []);
});
