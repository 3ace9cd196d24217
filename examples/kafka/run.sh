#!/bin/sh
# run.sh: devices' messages into Kafka, what the topics hold then, and commands from Kafka to a device.
#
#     KAFKA_BROKERS=127.0.0.1:9092 examples/kafka/run.sh
#
# Needs a broker with three topics, and kcat:
#     kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic example.hot --config retention.ms=-1
#     kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic example.state --config cleanup.policy=compact
#     kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --create --topic example.commands
# The rows of example.hot carry the devices' time, which is long ago here: a topic that keeps a week would drop them.
# The output is compared with expected.txt.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sluice=${SLUICE_BIN:-$here/../../build/release/sluice}
export KAFKA_BROKERS="${KAFKA_BROKERS:-127.0.0.1:9092}" EXAMPLE_PORT="${EXAMPLE_PORT:-28831}"
case $sluice in /*) ;; *) sluice=$PWD/$sluice ;; esac
folder=$(mktemp -d)
cd "$folder"

"$sluice" check -c "$here/sluice.yaml"
"$sluice" run -c "$here/sluice.yaml" 2>sluice.log &
broker=$!
trap 'kill $broker 2>/dev/null || true; rm -rf "$folder"' EXIT
for _ in $(seq 600); do
	"$sluice" pub -p "$EXAMPLE_PORT" -t started -m x 2>/dev/null && break
	sleep 0.1
done

pub() { "$sluice" pub -p "$EXAMPLE_PORT" -q 1 -t "$1" -m "$2"; }
pub room/kitchen/telemetry '{"t": 21.5, "at": "2026-01-31T12:00:00Z"}'
pub room/attic/telemetry '{"t": 31.25, "at": "2026-01-31T12:00:00.250Z"}'
pub room/attic/telemetry '{"t": 32, "at": "2026-01-31T12:00:01Z"}'
pub room/attic/state '{"state": "hot"}'
pub room/cellar/state '{"state": null}'

# The way back: a device waits for its commands.
"$sluice" sub -p "$EXAMPLE_PORT" -t 'room/+/command' -q 1 -v -c 2 -W 120 --ready >commands.txt 2>ready.txt &
device=$!
for _ in $(seq 600); do
	grep -q subscribed ready.txt && break
	sleep 0.1
done
printf '%s\n' 'attic:{"fan": "on"}' 'attic:{"lamp": "off"}' 'kitchen:{"fan": "off"}' |
	kcat -b "$KAFKA_BROKERS" -P -t example.commands -K :
wait $device

kill $broker # a stop delivers what is queued
wait $broker || { cat sluice.log >&2; exit 1; }
read_topic() { kcat -b "$KAFKA_BROKERS" -C -e -q -Z -t "$1" -f "$1 key=%k value=%s timestamp=$2 headers=%h\n"; }
{
	read_topic example.hot %T
	read_topic example.state -
	cat commands.txt
} | sort >output.txt
cat output.txt
diff "$here/expected.txt" output.txt && echo "as expected"
