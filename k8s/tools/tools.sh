#!/usr/bin/env bash
# Installs the tools that check the chart, at pinned versions, into .cache/k8s-tools/bin. `make k8s-tools` runs this; what is
# there already is left alone, so that a second run takes no time.
#
# Needs Go 1.26 or later. On two idle cores the first run takes about ten minutes, most of it for compiling Helm; with --all it also
# builds Helm 4 and kustomize, which only `make manifests` and `.ci/chart --all` use.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly ROOT=$PWD
readonly BIN=$ROOT/.cache/k8s-tools/bin
# Helm thinks of a cluster of Kubernetes 1.20 where it asks none, unless it is told otherwise when it is built.
readonly KUBERNETES_MINOR=34
readonly HELM_FLAGS="-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$KUBERNETES_MINOR -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$KUBERNETES_MINOR"

export PATH=$PATH:/usr/local/go/bin GOBIN=$BIN CGO_ENABLED=0 GOFLAGS=-buildvcs=false
mkdir -p "$BIN"

# install NAME VERSION FLAGS PACKAGE: builds a program of its own module, where this version of it is not there yet.
install() {
  local name=$1 version=$2 flags=$3 package=$4
  ! is_present "$name" "$version" || return 0
  need_go
  echo "building $name $version"
  GOBIN=$BIN/.new go install -trimpath -ldflags "-s -w $flags" "$package@$version"
  mv "$BIN/.new/${package##*/}" "$BIN/$name" 2>/dev/null || mv "$BIN/.new/$(basename "${package%/v[0-9]*}")" "$BIN/$name"
  remember "$name" "$version"
}

# helm-unittest needs a replacement of a module, which only a go.mod of ours can say.
install_unittest() {
  local version
  version=$(sed -n 's/.*helm-unittest\/helm-unittest \(v[0-9.]*\).*/\1/p' k8s/tools/helm-unittest/go.mod)
  ! is_present helm-unittest "$version" || return 0
  need_go
  echo "building helm-unittest $version"
  (cd k8s/tools/helm-unittest && go install -trimpath -ldflags "-s -w $HELM_FLAGS" tool)
  remember helm-unittest "$version"
}

# promtool takes as long to build as all others together. Debian has it as a program; elsewhere it is built.
install_promtool() {
  ! is_present promtool any || return 0
  if command -v promtool >/dev/null; then
    ln -sf "$(command -v promtool)" "$BIN/promtool"
  elif command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
    local folder
    folder=$(mktemp -d)
    (cd "$folder" && apt-get download -q prometheus && dpkg-deb -x prometheus_*.deb .) && mv "$folder/usr/bin/promtool" "$BIN/promtool"
    rm -rf "$folder"
  else
    install promtool v0.316.0 '' github.com/prometheus/prometheus/cmd/promtool
  fi
  remember promtool any
}

is_present() { [ -x "$BIN/$1" ] && [ "$(cat "$BIN/.$1.version" 2>/dev/null)" = "$2" ]; }
remember() { echo "$2" > "$BIN/.$1.version"; }

need_go() {
  command -v go >/dev/null && [ "$(go env GOVERSION | sed 's/go1\.\([0-9]*\).*/\1/')" -ge 26 ] && return 0
  echo 'The tools for the chart are built with Go 1.26 or later: https://go.dev/doc/install' >&2
  exit 1
}

install helm v3.22.0 "$HELM_FLAGS" helm.sh/helm/v3/cmd/helm
install kubeconform v0.8.0 '' github.com/yannh/kubeconform/cmd/kubeconform
install kube-score v1.20.0 '' github.com/zegl/kube-score/cmd/kube-score
install helm-docs v1.14.2 '' github.com/norwoodj/helm-docs/cmd/helm-docs
install_unittest
install_promtool
if [ "${1:-}" = --all ]; then
  install kustomize v5.8.1 '' sigs.k8s.io/kustomize/kustomize/v5
  install helm4 v4.3.1 '' helm.sh/helm/v4/cmd/helm
fi
rm -rf "$BIN/.new"
