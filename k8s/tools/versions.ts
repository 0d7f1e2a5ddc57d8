/*
 * What manifests are checked against, as Go modules: the oldest and the newest Kubernetes that the chart is for, and the
 * CustomResourceDefinitions of others.
 */

export const KUBERNETES_MODULES = {
  '1.29.15': 'k8s.io/kubernetes@v1.29.15',
  '1.34.4': 'k8s.io/kubernetes@v1.34.4',
} as const;

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
