#!/bin/sh
# run.sh: devices' messages into PostgreSQL, rows of a table to devices, and what there is then.
#
#     examples/postgres/run.sh                                                 a server of its own, which ends with it
#     POSTGRES_URL=postgresql://me@127.0.0.1:5432/test examples/postgres/run.sh    yours: a schema is made and dropped
#
# Needs psql, and for a server of its own the package postgresql. The output is compared with expected.txt.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sluice=${SLUICE_BIN:-$here/../../build/release/sluice}
export EXAMPLE_PORT="${EXAMPLE_PORT:-28832}"
case $sluice in /*) ;; *) sluice=$PWD/$sluice ;; esac
folder=$(mktemp -d)
chmod 755 "$folder"
cd "$folder"
broker= server= room=
leave() {
	[ -z "$room" ] || kill "$room" 2>/dev/null || true
	[ -z "$broker" ] || kill "$broker" 2>/dev/null || true
	[ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
	wait
	rm -rf "$folder"
}
trap leave EXIT

# A private server: no TCP, only a socket in our folder. PostgreSQL does not run as root.
if [ -z "${POSTGRES_URL:-}" ]; then
	bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
	as= user=$(id -un)
	if [ "$(id -u)" = 0 ]; then as="setpriv --reuid=postgres --regid=postgres --init-groups" user=postgres; fi
	mkdir server
	[ -z "$as" ] || chown postgres server
	$as "$bin/initdb" -D server/data -U "$user" -A trust --no-sync -E UTF8 --no-locale >initdb.log
	$as "$bin/postgres" -D server/data -k "$folder/server" -c listen_addresses= -c fsync=off >server.log 2>&1 &
	server=$!
	for _ in $(seq 600); do
		"$bin/pg_isready" -q -h "$folder/server" && break
		sleep 0.1
	done
	POSTGRES_URL="postgresql://$user@/postgres?host=$folder/server"
fi
export POSTGRES_URL PGOPTIONS="-c search_path=sluice_example -c client_min_messages=warning -c timezone=UTC"
sql() { psql -X -q -v ON_ERROR_STOP=1 "$POSTGRES_URL" -c "$1"; }
sql "DROP SCHEMA IF EXISTS sluice_example CASCADE; CREATE SCHEMA sluice_example;
	CREATE TABLE readings (msg_id uuid PRIMARY KEY, room text NOT NULL, t numeric(6,2), at timestamptz, tags text[], extra jsonb);
	CREATE TABLE latest (room text PRIMARY KEY, t float8, at timestamptz);
	CREATE TABLE counts (room text PRIMARY KEY, n int NOT NULL);
	CREATE TABLE outbox (id bigserial PRIMARY KEY, room text, setpoint float8);
	INSERT INTO counts VALUES ('attic', 0), ('kitchen', 0)"

"$sluice" check -c "$here/sluice.yaml"
"$sluice" run -c "$here/sluice.yaml" 2>sluice.log &
broker=$!
for _ in $(seq 600); do
	"$sluice" pub -p "$EXAMPLE_PORT" -t started -m x 2>/dev/null && break
	sleep 0.1
done
pub() { "$sluice" pub -p "$EXAMPLE_PORT" -q 1 -i "room-$1" -t "room/$1/telemetry" -m "$2"; }
pub kitchen '{"t": 21.5, "at": "2026-01-31T12:00:00Z"}'
pub attic '{"t": "31.25", "at": "2026-01-31T12:00:00.250Z", "tags": ["roof", "south"], "extra": {"window": "open", "co2": 417}}'
pub attic '{"t": 32, "at": 1769860801000}'

"$sluice" sub -p "$EXAMPLE_PORT" -t 'room/+/set' -q 1 -v -c 2 -W 120 --ready >rooms.txt 2>ready.txt &
room=$!
for _ in $(seq 600); do
	grep -q subscribed ready.txt && break
	sleep 0.1
done
sql "INSERT INTO outbox(room, setpoint) VALUES ('kitchen', 20.5), ('attic', 18); NOTIFY outbox"
wait $room || { cat sluice.log >&2; exit 1; }
room=
for _ in $(seq 600); do # what is through is deleted
	[ "$(psql -X -At "$POSTGRES_URL" -c 'SELECT count(*) FROM outbox')" != 0 ] || break
	sleep 0.1
done

kill $broker # a stop delivers what is queued
wait $broker || { cat sluice.log >&2; exit 1; }
broker=
{
	psql -X -q --csv "$POSTGRES_URL" -c "TABLE latest ORDER BY room"
	psql -X -q --csv "$POSTGRES_URL" -c "SELECT room, t, at, tags, extra FROM readings ORDER BY at"
	psql -X -q --csv "$POSTGRES_URL" -c "TABLE counts ORDER BY room"
	cat rooms.txt
	psql -X -q --csv "$POSTGRES_URL" -c "SELECT count(*) AS rows_left_in_outbox FROM outbox"
} >output.txt
sql "DROP SCHEMA sluice_example CASCADE"
cat output.txt
diff "$here/expected.txt" output.txt && echo "as expected"
