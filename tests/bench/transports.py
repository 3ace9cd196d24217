"""Transports: what WebSocket and a unix socket cost beside TCP, side by side on this machine. By hand, not in CI:

    tests/deps.sh install build bench
    cmake --preset release && cmake --build --preset release
    python3 tests/bench/transports.py                       two minutes
    python3 tests/bench/transports.py --rounds 5 --scale 2 --json results.json

One broker, 50 pairs, CPU-s/M as in run.py; each figure beside that of TCP (of TLS for wss) in the same rounds. A connection through WebSocket
is a frame in each read and write more, and masked bytes.
"""
import run
from run import CPU, Report, median_of
from harness import broker as harness
from harness.broker import free_port
from harness.pki import Pki

pki = Pki(harness.temp_folder())
CA = ["--cafile", pki.path("ca.pem"), "--tls-version", "tlsv1.3"]
# name, arguments of `sluice bench`, messages
ROWS = [
    ("pairs QoS 0", ["pairs"], 300_000),
    ("pairs QoS 1", ["pairs", "-q", "1"], 200_000),
    ("pairs QoS 0, one per write", ["pairs", "--per-write", "1"], 200_000),
    ("pairs QoS 0, 16 KB", ["pairs", "--payload", "16384"], 30_000),
]


class Everywhere(harness.Broker):
    def default_config(self):
        config = super().default_config()
        self.socket = self.folder / "mqtt.sock"
        self.ports = {kind: free_port() for kind in ("tls", "ws", "wss")}
        tls = {"cert": pki.path("server.pem"), "key": pki.path("server.key")}
        config["listeners"] += [{"name": kind, "type": kind, "bind": f"127.0.0.1:{port}", **({"tls": tls} if kind in ("tls", "wss") else {})}
                                for kind, port in self.ports.items()]
        config["listeners"].append({"name": "unix", "type": "unix", "bind": str(self.socket)})
        return config

    def url(self, kind):
        return {"tcp": ["--url", f"mqtt://127.0.0.1:{self.port}"], "unix": ["--url", f"unix:{self.socket}"],
                "ws": ["--url", f"ws://127.0.0.1:{self.ports['ws']}/mqtt"],
                "tls": ["--url", f"mqtts://localhost:{self.ports['tls']}", *CA],
                "wss": ["--url", f"wss://localhost:{self.ports['wss']}/mqtt", *CA]}[kind]


def measured(kind, args, messages):
    with Everywhere() as broker:
        return run.bench(broker, args + broker.url(kind), messages)


def main():
    options = run.options_of(__doc__)
    report = Report()
    print(run.machine())
    for other, base in (("ws", "tcp"), ("unix", "tcp"), ("wss", "tls")):
        report.head(f"{other}, CPU-s/M", base, other, "ratio")
        for name, args, messages in ROWS:
            if options.wants(name):
                pairs = [(measured(base, args, messages * options.scale), measured(other, args, messages * options.scale))
                         for _ in range(options.rounds)]
                a, b = (median_of([p[i] for p in pairs], CPU) for i in (0, 1))
                report.row(f"{other}: {name}", [a, b, b / a], None, None, "CPU-s/M", run.lost([p[1] for p in pairs]))
    run.finish(report, options)


if __name__ == "__main__":
    main()
