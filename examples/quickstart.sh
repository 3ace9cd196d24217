#!/bin/bash
# quickstart.sh: from a fresh checkout to telemetry in a database, in one command.
#
# Installs what the build needs (Debian 12; root or sudo), builds the program, starts it with conf/sluice.yaml, plays
# a small factory for about ten seconds, and shows what the rules made of it. Ends by itself; exit code 0 means that
# every counter adds up and every row is where it should be. Can be run again at any time.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8
began=$SECONDS

echo "1/3  packages"
tests/deps.sh install build quickstart

echo "2/3  build (a minute or two the first time)"
mkdir -p build
log=build/quickstart.log
{ cmake --preset release && cmake --build --preset release --target sluice; } >"$log" 2>&1 &
builder=$!
trap 'kill $builder 2>/dev/null || true' EXIT
while kill -0 $builder 2>/dev/null; do
	sleep 1
	[ $(((SECONDS - began) % 10)) != 0 ] || echo "     $(tail -n 1 "$log" | cut -c 1-100)"
done
if ! wait $builder; then
	tail -n 30 "$log"
	echo "quickstart: the build failed; all of it is in $log" >&2
	exit 3
fi
trap - EXIT

echo "3/3  a factory for ten seconds"
python3 examples/factory/tour.py
echo "done in $((SECONDS - began)) s"
