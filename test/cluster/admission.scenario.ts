import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { helm, kubectl } from './support/commands.ts';
import { createNamespace } from './support/namespace.ts';

const NAMESPACE = 'smtp-relay-admission';
const LABEL = { 'relay.opensend.dev/documents': 'true' };

const GOOD = `# Of team b.
apiVersion: relay.opensend.dev/v1alpha1
kind: SmtpCredential
metadata:
  labels:
    team: b
  name: billing
spec:
  keyFile: billing/key
  limits:
    messagesPerDay: 20000
  owner: acme
---
apiVersion: relay.opensend.dev/v1alpha1
kind: WebhookEndpoint
metadata:
  name: hook
spec:
  events:
  - email.sent
  - '*'
  owner: acme
  secretFile: hook
  url: https://acme.com/hooks
`;

/** What the API server has to say of a ConfigMap; empty where it takes it. */
async function objection(text: string, { name = 'any', labels = LABEL as object } = {}): Promise<string> {
  const map = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, labels },
    data: { 'a.yaml': text, 'b.txt': 'x' },
  };
  const args = ['create', '-n', NAMESPACE, '--dry-run=server', '-f', '-'];
  return kubectl(args, { input: JSON.stringify(map) }).then(
    () => '',
    (error: Error) => error.message,
  );
}

const WRONG: Readonly<Record<string, readonly [string, string, RegExp]>> = {
  'an unknown field': ['  owner: acme\n---', '  ownr: acme\n---', /SmtpCredential has a field that there is not/],
  'an unknown field in a group': ['messagesPerDay', 'messagesPerDy', /SmtpCredential has a field that there is not/],
  'a number that is none': ['20000', 'many', /SmtpCredential .* of another type/],
  'a field that is missing': ['  owner: acme\n---', '---', /SmtpCredential lacks a field/],
  'both of two that exclude each other': ['  limits:', '  keyHash: x\n  limits:', /has two of which it may have one/],
  'a kind that there is not': ['kind: SmtpCredential', 'kind: SmtpCredentials', /not written as kubectl writes/],
  'another version': ['v1alpha1\nkind: Web', 'v1\nkind: Web', /not written as kubectl writes/],
  'a document without a name': ['  name: hook\n', '  labels: {}\n', /not written as kubectl writes/],
  'a field beside the spec': ['spec:\n  events', 'status: {}\nspec:\n  events', /not written as kubectl writes/],
  'what is no YAML': ['kind: Web', 'kind Web', /not written as kubectl writes/],
};

describe('ConfigMaps of documents, at the API server', () => {
  const parts = new AsyncDisposableStack();

  before(async () => {
    await createNamespace({ after: fn => parts.defer(fn) }, NAMESPACE);
    const values = {
      tls: { mode: 'none' },
      secrets: { databaseUrl: { existingSecret: 'db' } },
      declared: { enabled: true, existingConfigMaps: [{ name: 'team-b' }], admissionPolicy: { enabled: true } },
    };
    const only = 'templates/config/admission-policy.yaml';
    const args = ['template', 'mail', 'charts/opensend-smtp-relay', '-n', NAMESPACE, '--kube-version', '1.30.0'];
    const policy = await helm([...args, '--values', '-', '--show-only', only], { input: JSON.stringify(values) });
    await kubectl(['apply', '-f', '-'], { input: policy });
    parts.defer(async () => void (await kubectl(['delete', '-f', '-'], { input: policy })));
    // It takes the API server a moment until the policy is in force.
    await eventually(async () => (await objection('nonsense')) !== '');
  });

  after(() => parts.disposeAsync());

  it('are taken where they are right', async () => {
    assert.equal(await objection(GOOD), '');
    assert.equal(await objection(`---\n${GOOD}---\n# nothing more\n`), '');
    assert.equal(await objection(''), '');
  });

  for (const [what, [from, to, expected]] of Object.entries(WRONG)) {
    it(`are refused for ${what}`, async () => {
      const text = GOOD.replace(from, to);
      assert.notEqual(text, GOOD);
      const said = await objection(text);
      assert.match(said, expected);
      assert.match(said, /smtp-relay resources validate/);
    });
  }

  it('are known by their names too, and others are let be', async () => {
    assert.match(await objection('nonsense', { name: 'team-b', labels: {} }), /not written as kubectl writes/);
    assert.equal(await objection('nonsense', { name: 'team-c', labels: {} }), '');
  });

  it('may have three hundred documents', async () => {
    const [one = ''] = GOOD.split('---\n');
    const many = Array.from({ length: 300 }, (_, index) => one.replace('billing\n', `billing-${index}\n`));
    assert.equal(await objection(many.join('---\n')), '');
  });
});
