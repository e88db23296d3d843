#!/usr/bin/env bash
# `make demo`: the lab, the images, one life. What was not running before does not run afterwards.
set -uo pipefail
cd "$(dirname "$0")/.."
lab=(.venv/bin/python -m lab)
was_up=no
"${lab[@]}" status >/dev/null 2>&1 && was_up=yes
"${lab[@]}" up && "${lab[@]}" image simengine llama operator || exit 1
"${lab[@]}" exec -- .venv/bin/python -m lab.demo
result=$?
"${lab[@]}" exec -- helm uninstall solera -n solera-system --ignore-not-found --wait >/dev/null
[ "$was_up" = yes ] || "${lab[@]}" down || result=1
exit $result
