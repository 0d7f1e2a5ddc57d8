#!/usr/bin/env bash
# Installs the tools that check the chart into .cache/k8s-tools/bin: tools/chart/tools.sh [--all] [--server]. What is there already is
# left alone, so that a second run takes no time. --all builds Helm 4 and kustomize too, which only `make manifests` and `.ci/chart --all`
# use; --server builds a Kubernetes API server and kubectl, which tests of the documentation's commands use: five CPU minutes more.
#
# Needs Go 1.26 or later. Each folder of tools/chart/go is a Go module that names its tools, and pins them and all that they are made of.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly BIN=$PWD/.cache/k8s-tools/bin
# Helm thinks of a cluster of Kubernetes 1.20 where it asks none, unless it is told otherwise when it is built.
readonly KUBERNETES_MINOR=34
# The API server says what it is by what it is told when it is built.
readonly KUBERNETES_VERSION=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' tools/chart/go/server/go.mod)
readonly SERVER_FLAGS="-X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION -X k8s.io/client-go/pkg/version.gitVersion=$KUBERNETES_VERSION"
readonly HELM_FLAGS="-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$KUBERNETES_MINOR -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$KUBERNETES_MINOR"

export PATH=$PATH:/usr/local/go/bin CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOWORK=off
mkdir -p "$BIN"
work=$(mktemp -d "$BIN/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# build MODULE [FLAGS]: the tools of a folder of tools/chart/go, unless they are there in these versions and with these flags.
build() {
  local module=$1 flags=${2:-} folder=tools/chart/go/$1 stamp
  stamp="$(cat "$folder/go.mod" "$folder/go.sum" | cksum) $flags"
  [ "$(cat "$BIN/.$module.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  need_go
  echo "building the tools of $folder"
  (cd "$folder" && go_install "$flags" tool)
  # Not to take the place of Helm 3.
  [ "$module" != all ] || mv "$work/bin/helm" "$work/bin/helm4"
  [ "$module" != server ] || mv "$work/bin/server" "$work/bin/etcd"
  mv "$work/bin"/* "$BIN/"
  echo "$stamp" > "$BIN/.$module.stamp"
}

# go_install FLAGS PACKAGE. Without what only a debugger reads, compiling takes a seventh less.
go_install() { GOBIN=$work/bin go install -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w $1" "$2"; }

# promtool takes as long to build as all others together. Debian has it as a program; elsewhere it is built.
install_promtool() {
  [ ! -x "$BIN/promtool" ] || return 0
  if command -v promtool >/dev/null; then
    ln -sf "$(command -v promtool)" "$BIN/promtool"
  elif download_promtool; then
    mv "$work/prometheus/usr/bin/promtool" "$BIN/promtool"
  else
    need_go
    echo 'building promtool'
    go_install '' github.com/prometheus/prometheus/cmd/promtool@v0.316.0
    mv "$work/bin/promtool" "$BIN/promtool"
  fi
}

# Takes Debian's package apart rather than installs it, which would start a server.
download_promtool() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  mkdir "$work/prometheus"
  (cd "$work/prometheus" && apt_download prometheus) && dpkg-deb -x "$work"/prometheus/*.deb "$work/prometheus"
}

# The lists of a new machine are empty, and those of an old one name what is gone.
apt_download() {
  ! apt-get download -qq "$1" 2>/dev/null || return 0
  [ "$(id -u)" = 0 ] && apt-get update -qq && apt-get download -qq "$1"
}

need_go() {
  command -v go >/dev/null && [ "$(go env GOVERSION | sed 's/go1\.\([0-9]*\).*/\1/')" -ge 26 ] && return 0
  echo 'missing: Go 1.26 or later, which the tools for the chart are built with; install it first: https://go.dev/doc/install' >&2
  exit 1
}

build helm "$HELM_FLAGS"
build kube-score
for flag; do
  case $flag in
    --all) build all ;;
    --server) build server "$SERVER_FLAGS" ;;
  esac
done
install_promtool
