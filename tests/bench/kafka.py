"""Rows into Kafka through a rule, against librdkafka in a tight loop, and against what mosquitto spends on half the way.

    tests/deps.sh install build bench servers; tests/servers/fetch.sh
    cmake --preset release && cmake --build --preset release --target sluice kafka_floor
    tests/servers/inside.sh python3 tests/bench/kafka.py [--rounds 3] [--messages 400000]

Publisher, broker and server share the machine's cores; QoS 1 in, three fields of a 280-byte JSON out, default settings.
Rounds alternate; medians are shown. CPU is that of our process alone, librdkafka's threads included, per message, against
mosquitto handing the same messages to one subscriber.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("SLUICE_BIN", str(Path(__file__).resolve().parents[2] / "build/release/sluice"))
import run as bench  # noqa: E402
from harness import broker as harness  # noqa: E402
from harness.servers import Kafka  # noqa: E402
from postgres import cpu_s, mosquitto_us  # noqa: E402

ROW = {"topic": "bench", "key": "${device}"}
LIMIT, CPU_LIMIT = 0.6, 0.25


def floor(kafka, messages):
    program = Path(os.environ.get("KAFKA_FLOOR") or Path(harness.BIN).parent / "bin/kafka_floor")
    kafka.fresh_topic("bench", 6)
    done = subprocess.run([program, f"127.0.0.1:{kafka.port}", "bench", str(messages)], capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def ours(kafka, messages, **action):
    """Rows a second from the first publish to the last row, our CPU in microseconds a row, and our memory in MB."""
    kafka.fresh_topic("bench", 6)
    with bench.sluice(connectors={"lake": {"type": "kafka", "brokers": f"127.0.0.1:{kafka.port}"}},
                      rules={"r": bench.rule(f'SELECT {bench.FIELDS} FROM "{bench.TOPIC}"',
                                             {"connector": "lake", **ROW, **action})}) as broker:
        began, before = time.monotonic(), cpu_s(broker)
        bench.bench(broker, ["sink", "-q", "1", "--window", "1000", "--warmup", "1"], messages)
        broker.wait_settled("r")
        took, cpu = time.monotonic() - began, cpu_s(broker) - before
        n = broker.action("r")
        assert n["rejected"] == 0 and sum(kafka.end_offsets("bench")) >= n["delivered"], n
        return n["delivered"] / took, cpu * 1e6 / n["delivered"], broker.rss_kb() / 1024


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--messages", type=int, default=400_000)
    options = args.parse_args()
    n, report = options.messages, bench.Report()
    runs = {name: [] for name in ("floor", "row", "headers", "mosquitto")}
    with Kafka() as kafka:
        kafka.warm_up()
        for _ in range(options.rounds):
            runs["floor"].append(floor(kafka, n))
            runs["row"].append(ours(kafka, n))
            runs["headers"].append(ours(kafka, n, headers={"rule": "r", "device": "${device}"}))
            runs["mosquitto"].append([mosquitto_us(n // 4)])

    def median(name, i):
        return statistics.median(r[i] for r in runs[name])

    print(bench.machine())
    report.head("rows a second into Kafka", "tight loop", "sluice", "ratio", "at least")
    base, mine = median("floor", 0), median("row", 0)
    report.row("row", [round(base), round(mine), mine / base], LIMIT, mine / base >= LIMIT, "rows/s")
    report.head("CPU us a message, all of the way", "mosquitto", "sluice", "ratio", "limit")
    theirs = median("mosquitto", 0)
    for name in ("row", "headers"):
        mine = median(name, 1)
        limit = CPU_LIMIT if name == "row" else None
        report.row(name, [theirs, mine, mine / theirs], limit, None if limit is None else mine / theirs <= limit, "us")
    report.head("the tight loop's CPU us a row; our memory, MB", "loop", "memory")
    report.row("client", [median("floor", 1), median("row", 2)])
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
