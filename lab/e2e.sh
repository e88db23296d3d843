#!/usr/bin/env bash
# The end-to-end tests on the cluster of KUBECONFIG: first those that have a namespace to themselves, side by side; then, one
# by one, those that break what all share. E2E_WORKERS says how many side by side (3; each takes a quarter of a core). With a
# folder given, the reports go there, and the list of all tests beside them.
set -uo pipefail
cd "$(dirname "$0")/.."
reports=${1:-}
part() { # name of the report, arguments of pytest
  local name=$1; shift
  .venv/bin/pytest -q ${reports:+--junit-xml="$reports/$name.xml"} "$@" tests/e2e || failed=1
}
failed=0
[ -z "$reports" ] || .venv/bin/pytest -q --collect-only tests/e2e > "$reports/e2e.collected" || exit 1
part e2e -m "not disruptive" -n "${E2E_WORKERS:-3}" --dist worksteal
part e2e-disruptive -m disruptive
exit $failed
