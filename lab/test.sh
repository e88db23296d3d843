#!/usr/bin/env bash
# `make test`: the fast layers first, then the real cluster. Disruptive tests have a lab of their own, beside everything else; with
# KUBECONFIG set, all run on that cluster, one layer after the other. What was not running before does not run afterwards.
set -uo pipefail
cd "$(dirname "$0")/.."
began=$SECONDS
reports=$PWD/.venv/reports
failed=0 beside='' started=()
lab=(.venv/bin/python -m lab)
images=(simengine llama operator operator-next)
other=(env "SOLERA_LAB_HOME=${SOLERA_LAB_HOME:-/var/lib/solera-lab}-disruptive" "SOLERA_LAB_NETNS=${SOLERA_LAB_NETNS:-solera-lab}-disruptive")

say() { printf '\n── %s (%d s) ──\n' "$1" $((SECONDS - began)); }

# The parts of the last layer must add up to this.
collect() { .venv/bin/pytest -q --collect-only tests/e2e > "$reports/e2e.collected" || { failed=1; exit; }; }

layer() { # name, command before...
  local name=$1; shift
  say "$name"
  "$@" lab/layer.sh "$name" "$reports" || { failed=1; echo "✗ $name failed"; }
}

# In the background, with a process group of its own: this lab, then the other with the disruptive tests. Progress is told in files.
others() {
  "${lab[@]}" up && "${lab[@]}" image "${images[@]}" || return 1
  touch "$reports/lab.up"
  "${other[@]}" "${lab[@]}" up && "${other[@]}" "${lab[@]}" image "${images[@]}" || return 1
  "${other[@]}" "${lab[@]}" exec -- lab/layer.sh e2e-disruptive "$reports"
}

end() {
  trap - EXIT INT TERM
  if [ -n "$beside" ]; then
    kill -- "-$beside" 2>/dev/null
    wait "$beside" 2>/dev/null
  fi
  [ ${#started[@]} = 0 ] || say "lab down"
  local name
  for name in "${started[@]}"; do
    case $name in
      lab) "${lab[@]}" down || failed=1 ;;
      other) "${other[@]}" "${lab[@]}" down || failed=1 ;;
    esac
  done
  say "result"
  .venv/bin/python lab/counts.py "$reports" || failed=1
  exit $failed
}

make setup || exit 1
rm -rf "$reports"; mkdir -p "$reports"
say checks
make check || exit 1
trap end EXIT
trap 'failed=1; exit' INT TERM

layer unit
[ "$failed" = 0 ] || exit

if [ -n "${KUBECONFIG:-}" ]; then
  layer sim
  [ "$failed" = 0 ] || exit
  collect
  for name in cluster e2e e2e-disruptive; do layer $name; done
  exit
fi

"${lab[@]}" status >/dev/null 2>&1 || started+=(lab)
started+=(other)
set -m
others > "$reports/beside.log" 2>&1 &
beside=$!
set +m
# Labs mostly wait. What computes steps back behind them.
layer sim nice -n 19
[ "$failed" = 0 ] || exit

say "lab"
shown=0
while :; do
  ready=no
  if [ -e "$reports/lab.up" ] || ! kill -0 "$beside" 2>/dev/null; then ready=yes; fi
  tail -n "+$((shown + 1))" "$reports/beside.log"
  shown=$(wc -l < "$reports/beside.log")
  [ $ready = no ] || break
  sleep 1
done
[ -e "$reports/lab.up" ] || { failed=1; exit; }
collect
inside=("${lab[@]}" exec --)
# The cluster layer brings operators of its own, and two would write over each other.
"${inside[@]}" helm uninstall solera -n solera-system --ignore-not-found --wait
layer cluster "${inside[@]}"
layer e2e "${inside[@]}"

say "e2e-disruptive, on a lab of its own since the end of unit"
wait "$beside" || { failed=1; echo "✗ e2e-disruptive failed"; }
beside=''
tail -n "+$((shown + 1))" "$reports/beside.log"
