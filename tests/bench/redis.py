"""Rows into Redis through a rule, against hiredis in a tight loop, and against what mosquitto spends on half the way.

    tests/deps.sh install build bench servers
    cmake --preset release && cmake --build --preset release --target sluice redis_floor
    tests/servers/inside.sh python3 tests/bench/redis.py [--rounds 3] [--messages 400000]

Publisher, broker and server share the machine's cores; QoS 1 in, three fields of a 280-byte JSON out, default settings, Redis
without an append-only file, as Debian starts it. Rounds alternate; medians are shown. CPU is that of our process alone, per
message, against mosquitto handing the same messages to one subscriber.
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
from harness.servers import Redis  # noqa: E402

STREAM = {"stream": {"key": "readings:${device}", "maxlen": 10000, "fields": {"device": "${device}", "t": "${t}", "ts": "${ts}"}}}
HASH = {"command": ["HSET", "room:${device}", "device", "${device}", "t", "${t}", "ts", "${ts}"]}
LIMIT, CPU_LIMIT = 0.6, 0.2


class Plain(Redis):
    def command(self):
        words = super().command()
        words[words.index("--appendonly") + 1] = "no"
        return words


def floor(server, messages):
    program = Path(os.environ.get("REDIS_FLOOR") or Path(harness.BIN).parent / "bin/redis_floor")
    server.execute("FLUSHALL")
    done = subprocess.run([program, str(server.port), *server.login, str(messages)], capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def cpu_s(broker, threads=None):
    """CPU seconds of the process, or of its threads of this name."""
    task = Path(f"/proc/{broker.process.pid}/task")
    files = [t / "stat" for t in task.iterdir() if (t / "comm").read_text().strip() == threads] if threads else [task.parent / "stat"]
    total = 0
    for file in files:
        fields = file.read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def ours(server, action, messages):
    """Rows a second from the first publish to the last row; CPU microseconds a row: all of ours, and the connector loop's."""
    server.execute("FLUSHALL")
    with bench.sluice(connectors={"cache": {"type": "redis", "url": server.url()}},
                      rules={"r": bench.rule(f'SELECT {bench.FIELDS} FROM "{bench.TOPIC}"', {"connector": "cache", **action})}) as broker:
        began, before, loop = time.monotonic(), cpu_s(broker), cpu_s(broker, "connectors")
        bench.bench(broker, ["sink", "-q", "1", "--window", "1000", "--warmup", "1"], messages)
        broker.wait_settled("r")
        took, cpu, loop = time.monotonic() - began, cpu_s(broker) - before, cpu_s(broker, "connectors") - loop
        n = broker.action("r")
        assert n["rejected"] == 0, n
        return n["delivered"] / took, cpu * 1e6 / n["delivered"], loop * 1e6 / n["delivered"]


def mosquitto_us(messages):
    """CPU microseconds per message that mosquitto spends on taking it and handing it to one subscriber, QoS 1."""
    with bench.Mosquitto() as broker:
        result = bench.bench(broker, ["fanin", "-q", "1"], messages)
        return 2 * result[bench.CPU]  # in and out are counted as two there


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--messages", type=int, default=400_000)
    options = args.parse_args()
    n, report = options.messages, bench.Report()
    runs = {name: [] for name in ("floor", "stream", "hash", "mosquitto")}
    with Plain() as server:
        for _ in range(options.rounds):
            runs["floor"].append(floor(server, n))
            runs["stream"].append(ours(server, STREAM, n))
            runs["hash"].append(ours(server, HASH, n))
            runs["mosquitto"].append([mosquitto_us(n // 4)])

    def median(name, i):
        return statistics.median(r[i] for r in runs[name])

    print(bench.machine())
    report.head("rows a second into Redis", "tight loop", "sluice", "ratio", "at least")
    a, b = median("floor", 0), median("stream", 0)
    report.row("XADD", [round(a), round(b), b / a], LIMIT, b / a >= LIMIT, "rows/s")
    report.row("HSET", [0, round(median("hash", 0)), 0], None, None, "rows/s")
    report.head("CPU us a message, all of the way", "mosquitto", "sluice", "ratio", "limit")
    theirs = median("mosquitto", 0)
    for name in ("stream", "hash"):
        mine = median(name, 1)
        report.row(name, [theirs, mine, mine / theirs], CPU_LIMIT, mine / theirs <= CPU_LIMIT, "us")
    report.head("CPU us a row: the tight loop, our connector thread", "hiredis", "sluice")
    report.row("XADD", [median("floor", 1), median("stream", 2)])
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
