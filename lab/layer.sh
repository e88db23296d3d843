#!/usr/bin/env bash
# One layer of the tests: unit, sim, cluster, e2e (those with a namespace to themselves, side by side) or e2e-disruptive (those that
# break what all share, one by one). The last three run on the cluster of KUBECONFIG. With a folder given, the report goes there.
set -euo pipefail
cd "$(dirname "$0")/.."
layer=$1 reports=${2:-}
case $layer in
  # Some of these tests wait for an answer that does not come.
  unit) how=(-n "${WORKERS:-$(($(nproc) + 1))}" --dist worksteal) ;;
  sim) how=(-n "${WORKERS:-auto}") ;;
  # These tests mostly wait, each with an operator and a namespace of its own.
  cluster) how=(-n "${CLUSTER_WORKERS:-4}" --dist load --maxschedchunk 1) ;;
  # Each takes a quarter of a core.
  e2e) how=(-m "not disruptive" -n "${E2E_WORKERS:-4}" --dist worksteal) ;;
  e2e-disruptive) how=(-m disruptive) ;;
  *) echo "lab/layer.sh unit|sim|cluster|e2e|e2e-disruptive [FOLDER]" >&2; exit 2 ;;
esac
exec .venv/bin/pytest -q "${how[@]}" ${reports:+--junit-xml="$reports/$layer.xml"} "tests/${layer%%-*}"
