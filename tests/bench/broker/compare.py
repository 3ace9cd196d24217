#!/usr/bin/env python3
"""What a message costs our broker, as a ratio to Debian's mosquitto in the same run.

    tests/bench/broker/compare.py                    all scenarios, three runs each, medians
    tests/bench/broker/compare.py fanin pairs_q1     only these
    tests/bench/broker/compare.py --runs 5 --scale 2 --json result.jsonl
    tests/bench/broker/compare.py rules              what rules add to a publish (no mosquitto in it)

The two brokers take turns, each run with a fresh process. CPU seconds of the broker's process are compared, not wall
time: the load generator (`sluice bench`) shares the machine with the broker under test. A difference below 20% on
three runs is no difference. Needs a release build ($SLUICE_BIN or build/release/sluice) and mosquitto. Run by hand;
the exit code is 1 when a limit is missed or a message was lost.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
os.environ.setdefault("SLUICE_BIN", str(ROOT / "build/release/sluice"))
sys.path.insert(0, str(ROOT / "tests"))
from harness.broker import BIN, Broker  # noqa: E402

PER_MILLION = "broker_cpu_s_per_million"

# name, arguments of `sluice bench`, messages, what is compared, the most that our figure may be of mosquitto's
SCENARIOS = [
    ("fanin", "fanin", 1000000, PER_MILLION, 0.11),
    ("fanin_1", "fanin --per-write 1", 400000, PER_MILLION, 0.8),
    ("pairs", "pairs", 800000, PER_MILLION, 0.08),
    ("pairs_q1", "pairs -q 1", 300000, PER_MILLION, 0.13),
    ("pairs_q2", "pairs -q 2", 150000, PER_MILLION, 0.11),
    ("fanout", "fanout", 5000, PER_MILLION, 0.06),
    ("wild", "wild", 300000, PER_MILLION, 0.2),
    ("latency_p50", "pairs --rate 2000", 10000, "p50_us", 1.0),
    ("latency_p99", "pairs --rate 2000", 10000, "p99_us", 1.0),
]
# name, arguments, figure, the most it may be
LIMITS = [
    ("wild_memory", "wild -n 10000", "rss_bytes_per_filter", 512),
    ("idle_memory", "idle --hold 1", "rss_bytes_per_connection", 1843),
]


def rule(sql, action=None):
    return {"sql": sql, "actions": [action or {"connector": "nowhere"}]}


MACHINES = '"factory/+/+/+/+/telemetry"'
RULE_SETS = [
    ("no rule", {}, None),
    ("10,000 rules on other topics",
     {f"other_{i}": rule(f'SELECT payload.a AS a FROM "other/{i}/+/x"', {"republish": {"topic": "a", "payload": "b"}})
      for i in range(10000)}, 0.1),
    ("one rule, WHERE false", {"one": rule(f"SELECT payload.seq AS seq FROM {MACHINES} "
                                           "WHERE payload.measurements.temperature > 900")}, 0.4),
    ("one rule, three fields into null",
     {"one": rule(f"SELECT payload.deviceId AS d, payload.measurements.temperature AS t, "
                  f"payload.measurements.pressure AS p FROM {MACHINES}")}, 1.0),
]


class Mosquitto(Broker):
    def command(self):
        path = self.folder / "mosquitto.conf"
        path.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\nuser root\n")
        return ["/usr/sbin/mosquitto", "-c", str(path)]


def bench(broker, words, *more):
    args = [BIN, "bench", *words.split(), "-p", str(broker.port), "--broker-pid", str(broker.process.pid), "--json"]
    done = subprocess.run([*args, *more], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(args)} ended with {done.returncode}:\n{done.stderr}\n{broker.log()[-2000:]}")
    return json.loads(done.stdout)


def run_once(kind, words, *more, config=None):
    broker = kind(config)
    try:
        return bench(broker, words, *more)
    finally:
        broker.stop(check=False)


def compare(options, keep):
    good = True
    print(f"{'scenario':16} {'sluice':>10} {'mosquitto':>10} {'ratio':>7} {'limit':>6}  lost")
    for name, words, messages, figure, limit in SCENARIOS:
        if options.names and name not in options.names:
            continue
        ours, theirs, lost = [], [], 0
        for _ in range(options.runs):
            count = str(int(messages * options.scale))
            fewer = str(int(messages * options.scale / (1 if "--rate" in words else 3)))
            for kind, figures, n in ((Broker, ours, count), (Mosquitto, theirs, fewer)):
                result = run_once(kind, words, "-n", n)
                figures.append(result[figure])
                lost += result["lost"] if kind is Broker else 0
                keep(name, kind.__name__, result)
        a, b = statistics.median(ours), statistics.median(theirs)
        good &= a <= b * limit and lost == 0
        print(f"{name:16} {a:10.3f} {b:10.3f} {a / b:7.3f} {limit:6.2f}  {lost}"
              f"{'' if a <= b * limit and lost == 0 else '   MISSED'}", flush=True)
    return good


def absolute(options, keep):
    good = True
    for name, words, figure, limit in LIMITS:
        if options.names and name not in options.names:
            continue
        result = run_once(Broker, words)
        keep(name, "Broker", result)
        good &= result[figure] <= limit
        print(f"{name:16} {result[figure]:10.0f} of at most {limit} ({figure})"
              f"{'' if result[figure] <= limit else '   MISSED'}", flush=True)
    return good


def rules(options, keep):
    good, base = True, None
    print(f"{'rules':34} {'CPU-s/M in':>10} {'added':>7} {'limit':>6}")
    for name, rule_set, limit in RULE_SETS:
        config = {"connectors": {"nowhere": {"type": "null"}}, "rules": rule_set} if rule_set else {}
        count = str(int(1000000 * options.scale))
        runs = [run_once(Broker, "sink", "-n", count, config=config) for _ in range(options.runs)]
        figure = statistics.median(r[PER_MILLION] for r in runs)
        keep(name, "Broker", runs[0])
        base = figure if base is None else base
        missed = limit is not None and figure - base > limit
        good &= not missed
        print(f"{name:34} {figure:10.3f} {figure - base:7.3f} {limit if limit is not None else '':>6}"
              f"{'   MISSED' if missed else ''}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description="Cost of a message, against mosquitto in the same run.")
    parser.add_argument("names", nargs="*", help="scenarios (all), or rules")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times as many messages")
    parser.add_argument("--json", help="append each run's record to this file")
    options = parser.parse_args()

    def keep(name, kind, result):
        if options.json:
            with open(options.json, "a", encoding="utf-8") as f:
                f.write(json.dumps({"name": name, "broker": kind.lower(), **result}) + "\n")

    known = {row[0] for row in SCENARIOS + LIMITS} | {"rules"}
    unknown = [n for n in options.names if n not in known]
    if unknown:
        parser.error(f"no scenario {unknown[0]}; there are {', '.join(sorted(known))}")
    good = True
    if options.names != ["rules"]:
        good &= compare(options, keep)
        good &= absolute(options, keep)
    if not options.names or "rules" in options.names:
        good &= rules(options, keep)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
