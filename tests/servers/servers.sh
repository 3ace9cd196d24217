#!/bin/bash
# servers.sh: starts real servers for a command, or by hand.
#
#     tests/servers/servers.sh postgres redis -- COMMAND...    in a namespace of their own, for as long as COMMAND runs
#     tests/servers/servers.sh kafka                           on this machine's 127.0.0.1, until Ctrl-C
#     tests/servers/servers.sh --list                          the names
#
# COMMAND finds the addresses in its environment: POSTGRES_URL, PGBOUNCER_URL, REDIS_URL, REDIS_CLUSTER, REDIS_SENTINELS,
# KAFKA_BROKERS, MONGODB_URL (FerretDB), MONGO_JAVA_URL, and SLUICE_TEST_CA, the certificate authority of their TLS ports.
# Missing packages are installed, missing downloads fetched. Data is in temporary folders and goes away with the servers.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
names="postgres pgbouncer redis cluster sentinel kafka ferretdb mongo-java"

wanted=()
for word in "$@"; do
	[ "$word" != -- ] || break
	[ "$word" != --list ] || { tr ' ' '\n' <<<"$names"; exit 0; }
	case " $names " in *" $word "*) wanted+=("$word") ;; *)
		echo "servers.sh: there is no server \"$word\"; there are: $names" >&2; exit 2 ;;
	esac
done
[ ${#wanted[@]} -gt 0 ] || { echo "usage: servers.sh NAME... [-- COMMAND...]; names: $names" >&2; exit 2; }

if [ -z "${SLUICE_INSIDE:-}" ]; then
	"$here/../deps.sh" install servers
	for name in "${wanted[@]}"; do
		case $name in kafka | ferretdb | mongo-java) "$here/fetch.sh" "$name" ;; esac
	done
fi

export PYTHONPATH="$here/.." PYTHONDONTWRITEBYTECODE=1
case " $* " in
*" -- "*) exec "$here/inside.sh" python3 -m harness.servers "$@" ;;
*) exec python3 -m harness.servers "$@" ;;
esac
