import { kubectl } from './commands.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/** A namespace that only takes pods of the Pod Security Standard `restricted`; gone with the test. */
export async function createNamespace(t: TestContext, name: string): Promise<string> {
  await kubectl(['create', 'namespace', name]);
  t.after(async () => void (await kubectl(['delete', 'namespace', name, '--timeout=180s'])));
  await kubectl(['label', 'namespace', name, 'pod-security.kubernetes.io/enforce=restricted']);
  return name;
}

/** Makes the objects, or brings them up to date. */
export async function apply(namespace: string, ...items: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
  await kubectl(['apply', '-n', namespace, '-f', '-'], { input });
}

/** A Secret of texts, as a manifest. */
export function secret(name: string, stringData: Readonly<Record<string, string>>, type = 'Opaque'): object {
  return { apiVersion: 'v1', kind: 'Secret', type, metadata: { name }, stringData };
}

/** Whether the cluster has objects of this kind, such as `certificates.cert-manager.io`. */
export async function hasKind(kind: string): Promise<boolean> {
  return (await kubectl(['get', 'crd', kind, '--ignore-not-found', '-o', 'name'])) !== '';
}
