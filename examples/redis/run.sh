#!/bin/sh
# run.sh: devices' messages into Redis, and what is there then.
#
#     REDIS_URL=redis://127.0.0.1:6379 examples/redis/run.sh
#
# Needs a Redis server and redis-cli. Keys that begin with example: are removed first. The output is compared with expected.txt.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sluice=${SLUICE_BIN:-$here/../../build/release/sluice}
export REDIS_URL="${REDIS_URL:-redis://127.0.0.1:6379}" EXAMPLE_PORT="${EXAMPLE_PORT:-28841}"
case $sluice in /*) ;; *) sluice=$PWD/$sluice ;; esac
folder=$(mktemp -d)
cd "$folder"
cli() { redis-cli --no-auth-warning -u "$REDIS_URL" "$@"; }
cli DEL example:room:kitchen example:room:attic example:readings example:hot example:alarms >/dev/null

"$sluice" check -c "$here/sluice.yaml"
"$sluice" run -c "$here/sluice.yaml" 2>sluice.log &
broker=$!
trap 'kill $broker 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 600); do
	"$sluice" pub -p "$EXAMPLE_PORT" -t started -m x 2>/dev/null && break
	sleep 0.1
done

pub() { "$sluice" pub -p "$EXAMPLE_PORT" -q 1 -i "$1" -t "room/$1/telemetry" -m "$2"; }
pub kitchen '{"t": 21.5, "at": "2026-01-31T12:00:00Z"}'
pub attic '{"t": 31.25, "at": "2026-01-31T12:00:00Z"}'
pub attic '{"t": 30, "at": "2026-01-31T12:00:01Z"}'

kill $broker # a stop delivers what is queued
wait $broker || { cat sluice.log >&2; exit 1; }
{
	for room in kitchen attic; do
		echo "$room: $(cli HMGET example:room:$room t at | paste -sd" ")"
	done
	echo "readings: $(cli XLEN example:readings), the last:" $(cli XREVRANGE example:readings + - COUNT 1 | tail -n +2)
	echo "hot: $(cli ZRANGE example:hot 0 -1 WITHSCORES | paste -sd" ")"
	echo "alarms: $(cli GET example:alarms)"
} >output.txt
cat output.txt
diff "$here/expected.txt" output.txt && echo "as expected"
