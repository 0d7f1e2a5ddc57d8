# Short verbs for people and for .ci/run. Needs make, git and Node 20 or later; the project brings the Node it runs on.

.DEFAULT_GOAL := help
.PHONY: help dev clean-dev test check generate bench bench-peers ci image image-test test-image test-cluster test-cluster-policies k8s-tools chart manifests check-chart

# Written by npm; older than package-lock.json means that packages are missing.
INSTALLED := node_modules/.package-lock.json

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

dev: $(INSTALLED) ## run everything on this machine and print mail settings; Ctrl-C stops it
	@node bin/smtp-relay.js dev

clean-dev: ## remove what `make dev` keeps in .dev/
	@sh bin/clean-dev.sh

test: $(INSTALLED) ## run all tests; some of them: make test ARGS=test/dev/postgres.test.ts
	@node bin/node24.js test/support/run.ts $(ARGS)

check: $(INSTALLED) ## types, lint and format, what is generated is not stale
	@npm run --silent check

generate: $(INSTALLED) ## write what is made from settings, metrics, kinds and events: docs/ and the chart's own files
	@node bin/smtp-relay.js config reference --write
	@node bin/smtp-relay.js config metrics --write
	@node bin/smtp-relay.js resources schemas --write
	@node bin/node24.js tools/webhook-events.ts
	@node bin/node24.js tools/chart/generate.ts

bench: $(INSTALLED) ## measure intake, in five minutes, and say which goals it meets
	@npm run --silent bench

bench-peers: $(INSTALLED) ## measure it beside Postfix, Haraka, smtp-server and pgbench, and write docs/performance.md; a part: ARGS="--load 1k-64"
	@node bin/node24.js bench/peers.ts --write $(ARGS)

k8s-tools: ## install the tools that check the chart into .cache/ (needs Go 1.26 or later)
	@tools/chart/tools.sh --all

chart: k8s-tools $(INSTALLED) ## write the files of the chart that are made from others: schema, README, dashboard
	@node bin/node24.js tools/chart/generate.ts
	@.cache/k8s-tools/bin/helm-docs --chart-search-root charts --sort-values-order file --log-level warning

manifests: chart ## render k8s/base and k8s/overlays from the chart
	@PATH=$(CURDIR)/.cache/k8s-tools/bin:$$PATH node bin/node24.js tools/chart/kustomize.ts --build

check-chart: $(INSTALLED) ## check chart and manifests; all of it: make check-chart ARGS=--all
	@.ci/chart $(ARGS)

ci: ## what .ci/run runs on a new machine
	@.ci/run

# Images: IMAGE:IMAGE_TAG, and IMAGE:IMAGE_TAG-demo with a Postgres for the chart's demonstration. docs/image.md has the rest.
IMAGE ?= opensend-smtp-relay
IMAGE_TAG ?= latest
# Which Node image to build on; empty for the one that the Dockerfile names.
BASE ?=
# docker where its daemon answers, else podman, whose own format would drop the HEALTHCHECK.
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo podman)
BUILD_FLAGS ?=
RUN_FLAGS ?=
BUILD = $(ENGINE) build $(if $(findstring podman,$(ENGINE)),--format docker) $(BUILD_FLAGS) $(if $(BASE),--build-arg NODE_IMAGE=$(BASE)) \
	--build-arg VERSION="$$(sed -n 's/^  "version": "\(.*\)",$$/\1/p' package.json)" \
	--build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null)" --build-arg CREATED="$$(git log -1 --format=%cI 2>/dev/null)"

image: ## build the images with docker or podman; on another base: make image BASE=registry.example.com/node:24
	$(BUILD) -t $(IMAGE):$(IMAGE_TAG) .
	$(BUILD) -t $(IMAGE):$(IMAGE_TAG)-demo --target demo .

image-test: image ## build the image that `make test-cluster` needs beside those of `make image`
	rm -rf .cache/image-test && mkdir -p .cache/image-test
	cp -R package.json package-lock.json src dev test .cache/image-test/
	$(BUILD) -t $(IMAGE):$(IMAGE_TAG)-test -f test/cluster/Dockerfile .cache/image-test

test-cluster: $(INSTALLED) ## try the chart on the cluster of KUBECONFIG, which has the images of `make image-test`: docs/kubernetes.md
	@IMAGE="$(IMAGE):$(IMAGE_TAG)" node bin/node24.js test/cluster/run.ts $(ARGS)

test-cluster-policies: $(INSTALLED) ## try the chart's NetworkPolicies in force, on a cluster whose network enforces them
	@IMAGE="$(IMAGE):$(IMAGE_TAG)" node bin/node24.js test/cluster/run.ts test/cluster/enforced/network-policies.scenario.ts

test-image: $(INSTALLED) ## try the built images: what they hold, how they start, stop and report
	@ENGINE="$(ENGINE)" RUN_FLAGS="$(RUN_FLAGS)" BUILD_FLAGS="$(BUILD_FLAGS)" BASE="$(BASE)" IMAGE="$(IMAGE):$(IMAGE_TAG)" \
	  node bin/node24.js test/support/run.ts test/image/image.ts test/image/documents.ts

$(INSTALLED): package-lock.json
	@node -e 'if (parseInt(process.versions.node) < 20) { console.error("This needs Node 20 or later, and found " + process.versions.node); process.exit(1) }' \
	  || { command -v node >/dev/null || echo 'This needs Node 20 or later: https://nodejs.org/en/download'; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	@touch $@
