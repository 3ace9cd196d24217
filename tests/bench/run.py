"""Sluice against Debian's mosquitto, side by side on this machine. By hand, not in CI:

    tests/deps.sh install build bench
    cmake --preset release && cmake --build --preset release && cmake --build --preset release --target floors
    python3 tests/bench/run.py                       everything, about five minutes
    python3 tests/bench/run.py fanin rules           groups whose name begins so
    python3 tests/bench/run.py --rounds 5 --scale 2 --json results.json

Both brokers run on free ports with their defaults (mosquitto: persistence off, anonymous). Rounds alternate between
them; the figure shown is the median. CPU-s/M is CPU seconds of the broker per million messages, each counted once
when it comes in and once for each delivery. A difference under a fifth on three rounds says nothing; run more.
"""
import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("SLUICE_BIN", str(Path(__file__).resolve().parents[2] / "build/release/sluice"))
from harness import broker as harness  # noqa: E402
from harness.client import Client  # noqa: E402

CPU = "broker_cpu_s_per_million"
# name, arguments of `sluice bench`, messages, limit of the ratio of CPU-s/M to mosquitto's
RATIOS = [
    ("fanin QoS 0", ["fanin"], 300_000, 0.11),
    ("pairs QoS 0", ["pairs"], 300_000, 0.08),
    ("pairs QoS 1", ["pairs", "-q", "1"], 200_000, 0.13),
    ("pairs QoS 2", ["pairs", "-q", "2"], 100_000, 0.11),
    ("fanout QoS 0", ["fanout"], 5_000, 0.06),
    ("fanin QoS 0, one per write", ["fanin", "--per-write", "1"], 200_000, 0.8),
    ("wild: 100,000 filters", ["wild"], 200_000, 0.2),
]
PACED = [
    ("paced QoS 0", ["pairs", "--rate", "2000", "--per-write", "1"], 10_000),
    ("paced QoS 1", ["pairs", "--rate", "2000", "--per-write", "1", "-q", "1"], 10_000),
]
# The same with sessions that outlive everything, and our log on: to mosquitto's, whose persistence is off.
DURABLE = [
    ("durable pairs QoS 1", ["pairs", "-q", "1", "--persistent"], 200_000, 0.6),
    ("durable pairs QoS 2", ["pairs", "-q", "2", "--persistent"], 100_000, 0.5),
]
OFFLINE, OFFLINE_MESSAGES, OFFLINE_LIMIT = 1000, 1000, 0.5
TOPIC = "factory/+/+/+/+/telemetry"  # takes the topic of the sink scenario
FIELDS = "payload.deviceId AS device, payload.measurements.temperature AS t, payload.ts AS ts"


class Mosquitto(harness.Broker):
    def default_config(self):
        return {**super().default_config(), "admin": {"enabled": False}}  # no status pages to wait for

    def command(self):
        path = self.folder / "mosquitto.conf"
        # Its queue of 1,000 messages is lifted: it would drop what all publishers together may have under way.
        path.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n"
                        "max_queued_messages 0\n")
        return ["mosquitto", "-c", str(path)]


def sluice(**config):
    return harness.Broker(config)


def bench(broker, args, messages=None):
    """One run of the load generator; its figures."""
    command = [harness.BIN, "bench", *args, "-p", str(broker.port), "--broker-pid", str(broker.process.pid), "--json"]
    if messages:
        command += ["-n", str(int(messages))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return json.loads(done.stdout)


def measured(make, args, messages=None):
    """A fresh broker for every run, so that memory is comparable."""
    with make() as broker:
        return bench(broker, args, messages)


class Report:
    def __init__(self):
        self.rows, self.failed = [], 0

    def head(self, *names):
        print("\n" + f"{names[0]:<34}" + "".join(f"{n:>13}" for n in names[1:]), flush=True)

    def row(self, name, values, limit=None, fine=None, unit="", note=""):
        shown = "".join(f"{v:>13.3f}" if isinstance(v, float) else f"{v:>13}" for v in values)
        verdict = "" if fine is None else ("  pass" if fine else "  FAIL")
        print(f"{name:<34}{shown}{'' if limit is None else f'{limit:>13}'}{verdict} {note}", flush=True)
        self.failed += fine is False
        self.rows.append({"name": name, "values": values, "limit": limit, "pass": fine, "unit": unit, "note": note})


def median_of(runs, key):
    return statistics.median(r[key] for r in runs)


def alternate(rounds, args, messages):
    """Runs of both brokers in turn, so that what else the machine does meets both."""
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(measured(Mosquitto, args, messages))
        ours.append(measured(sluice, args, messages))
    return theirs, ours


def lost(runs):
    total = sum(r["lost"] for r in runs)
    return f"lost {total}" if total else ""


def ratios(report, options):
    report.head("CPU-s/M", "mosquitto", "sluice", "ratio", "limit")
    for name, args, messages, limit in RATIOS:
        if not options.wants(name):
            continue
        theirs, ours = alternate(options.rounds, args, messages * options.scale)
        a, b = median_of(theirs, CPU), median_of(ours, CPU)
        report.row(name, [a, b, b / a], limit, b / a <= limit, "CPU-s/M", lost(ours))
        if args[0] == "wild":
            kb = median_of(ours, "rss_bytes_per_filter") / 1000
            report.row("wild: KB of memory a filter", [median_of(theirs, "rss_bytes_per_filter") / 1000, kb, ""], 0.5,
                       kb <= 0.5, "KB")


def offline(broker, messages):
    """QoS 1 to sessions whose clients are away."""
    for n in range(OFFLINE):
        with Client(broker.port) as c:
            c.connect(f"away{n}", clean=False)
            c.subscribe("away", qos=1)
            c.disconnect()
    return bench(broker, ["sink", "-q", "1", "--pubs", "1", "--topic", "away", "--warmup", "10"], messages)


def durable(report, options):
    report.head("CPU-s/M, all on disk", "mosquitto", "sluice", "ratio", "limit")
    for name, args, messages, limit in DURABLE:
        if not options.wants(name):
            continue
        theirs, ours = alternate(options.rounds, args, messages * options.scale)
        a, b = median_of(theirs, CPU), median_of(ours, CPU)
        report.row(name, [a, b, b / a], limit, b / a <= limit, "CPU-s/M", lost(ours))
    name = f"offline: into {OFFLINE} sessions"
    if not options.wants(name):
        return
    theirs, ours = [], []
    for _ in range(options.rounds):
        for make, runs in ((Mosquitto, theirs), (lambda: sluice(mqtt={"max_queued": 1_000_000, "max_queued_bytes": "1GB"}), ours)):
            with make() as broker:
                runs.append(offline(broker, OFFLINE_MESSAGES * options.scale))
    a, b = (median_of(runs, CPU) / OFFLINE for runs in (theirs, ours))
    report.row(name, [a, b, b / a], OFFLINE_LIMIT, b / a <= OFFLINE_LIMIT, "CPU-s/M")


def paced(report, options):
    report.head("latency at 2,000 msg/s, us", "mosq. p50", "sluice p50", "mosq. p99", "sluice p99")
    for name, args, messages in PACED:
        if not options.wants(name):
            continue
        theirs, ours = alternate(options.rounds, args, messages * options.scale)
        t50, o50, t99, o99 = (median_of(r, k) for k in ("p50_us", "p99_us") for r in (theirs, ours))
        # Two medians of the same thing differ by a tenth here.
        report.row(name, [t50, o50, t99, o99], None, o50 <= t50 * 1.1 and o99 <= t99 * 1.1, "us")


def idle(report, options):
    if not options.wants("idle connections"):
        return
    report.head("memory", "mosquitto", "sluice", "ratio", "limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(10_000, (hard if hard != resource.RLIM_INFINITY else 1 << 20) - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    args = ["idle", "--subs", str(count), "--hold", "2"]
    theirs, ours = alternate(max(1, options.rounds // 2), args, None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    a, b = (median_of(r, "rss_bytes_per_connection") / 1000 for r in (theirs, ours))
    report.row(f"KB per idle connection ({count})", [a, b, b / a], 1.8, b <= 1.8, "KB")


def rule(sql, *actions):
    return {"sql": sql, "actions": list(actions)}


def rule_configs():
    """name -> connectors and rules."""
    null = {"nothing": {"type": "null"}}
    other = {f"r{i}": rule(f'SELECT payload.t AS t FROM "elsewhere/{i}/+/x"', {"console": {}})
             for i in range(10_000)}
    false = {"r": rule(f'SELECT payload.ts AS ts FROM "{TOPIC}" WHERE payload.measurements.temperature > 1000',
                       {"connector": "nothing"})}
    three = {"r": rule(f'SELECT {FIELDS} FROM "{TOPIC}"', {"connector": "nothing"})}
    return {"no rule": {}, "10,000 rules on other topics": {"rules": other},
            "one rule, false WHERE": {"connectors": null, "rules": false},
            "one rule, three fields into null": {"connectors": null, "rules": three}}


# What a rule may add to a publish, in CPU-s/M. "Nothing measurable" is what two equal runs differ by.
RULE_LIMITS = {"10,000 rules on other topics": 0.05, "one rule, false WHERE": 0.4,
               "one rule, three fields into null": 1.0}


def rules(report, options):
    if not options.wants("rules"):
        return
    report.head("rules: CPU-s/M", "all", "added", "limit")
    runs = {name: [] for name in rule_configs()}
    for _ in range(options.rounds):
        for name, config in rule_configs().items():
            runs[name].append(measured(lambda c=config: sluice(**c), ["sink"], 400_000 * options.scale))
    base = median_of(runs["no rule"], CPU)
    for name, results in runs.items():
        value = median_of(results, CPU)
        limit = RULE_LIMITS.get(name)
        report.row(name, [value, value - base], limit, None if limit is None else value - base <= limit, "CPU-s/M")


def rows_per_second(messages):
    """QoS 1 messages through one rule into SQLite with default settings; from the first publish to the last row."""
    folder = harness.temp_folder()
    columns = {"device": "${device}", "t": "${t}", "ts": "${ts}"}
    with sluice(connectors={"archive": {"type": "sqlite", "path": str(folder / "archive.db")}},
                rules={"r": rule(f'SELECT {FIELDS} FROM "{TOPIC}"',
                                 {"connector": "archive", "table": "readings", "columns": columns})}) as broker:
        began = time.monotonic()
        bench(broker, ["sink", "-q", "1", "--window", "1000", "--warmup", "1"], messages)
        broker.wait_settled("r")
        took = time.monotonic() - began
        return broker.action("r")["delivered"] / took


def floor_rows_per_second(messages):
    program = Path(harness.BIN).parent / "bin/sqlite_floor"
    folder = harness.temp_folder()
    done = subprocess.run([program, folder / "floor.db", str(int(messages))], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def sqlite(report, options):
    if not options.wants("sqlite"):
        return
    report.head("rows a second into SQLite", "bare loop", "sluice", "ratio", "at least")
    messages = 500_000 * options.scale
    floor, ours = [], []
    for _ in range(options.rounds):
        floor.append(floor_rows_per_second(messages))
        ours.append(rows_per_second(messages))
    a, b = statistics.median(floor), statistics.median(ours)
    report.row("sqlite, QoS 1, default settings", [round(a), round(b), b / a], 0.15, b / a >= 0.15, "rows/s")


# A line of bench_cost: name, nanoseconds, maybe a limit, how many times as long a tree takes.
COST_LINE = re.compile(r"(.{44}) +([\d.]+) ns(?: +limit +(\d+) ns.*: (within|MISSED))?.* ([\d.]+) times$")


def cost(report, options):
    if not options.wants("cost"):
        return
    report.head("cost of one rule, ns", "all", "tree/ours", "limit")
    program = Path(harness.BIN).parent / "bench/bench_cost"
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    for line in filter(None, map(COST_LINE.match, done.stdout.splitlines())):
        name, ns, limit, verdict, ratio = line.groups()
        report.row(name.strip(), [float(ns), float(ratio)], limit, verdict and verdict == "within", "ns")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} x {model}, load {os.getloadavg()[0]:.1f}"


def options_of(doc):
    args = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("groups", nargs="*",
                      help="beginnings of names: fanin pairs fanout wild durable offline paced idle cost rules sqlite")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--scale", type=float, default=1.0, help="times the number of messages")
    args.add_argument("--json", metavar="FILE", help="results for comparing")
    options = args.parse_args()
    options.wants = lambda name: not options.groups or any(name.startswith(g) for g in options.groups)
    return options


def finish(report, options):
    if options.json:
        result = {"machine": machine(), "rounds": options.rounds, "scale": options.scale, "rows": report.rows}
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\n{sum(r['pass'] is True for r in report.rows)} within their limits, {report.failed} not")
    sys.exit(1 if report.failed else 0)


def main():
    options = options_of(__doc__)
    report = Report()
    print(machine())
    for group in (ratios, durable, paced, idle, cost, rules, sqlite):
        group(report, options)
    finish(report, options)


if __name__ == "__main__":
    main()
