"""Rows into databases through a rule, against their client libraries in a tight loop, and against what mosquitto spends on
half of the way. By hand, not in CI:

    tests/deps.sh install build bench servers && tests/servers/fetch.sh
    cmake --preset release && cmake --build --preset release --target sluice floors
    tests/servers/inside.sh python3 tests/bench/sinks.py                  everything with a limit, about ten minutes
    tests/servers/inside.sh python3 tests/bench/sinks.py redis --rounds 5 targets whose name begins so
    tests/servers/inside.sh python3 tests/bench/sinks.py --list           what can be named, also those without a limit

QoS 1 in, three fields of a 280-byte JSON out, default settings; publisher, broker and server share this machine's cores.
A tight loop (floors/) sends the same rows to the same server with the same durability and counts what was confirmed; both
times the far side is counted too. CPU is that of our process with all its threads, from the first publish until the last
row is settled, for a message; mosquitto's is that of taking the same number of messages of the same size from the same
publishers, and handing them to one subscriber. Memory is our peak above that of the idle broker, against the sum that the
settings make (connectors/README.md). Rounds alternate; medians are shown. MongoDB is FerretDB here (tests/servers/): rows a second
say little of MongoDB itself, the ratio does.
"""
import argparse
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import run as bench
from harness import broker as harness
from harness.memory import limit_mb
from harness.servers import FerretDB, Kafka, Postgres, Redis, shared

# Publishers with a thousand messages on their way write a hundred at a time, as a gateway does; with fewer, most of the CPU that
# everybody shares goes into their own small writes.
LOAD = ["-q", "1", "--window", "1000", "--warmup", "1"]
TO_SINK = ["sink", *LOAD, "--per-write", "100"]
# As many publishers and bytes as `sink` has, in writes at which mosquitto spends least. With more deliveries under way it leaves some
# lying in its queue.
TO_MOSQUITTO = ["fanin", *LOAD, "--pubs", "50", "--payload", "280", "--outstanding", "32"]
PACED_RATES = [2000, 10000]  # messages a second
PACED_SECONDS = 4
PACED_LIMIT = 1.0  # of mosquitto's CPU
RATIO = 0.6  # of the tight loop
PUBLISHERS = 50
COLUMNS = {"device": "${device}", "t": "${t}", "at": "${ts}"}
SQLITE_COLUMNS = {"device": "${device}", "t": "${t}", "ts": "${ts}"}
STREAM = {"key": "readings:${device}", "maxlen": 10000, "fields": SQLITE_COLUMNS}
HASH = ["HSET", "room:${device}", "device", "${device}", "t", "${t}", "ts", "${ts}"]


class PlainRedis(Redis):
    """As Debian starts it: without an append-only file."""

    def command(self):
        words = super().command()
        words[words.index("--appendonly") + 1] = "no"
        return words


# ---- Targets: what a server is told, and asked ----------------------------------------------------------------------


class Target:
    """One line of the report. `floor` are the arguments of <kind>_floor around the number of rows; None: no tight loop."""
    kind, server_class, pool = "", None, 1

    def __init__(self, name, action, rows, cpu_limit=None, ratio=RATIO, listed_only=False):
        self.name, self.action, self.rows, self.cpu_limit, self.ratio = name, action, rows, cpu_limit, ratio
        self.listed_only = listed_only

    @property
    def server(self):
        return shared(self.server_class)

    def budget_mb(self):
        return round(limit_mb(self.kind, PUBLISHERS, pool=self.pool))

    def floor(self, rows):
        self.fresh()
        program = Path(harness.BIN).parent / "bin" / f"{self.kind}_floor"
        done = subprocess.run([program, *map(str, self.floor_args(rows))], capture_output=True, text=True, check=True)
        stored = self.stored(floor=True)
        assert stored == rows, f"{self.name}: {rows} rows in a tight loop, {stored} there"
        return [float(part) for part in done.stdout.split()]


class ToKafka(Target):
    kind, server_class = "kafka", Kafka

    def connector(self):
        return {"type": "kafka", "brokers": f"127.0.0.1:{self.server.port}"}

    def fresh(self):
        self.server.fresh_topic("bench", 6)

    def stored(self, floor=False):  # pylint: disable=unused-argument
        return sum(self.server.end_offsets("bench"))

    def floor_args(self, rows):
        return [f"127.0.0.1:{self.server.port}", "bench", rows, *(["headers"] if "headers" in self.action else [])]


class ToPostgres(Target):
    kind, server_class, pool = "postgres", Postgres, 4

    def connector(self):
        return {"type": "postgres", "url": self.server.url()}

    def fresh(self):
        self.server.execute("DROP TABLE IF EXISTS floor; DROP TABLE IF EXISTS readings;"
                            "CREATE TABLE readings (device text, t float8, at timestamptz)")

    def stored(self, floor=False):
        return int(self.server.value(f"SELECT count(*) FROM {'floor' if floor else 'readings'}"))

    def floor_args(self, rows):
        return [self.server.url(), rows, "copy" if "table" in self.action else "pipeline"]


class ToRedis(Target):
    kind, server_class = "redis", PlainRedis

    def connector(self):
        return {"type": "redis", "url": self.server.url()}

    def fresh(self):
        self.server.execute("FLUSHALL")

    def stored(self, floor=False):
        """Entries ever added, those that MAXLEN has dropped too; None for keys that rows change again and again."""
        if not floor and "stream" not in self.action:
            return None
        total = 0
        with self.server.client() as client:
            for key in client.command("KEYS", "readings:*"):
                told = client.command("XINFO", "STREAM", key)
                total += told[told.index(b"entries-added") + 1]
        return total

    def floor_args(self, rows):
        return [self.server.port, *self.server.login, rows]


class ToMongo(Target):
    kind, server_class, pool = "mongodb", FerretDB, 2

    def connector(self):
        return {"type": "mongodb", "url": self.server.url(), "database": "bench"}

    def fresh(self):
        with self.server.client() as c:
            c.drop("bench", "readings")

    def stored(self, floor=False):  # pylint: disable=unused-argument
        with self.server.client() as c:
            return c.count("bench", "readings")

    def floor_args(self, rows):
        return [self.server.url(), "readings", rows]


class ToSqlite(Target):
    kind = "sqlite"

    def connector(self):
        return {"type": "sqlite", "path": str(self.path)}

    def fresh(self):
        self.path = harness.temp_folder() / "far.db"

    def stored(self, floor=False):  # pylint: disable=unused-argument
        with sqlite3.connect(self.path) as db:
            return db.execute("SELECT count(*) FROM readings").fetchone()[0]

    def floor_args(self, rows):
        return [self.path, rows]


INSERT = "INSERT INTO readings(device, t, at) VALUES (${device}, ${t}, %s)"
KEYED = {"topic": "bench", "key": "${device}"}
TARGETS = [
    ToKafka("kafka", KEYED, 1_000_000, cpu_limit=0.25),
    ToPostgres("postgres table", {"table": "readings", "columns": COLUMNS}, 400_000, cpu_limit=0.2),
    ToPostgres("postgres sql", {"sql": INSERT % "${ts}"}, 150_000, cpu_limit=0.2),
    ToRedis("redis", {"stream": STREAM}, 300_000, cpu_limit=0.2),
    ToMongo("mongodb", {"collection": "readings"}, 60_000, cpu_limit=0.5),
    # The ratio is that of run.py: a loop of SQLite has nobody to wait for.
    ToSqlite("sqlite", {"table": "readings", "columns": SQLITE_COLUMNS}, 400_000, cpu_limit=0.2, ratio=0.15),
    ToKafka("kafka headers", {**KEYED, "headers": {"rule": "r", "device": "${device}"}}, 1_000_000, listed_only=True),
    ToPostgres("postgres sql, an expression", {"sql": INSERT % "to_timestamp(${ts} / 1000.0)"}, 150_000, listed_only=True),
    ToRedis("redis hash", {"command": HASH}, 300_000, listed_only=True),
]


# ---- Runs -----------------------------------------------------------------------------------------------------------

def cpu_s(broker):
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(broker, which):
    return int(re.search(rf"{which}:\s+(\d+)", Path(f"/proc/{broker.process.pid}/status").read_text())[1]) / 1024


def ours(target, rows, *load):
    """Rows a second from the first publish to the last row, our CPU in microseconds a row, the peak of our memory in MB."""
    target.fresh()
    with bench.sluice(connectors={"far": target.connector()},
                      rules={"r": bench.rule(f'SELECT {bench.FIELDS} FROM "{bench.TOPIC}"', {"connector": "far", **target.action})},
                      ) as broker:
        harness.wait_until(lambda: all(c["state"] == "up" for c in broker.status()["connectors"]), 30,
                           f"{target.name}: not connected")
        idle = memory_mb(broker, "VmRSS")
        began, before = time.monotonic(), cpu_s(broker)
        bench.bench(broker, [*TO_SINK, *load], rows)
        n = broker.wait_settled("r", timeout=120)
        took, cpu, peak = time.monotonic() - began, cpu_s(broker) - before, memory_mb(broker, "VmHWM")
        stored = target.stored()
        assert n["delivered"] == rows + 1 and stored in (None, rows + 1), \
            f"{target.name}: {rows + 1} messages, {n['delivered']} delivered, {stored} there: {n}"
        return n["delivered"] / took, cpu * 1e6 / n["delivered"], peak - idle


def mosquitto_us(messages, *load):
    with bench.Mosquitto() as broker:
        before = cpu_s(broker)
        result = bench.bench(broker, [*TO_MOSQUITTO, *load], messages)
        assert not result["lost"], f"mosquitto lost {result['lost']} of {messages}"
        return (cpu_s(broker) - before) * 1e6 / messages


def measure(targets, options):
    """Per name a list of runs; each of ours is (rows a second, CPU us, peak MB), each floor (rows a second, CPU us)."""
    runs, floors, theirs = {t.name: [] for t in targets}, {t.name: [] for t in targets}, []
    for i in range(options.rounds):
        print(f"round {i + 1} of {options.rounds}", file=sys.stderr, flush=True)
        for t in targets:
            rows = int(t.rows * options.scale)
            floors[t.name].append(t.floor(rows))
            runs[t.name].append(ours(t, rows))
        theirs.append(mosquitto_us(int(60_000 * options.scale)))
    return runs, floors, statistics.median(theirs)


def median(runs, i):
    return statistics.median(run[i] for run in runs)


def show(report, targets, runs, floors, theirs):
    report.head("rows a second", "tight loop", "sluice", "ratio", "at least")
    for t in targets:
        a, b = median(floors[t.name], 0), median(runs[t.name], 0)
        limit = None if t.listed_only else t.ratio
        report.row(t.name, [round(a), round(b), b / a], limit, limit and b / a >= limit, "rows/s")
    report.head("CPU us a message, all of the way", "mosquitto", "sluice", "ratio", "limit")
    for t in targets:
        b = median(runs[t.name], 1)
        report.row(t.name, [theirs, b, b / theirs], t.cpu_limit, t.cpu_limit and b / theirs <= t.cpu_limit, "us",
                   f"(the tight loop {median(floors[t.name], 1):.2f})")
    report.head("memory above that of an idle broker", "peak MB", "limit")
    for t in targets:
        peak = max(run[2] for run in runs[t.name])
        report.row(t.name, [peak], t.budget_mb(), peak <= t.budget_mb(), "MB")


def show_paced(report, targets, rounds):
    """A steady load: every message comes by itself, so wake-ups are what it costs."""
    for rate in PACED_RATES:
        paced, messages = ["--rate", str(rate)], rate * PACED_SECONDS
        theirs, runs = [], {t.name: [] for t in targets}
        for _ in range(rounds):
            theirs.append(mosquitto_us(messages, *paced))
            for t in targets:
                runs[t.name].append(ours(t, messages, *paced))
        a = statistics.median(theirs)
        report.head(f"CPU us a message at {rate} a second", "mosquitto", "sluice", "ratio", "limit")
        for t in targets:
            b = median(runs[t.name], 1)
            limit = None if t.listed_only else PACED_LIMIT
            report.row(t.name, [a, b, b / a], limit, limit and b / a <= limit, "us")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("targets", nargs="*", help="beginnings of names")
    args.add_argument("--list", action="store_true", help="only say what can be named")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--scale", type=float, default=1.0, help="times the number of messages")
    args.add_argument("--no-paced", action="store_true", help="leave out the runs at a steady rate")
    args.add_argument("--json", metavar="FILE", help="results for comparing")
    options = args.parse_args()
    if options.list:
        print("\n".join(t.name for t in TARGETS))
        return
    targets = [t for t in TARGETS
               if (any(t.name.startswith(o) for o in options.targets) if options.targets else not t.listed_only)]
    if not targets:
        sys.exit(f"no target is called so: {' '.join(options.targets)} (--list names them)")
    report = bench.Report()
    print(bench.machine())
    if any(t.kind == "kafka" for t in targets):
        shared(Kafka).warm_up()
    show(report, targets, *measure(targets, options))
    if not options.no_paced:
        show_paced(report, targets, options.rounds)
    if options.json:
        result = {"machine": bench.machine(), "rounds": options.rounds, "scale": options.scale, "rows": report.rows}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\n{sum(r['pass'] is True for r in report.rows)} within their limits, {report.failed} not")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
