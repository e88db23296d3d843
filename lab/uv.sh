#!/usr/bin/env bash
# Print the path of uv; install it (pinned, into the cache, from the Python package index that pip is set up for) where there is none.
set -euo pipefail
version=0.13.9
if command -v uv >/dev/null 2>&1; then command -v uv; exit 0; fi
home="${SOLERA_CACHE:-$HOME/.cache/solera}/uv-$version"
if [ ! -x "$home/bin/uv" ]; then
  echo "• uv $version" >&2
  if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
    { apt-get update -qq && apt-get install -y -qq python3 python3-venv; } >&2
  fi
  rm -rf "$home"
  python3 -m venv "$home" >&2
  "$home/bin/pip" install --quiet --disable-pip-version-check "uv==$version" >&2
fi
echo "$home/bin/uv"
