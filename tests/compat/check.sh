#!/usr/bin/env bash
# The clients that Arize publishes, unchanged, over TCP against `evaltasks engine`.
#
#   tests/compat/check.sh [PYTHON] [--write]
#
# PYTHON is the project's, with evaltasks[test] installed. The clients go into a folder of their own. With --write the
# results are written to docs/compatibility.md instead of compared with it.
#
# Exit codes: 0 every row did what its table says and the page is current; 1 something failed; 3 it could not be run
# here (no npm, no node, no package registry) and nothing was judged. CI treats 3 as a failure by default.
set -uo pipefail

python=${1:-${PYTHON:-python}}
root=$(cd "$(dirname "$0")/../.." && pwd)
clients=${EVALTASKS_COMPAT_CACHE:-${TMPDIR:-/tmp}/evaltasks-compat}
python_packages=(arize==8.61.0 arize-ax-cli==0.39.0)
node_package=@arizeai/ax-client@1.28.0
# A folder is whole when this file names these very versions.
stamp="$clients/installed"
wanted="${python_packages[*]} $node_package"

cannot() {
  echo "COMPAT COULD NOT RUN: $1" >&2
  echo "Nothing was judged. This is not a pass." >&2
  exit 3
}

command -v node > /dev/null || cannot "node is not installed"
[[ $(node -p 'process.versions.node.split(".")[0]') -ge 18 ]] || cannot "node is older than 18"
if [[ $(cat "$stamp" 2> /dev/null) != "$wanted" ]]; then
  command -v npm > /dev/null || cannot "npm is not installed"
  mkdir -p "$clients"
  echo "installing the clients into $clients"
  "$python" -m venv --clear "$clients/venv" > "$clients/pip.log" 2>&1 \
    && "$clients/venv/bin/pip" install --quiet --disable-pip-version-check "${python_packages[@]}" \
      >> "$clients/pip.log" 2>&1 || cannot "pip could not install the clients; see $clients/pip.log"
  (cd "$clients" && npm install --no-audit --no-fund --silent "$node_package") > "$clients/npm.log" 2>&1 \
    || cannot "npm could not install the client; see $clients/npm.log"
  echo "$wanted" > "$stamp"
fi

cd "$root" || exit 1
shift $(($# > 0 ? 1 : 0))
exec "$python" -m tests.compat --clients "$clients" "$@"
