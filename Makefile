# Short verbs for people and for .ci/run. Needs make, git and Node 20 or later; the project brings the Node it runs on.

.DEFAULT_GOAL := help
.PHONY: help dev clean-dev test check bench ci

# Written by npm; older than package-lock.json means that packages are missing.
INSTALLED := node_modules/.package-lock.json

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

dev: $(INSTALLED) ## run everything on this machine and print mail settings; Ctrl-C stops it
	@node bin/smtp-relay.js dev

clean-dev: ## remove what `make dev` keeps in .dev/
	@sh bin/clean-dev.sh

test: $(INSTALLED) ## run all tests; some of them: make test ARGS=test/dev/postgres.test.ts
	@node bin/node24.js test/support/run.ts $(ARGS)

check: $(INSTALLED) ## types, lint and format, documentation that is not stale
	@npm run --silent check

bench: $(INSTALLED) ## measure intake
	@npm run --silent bench

ci: ## what .ci/run runs on a new machine
	@.ci/run

$(INSTALLED): package-lock.json
	@node -e 'if (parseInt(process.versions.node) < 20) { console.error("This needs Node 20 or later, and found " + process.versions.node); process.exit(1) }' \
	  || { command -v node >/dev/null || echo 'This needs Node 20 or later: https://nodejs.org/en/download'; exit 1; }
	npm ci --no-audit --no-fund
	@touch $@
