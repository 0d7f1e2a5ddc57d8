#!/bin/sh
# Removes what `smtp-relay dev` keeps: .dev/, and the folder elsewhere that holds Postgres where .dev/ cannot.
set -eu
cd "$(dirname "$0")/.."
[ -d .dev ] || exit 0

holder=$(cat .dev/lock 2>/dev/null || true)
if [ -n "$holder" ] && kill -0 "$holder" 2>/dev/null; then
  echo "dev still runs, as process $holder: stop it first, with Ctrl-C there or \"kill $holder\"." >&2
  echo 'If that process is something else, remove .dev/lock.' >&2
  exit 1
fi

elsewhere=$(cat .dev/postgres-directory 2>/dev/null || true)
case "$elsewhere" in
  */smtp-relay-??????) rm -rf "$elsewhere" ;;
esac
rm -rf .dev
