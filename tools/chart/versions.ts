/*
 * What manifests are checked against, as Go modules: each minor of Kubernetes that the chart is for, from the oldest to the newest,
 * and the CustomResourceDefinitions of others. .ci/chart renders for these versions.
 */

export const KUBERNETES_MODULES = {
  '1.29.15': 'k8s.io/kubernetes@v1.29.15',
  '1.30.14': 'k8s.io/kubernetes@v1.30.14',
  '1.31.14': 'k8s.io/kubernetes@v1.31.14',
  '1.32.13': 'k8s.io/kubernetes@v1.32.13',
  '1.33.13': 'k8s.io/kubernetes@v1.33.13',
  '1.34.4': 'k8s.io/kubernetes@v1.34.4',
  '1.35.4': 'k8s.io/kubernetes@v1.35.4',
  '1.36.3': 'k8s.io/kubernetes@v1.36.3',
  '1.37.2': 'k8s.io/kubernetes@v1.37.2',
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
