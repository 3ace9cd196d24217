"""Rows into PostgreSQL through a rule, against libpq in a tight loop, and against what mosquitto spends on half the way.

    tests/deps.sh install build bench servers
    cmake --preset release && cmake --build --preset release --target sluice postgres_floor
    tests/servers/inside.sh python3 tests/bench/postgres.py [--rounds 3] [--messages 400000]

Publisher, broker and server share the machine's cores; QoS 1 in, three fields of a 280-byte JSON out, default settings.
Rounds alternate; medians are shown. CPU is that of our process alone, per message, against mosquitto handing the same messages
to one subscriber.
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
from harness.servers import Postgres  # noqa: E402

COLUMNS = {"device": "${device}", "t": "${t}", "at": "${ts}"}
TABLE = {"table": "readings", "columns": COLUMNS}
SQL = {"sql": "INSERT INTO readings(device, t, at) VALUES (${device}, ${t}, to_timestamp(${ts} / 1000.0))"}
PUT = {"sql": "INSERT INTO readings(device, t, at) VALUES (${device}, ${t}, ${ts})"}
LIMIT, CPU_LIMIT = 0.6, 0.2


def floor(pg, how, messages):
    program = Path(os.environ.get("POSTGRES_FLOOR") or Path(harness.BIN).parent / "bin/postgres_floor")
    done = subprocess.run([program, pg.url(), str(messages), how], capture_output=True, text=True, check=True)
    return [float(part) for part in done.stdout.split()]


def ours(pg, action, messages, **connector):
    """Rows a second from the first publish to the last row, and our CPU in microseconds a row."""
    pg.execute("DROP TABLE IF EXISTS readings; CREATE TABLE readings (device text, t float8, at timestamptz)")
    with bench.sluice(connectors={"db": {"type": "postgres", "url": pg.url(), **connector}},
                      rules={"r": bench.rule(f'SELECT {bench.FIELDS} FROM "{bench.TOPIC}"', {"connector": "db", **action})}) as broker:
        began, before = time.monotonic(), cpu_s(broker)
        result = bench.bench(broker, ["sink", "-q", "1", "--window", "1000", "--warmup", "1"], messages)
        broker.wait_settled("r")
        took, cpu = time.monotonic() - began, cpu_s(broker) - before
        n = broker.action("r")
        assert n["rejected"] == 0 and int(pg.value("SELECT count(*) FROM readings")) >= n["delivered"], n
        return n["delivered"] / took, cpu * 1e6 / n["delivered"], result


def cpu_s(broker):
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    with Postgres(settings=["synchronous_commit = on"]) as pg:
        runs = {name: [] for name in ("copy", "pipeline", "table", "sql", "expression", "mosquitto")}
        for _ in range(options.rounds):
            runs["copy"].append(floor(pg, "copy", n))
            runs["table"].append(ours(pg, TABLE, n))
            runs["pipeline"].append(floor(pg, "pipeline", n))
            runs["sql"].append(ours(pg, PUT, n))
            runs["expression"].append(ours(pg, SQL, n))
            runs["mosquitto"].append([mosquitto_us(n // 4)])
    def median(name, i):
        return statistics.median(r[i] for r in runs[name])

    print(bench.machine())
    report.head("rows a second into PostgreSQL", "tight loop", "sluice", "ratio", "at least")
    for name, base in (("table", "copy"), ("sql", "pipeline"), ("expression", "pipeline")):
        a, b = median(base, 0), median(name, 0)
        limit = LIMIT if name != "expression" else None
        report.row(f"{name} against {base}", [round(a), round(b), b / a], limit, None if limit is None else b / a >= limit, "rows/s")
    report.head("CPU us a message, all of the way", "mosquitto", "sluice", "ratio", "limit")
    theirs = median("mosquitto", 0)
    for name in ("table", "sql"):
        mine = median(name, 1)
        report.row(name, [theirs, mine, mine / theirs], CPU_LIMIT, mine / theirs <= CPU_LIMIT, "us")
    report.head("CPU us a row of the tight loops", "copy", "pipeline")
    report.row("client", [median("copy", 1), median("pipeline", 1)])
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
