"""TLS: Sluice against Debian's mosquitto, side by side on this machine. By hand, not in CI:

    tests/deps.sh install build bench
    cmake --preset release && cmake --build --preset release
    python3 tests/bench/tls.py                       two minutes
    python3 tests/bench/tls.py --rounds 5 --scale 2 --json results.json

Both listen with the same certificate (ECDSA P-256); the load generator speaks TLS 1.3. CPU-s/M as in run.py, at 50 pairs; a handshake's
CPU is that of connecting, without what connecting costs by itself.
"""
import run
from run import CPU, Report, median_of
from harness import broker as harness
from harness.pki import Pki

# name, arguments of `sluice bench`, messages, limit of the ratio to mosquitto's: none where the kernel's share decides
ROWS = [
    ("pairs QoS 0", ["pairs"], 300_000, 0.6),
    ("pairs QoS 1", ["pairs", "-q", "1"], 200_000, 0.6),
    ("pairs QoS 0, one per write", ["pairs", "--per-write", "1"], 200_000, None),
    ("pairs QoS 0, 16 KB", ["pairs", "--payload", "16384"], 30_000, None),
]
pki = Pki(harness.temp_folder())


class Mosquitto(run.Mosquitto):
    def command(self):
        command = super().command()
        with open(command[-1], "a", encoding="utf-8") as f:
            f.write(f"cafile {pki.path('ca.pem')}\ncertfile {pki.path('server.pem')}\nkeyfile {pki.path('server.key')}\n")
        return command


class Sluice(harness.Broker):
    def default_config(self):
        tls = {"cert": pki.path("server.pem"), "key": pki.path("server.key")}
        return {**super().default_config(),
                "listeners": [{"name": "mqtts", "type": "tls", "bind": f"127.0.0.1:{self.port}", "tls": tls}]}


def alternate(rounds, args, messages):
    tls = ["--cafile", pki.path("ca.pem"), "--tls-version", "tlsv1.3"]
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(run.measured(Mosquitto, args + tls, messages))
        ours.append(run.measured(Sluice, args + tls, messages))
    return theirs, ours


def main():
    options = run.options_of(__doc__)
    report = Report()
    print(run.machine())
    report.head("TLS 1.3, CPU-s/M", "mosquitto", "sluice", "ratio", "limit")
    for name, args, messages, limit in ROWS:
        if options.wants(name):
            theirs, ours = alternate(options.rounds, args, messages * options.scale)
            a, b = median_of(theirs, CPU), median_of(ours, CPU)
            report.row(name, [a, b, b / a], limit, limit and b / a <= limit, "CPU-s/M", run.lost(ours))
    if options.wants("idle"):
        theirs, ours = alternate(options.rounds, ["idle", "--subs", "1000", "--hold", "1"], None)
        for name, key, scale, unit in (("idle: KB a connection", "rss_bytes_per_connection", 1000, "KB"),
                                       ("idle: CPU us a connect", "connect_cpu_us", 1, "us")):
            a, b = (median_of(r, key) / scale for r in (theirs, ours))
            report.row(name, [a, b, b / a], None, None, unit)
    run.finish(report, options)


if __name__ == "__main__":
    main()
