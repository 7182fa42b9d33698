#!/usr/bin/env bash
# The engine against its own OpenAPI document: no answer that the document does not describe, no problem of the engine's,
# whatever is sent. In process, and over TCP against the real command.
#
#   tests/fuzz/check.sh [PYTHON] [SECONDS]
#
# PYTHON has evaltasks[test,fuzz] installed. SECONDS (20) is the time for schemathesis over TCP, and how much else is
# tried goes with it: 20 is for every change (a minute in all), 600 for before a release.
set -uo pipefail

python=${1:-${PYTHON:-python}}
seconds=${2:-20}
root=$(cd "$(dirname "$0")/../.." && pwd)
python=$(command -v "$python") || exit 1
python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
cd "$root" || exit 1

work=$(mktemp -d)
engine=
cleanup() {
  [[ -n $engine ]] && kill "$engine" 2> /dev/null && wait "$engine" 2> /dev/null
  rm -rf "$work"
}
trap cleanup EXIT
failed=()

echo "== in process"
FUZZ_SPOILT=$((seconds * 4)) FUZZ_EXAMPLES=$((seconds * 3)) FUZZ_CASES=$((seconds / 4)) "$python" -m pytest -q --timeout 1800 \
  tests/fuzz tests/engine/test_requests.py tests/engine/test_otlp.py tests/properties/test_hostile_requests.py \
  || failed+=("in process")

echo "== over TCP, ${seconds} s"
"$python" -m evaltasks engine --port 0 --store "$work/store.sqlite" > "$work/address" 2> "$work/engine.log" &
engine=$!
for _ in $(seq 1 100); do
  [[ -s $work/address ]] && break
  sleep 0.1
done
address=$(head -1 "$work/address")
[[ -n $address ]] || { cat "$work/engine.log"; exit 1; }
# Inside the folder that is thrown away, because it keeps what it found there.
(cd "$work" && "$(dirname "$python")/schemathesis" --config-file "$root/tests/fuzz/schemathesis.toml" \
  run "$address/openapi.json" --max-time "$seconds") > "$work/schemathesis.log" 2>&1 || failed+=("over TCP")
sed -n '/= SUMMARY =/,$p' "$work/schemathesis.log"
grep -q 'Selected: [1-9]' "$work/schemathesis.log" || failed+=("over TCP: no summary")
if ((${#failed[@]})); then
  sed -n '/= FAILURES =/,/= SUMMARY =/p; /= ERRORS =/,/= SUMMARY =/p' "$work/schemathesis.log" | head -200
fi
if grep -q 'crash' "$work/engine.log"; then
  failed+=("the engine logged a crash")
  head -60 "$work/engine.log"
fi

if ((${#failed[@]})); then
  printf 'FAILED: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "fuzz: every answer was one that the document describes"
