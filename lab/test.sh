#!/usr/bin/env bash
# `make test`: the fast layers first, then the real cluster. The lab is stopped afterwards unless it was running before.
set -uo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
reports=.venv/reports
say() { printf '\n── %s (%d s) ──\n' "$1" $((SECONDS - began)); }

make setup || exit 1
rm -rf "$reports"; mkdir -p "$reports"
failed=0
was_up=no
layer() { # name, command...
  local name=$1; shift
  say "$name"
  "$@" -q --junit-xml="$reports/$name.xml" "tests/$name" || { failed=1; echo "✗ $name failed"; }
}

say checks
make check || exit 1
layer unit .venv/bin/pytest -n "${WORKERS:-auto}"
[ "$failed" = 1 ] || layer sim .venv/bin/pytest -n "${WORKERS:-auto}"
[ "$failed" = 0 ] || { .venv/bin/python lab/counts.py "$reports"; exit 1; }

if [ -n "${KUBECONFIG:-}" ]; then
  inside=()
else
  .venv/bin/python -m lab status >/dev/null 2>&1 && was_up=yes
  say "lab"
  .venv/bin/python -m lab up && .venv/bin/python -m lab image simengine llama operator operator-next || exit 1
  inside=(.venv/bin/python -m lab exec --)
  # The cluster layer brings operators of its own, and two would write over each other.
  "${inside[@]}" helm uninstall solera -n solera-system --ignore-not-found --wait
fi
# These tests mostly wait, each with an operator and a namespace of its own.
layer cluster "${inside[@]}" .venv/bin/pytest -n "${CLUSTER_WORKERS:-4}" --dist load --maxschedchunk 1
say e2e
"${inside[@]}" lab/e2e.sh "$reports" || { failed=1; echo "✗ e2e failed"; }
if [ -z "${KUBECONFIG:-}" ] && [ "$was_up" = no ]; then
  say "lab down"
  .venv/bin/python -m lab down || failed=1
fi
say "result"
.venv/bin/python lab/counts.py "$reports" || failed=1
exit $failed
