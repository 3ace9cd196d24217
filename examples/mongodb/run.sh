#!/bin/sh
# run.sh: devices' messages into MongoDB, and what the collections hold then.
#
#     MONGODB_URL=mongodb://user:password@127.0.0.1:27017/ examples/mongodb/run.sh     yours: a database is made and emptied
#     tests/servers/servers.sh ferretdb -- examples/mongodb/run.sh                     one for the occasion
#
# Needs python3, which reads the collections (show.py). The output is compared with expected.txt.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sluice=${SLUICE_BIN:-$here/../../build/release/sluice}
export MONGODB_URL="${MONGODB_URL:-mongodb://127.0.0.1:27017/}" EXAMPLE_PORT="${EXAMPLE_PORT:-28834}"
case $sluice in /*) ;; *) sluice=$PWD/$sluice ;; esac
folder=$(mktemp -d)
cd "$folder"
python3 "$here/show.py" empty readings rooms

"$sluice" check -c "$here/sluice.yaml"
"$sluice" run -c "$here/sluice.yaml" 2>sluice.log &
broker=$!
trap 'kill $broker 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 600); do
	"$sluice" pub -p "$EXAMPLE_PORT" -t started -m x 2>/dev/null && break
	sleep 0.1
done

pub() { "$sluice" pub -p "$EXAMPLE_PORT" -q 1 -i "room-$1" -t "room/$1/telemetry" -m "$2"; }
pub kitchen '{"t": 21.5, "at": "2026-01-31T12:00:00Z"}'
pub attic '{"t": 31, "at": "2026-01-31T12:00:00.250Z", "extra": {"window": "open", "co2": [417, 420]}}'
pub attic '{"t": 32.5, "at": 1769860801000}'
pub attic '{"t": 28, "at": "2026-01-31T12:00:02+00:00"}'

kill $broker # a stop delivers what is queued
wait $broker || { cat sluice.log >&2; exit 1; }
python3 "$here/show.py" readings:at rooms:_id >output.txt
cat output.txt
diff "$here/expected.txt" output.txt && echo "as expected"
