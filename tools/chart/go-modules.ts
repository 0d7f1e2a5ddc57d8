import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Where the CustomResourceDefinitions come from that the chart has objects of. */
export const CRD_MODULES: readonly { readonly module: string; readonly folders: readonly string[] }[] = [
  { module: 'github.com/cert-manager/cert-manager@v1.21.2', folders: ['deploy/crds'] },
  { module: 'github.com/kedacore/keda/v2@v2.21.0', folders: ['config/crd/bases'] },
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    folders: ['example/prometheus-operator-crd'],
  },
  { module: 'sigs.k8s.io/gateway-api@v1.6.3', folders: ['config/crd/standard'] },
  { module: 'github.com/external-secrets/external-secrets@v1.3.2', folders: ['config/crds/bases'] },
];

/** Where the Go module cache has it; downloaded where it has not. */
export function moduleFolder(module: string): string {
  const answer = execFileSync('go', ['mod', 'download', '-json', module], { cwd: '/', encoding: 'utf8' });
  return (JSON.parse(answer) as { Dir: string }).Dir;
}

/** The files of the CustomResourceDefinitions of one of the modules. */
export function customResourceFiles({ module, folders }: (typeof CRD_MODULES)[number]): string[] {
  const root = moduleFolder(module);
  return folders.flatMap(name =>
    readdirSync(join(root, name))
      .filter(file => file.endsWith('.yaml'))
      .map(file => join(root, name, file)),
  );
}
