"""Documents into MongoDB through a rule, against libmongoc's bulk insert in a tight loop, and against what mosquitto spends on
half the way.

    tests/deps.sh install build bench servers
    cmake --preset release && cmake --build --preset release --target sluice mongodb_floor
    tests/servers/inside.sh python3 tests/bench/mongodb.py [--rounds 3] [--messages 100000] [--server ferretdb]

Publisher, broker and server share the machine's cores; QoS 1 in, three fields of a 280-byte JSON out, default settings. The
server is one of the two that stand in for MongoDB (tests/servers/), so rows a second say little of MongoDB itself, and the
ratio, and the CPU of our process, do. Rounds alternate; medians are shown.
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
from harness.servers import FerretDB, MongoJava  # noqa: E402
from postgres import cpu_s, mosquitto_us  # noqa: E402

LIMIT, CPU_LIMIT = 0.6, 0.5
SERVERS = {"ferretdb": FerretDB, "mongo-java": MongoJava}


def fresh(server):
    with server.client() as c:
        c.drop("bench", "readings")


def floor(server, messages):
    fresh(server)
    program = Path(os.environ.get("MONGODB_FLOOR") or Path(harness.BIN).parent / "bin/mongodb_floor")
    done = subprocess.run([program, server.url(), "readings", str(messages)], capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def ours(server, messages, **connector):
    """Rows a second from the first publish to the last row, and our CPU in microseconds a row."""
    fresh(server)
    with bench.sluice(connectors={"docs": {"type": "mongodb", "url": server.url(), "database": "bench", **connector}},
                      rules={"r": bench.rule(f'SELECT {bench.FIELDS} FROM "{bench.TOPIC}"',
                                             {"connector": "docs", "collection": "readings"})}) as broker:
        began, before = time.monotonic(), cpu_s(broker)
        bench.bench(broker, ["sink", "-q", "1", "--window", "1000", "--warmup", "1"], messages)
        broker.wait_settled("r", timeout=120)
        took, cpu = time.monotonic() - began, cpu_s(broker) - before
        n = broker.action("r")
        with server.client() as c:
            stored = c.count("bench", "readings")
        assert n["rejected"] == 0 and stored >= n["delivered"], (n, stored)
        return n["delivered"] / took, cpu * 1e6 / n["delivered"], n["delivered"] / n["batches"]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--messages", type=int, default=100_000)
    args.add_argument("--server", choices=SERVERS, default="ferretdb")
    args.add_argument("--pool", type=int, help="another pool than the default")
    options = args.parse_args()
    n, report = options.messages, bench.Report()
    runs = {"floor": [], "ours": [], "mosquitto": []}
    with SERVERS[options.server]() as server:
        for _ in range(options.rounds):
            runs["floor"].append(floor(server, n))
            runs["ours"].append(ours(server, n, **({"pool": options.pool} if options.pool else {})))
            runs["mosquitto"].append([mosquitto_us(n)])

    def median(name, i):
        return statistics.median(r[i] for r in runs[name])

    print(bench.machine())
    report.head(f"rows a second into {options.server}", "tight loop", "sluice", "ratio", "at least")
    a, b = median("floor", 0), median("ours", 0)
    report.row("insert against bulk insert", [round(a), round(b), b / a], LIMIT, b / a >= LIMIT, "rows/s")
    report.head("CPU us a message, all of the way", "mosquitto", "sluice", "ratio", "limit")
    theirs, mine = median("mosquitto", 0), median("ours", 1)
    report.row("insert", [theirs, mine, mine / theirs], CPU_LIMIT, mine / theirs <= CPU_LIMIT, "us")
    report.head("what else was seen", "loop us/row", "rows/batch")
    report.row("client", [median("floor", 1), median("ours", 2)])
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
