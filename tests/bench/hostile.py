"""What honest clients notice of hostile ones. By hand, not in CI:

    cmake --preset release && cmake --build --preset release
    python3 tests/bench/hostile.py                 every kind of attacker, and all together; two minutes
    python3 tests/bench/hostile.py flood --rounds 3

50 pairs exchange 2,000 QoS 1 messages a second; their p99 with attackers beside them must stay within twice of what it
is without, measured in turns against the same broker. Memory of the broker must stay within what the settings allow.
"""
import argparse
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("SLUICE_BIN", str(Path(__file__).resolve().parents[2] / "build/release/sluice"))
from harness import broker as harness  # noqa: E402
from harness import packet as m  # noqa: E402

LIMIT = 2.0
MEMORY_MB = 300


class Attackers(threading.Thread):
    """Runs one kind of attack over and over on `count` connections, until it is told to stop."""
    def __init__(self, kind, port, count):
        super().__init__(daemon=True)
        self.kind, self.port, self.count, self.over = kind, port, count, threading.Event()
        self.attacks = 0

    def connection(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def logged_in(self, name):
        s = self.connection()
        s.sendall(m.connect(f"bad-{self.kind}-{name}-{random.random()}"))
        s.recv(4)
        return s

    def run(self):
        threads = [threading.Thread(target=self.one, args=(i,), daemon=True) for i in range(self.count)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

    def one(self, i):
        while not self.over.is_set():
            try:
                getattr(self, "attack_" + self.kind)(i)
            except OSError:
                pass
            self.attacks += 1

    # ---- Kinds ----

    def attack_slow(self, i):
        """A byte at a time."""
        with self.connection() as s:
            for byte in m.connect(f"slow{i}" * 20):
                s.sendall(bytes([byte]))
                if self.over.wait(0.01):
                    return

    def attack_half(self, i):
        """The beginning of a packet, and never the rest."""
        whole = m.publish("a/b", b"x" * 500, 1, 7)
        with self.logged_in(i) as s:
            for _ in range(20):
                s.sendall(whole)
            s.sendall(whole[:random.randrange(1, len(whole))])
            self.over.wait(1)

    def attack_lengths(self, i):
        """Lengths that are not meant: 256 MB that never come, and all shapes of the header."""
        with (self.logged_in(i) if i % 2 else self.connection()) as s:
            s.sendall(bytes([random.choice([0x10, 0x30, 0x32, 0x82])]) + b"\xff\xff\xff" + bytes([random.choice([0x7F, 0xFF])]))
            s.sendall(b"\x00" * 1000)
            s.settimeout(0.5)
            s.recv(100)

    def attack_flood(self, i):
        """As many messages as the socket takes, to nobody."""
        blob = b"".join(m.publish(f"flood/{i}/{n}", b"x" * 100) for n in range(500))
        with self.logged_in(i) as s:
            for _ in range(200):
                s.sendall(blob)
                if self.over.is_set():
                    return

    def attack_pings(self, i):
        """As many questions as the socket takes, and no answer is read."""
        with self.logged_in(i) as s:
            s.settimeout(0.5)
            while not self.over.is_set():
                s.sendall(m.PING * 10000)

    def attack_subscribe(self, i):
        """Filters without end."""
        with self.logged_in(i) as s:
            for k in range(20):
                s.sendall(m.subscribe(1, *[(f"{i}/{k}/{n}/+/#", 0) for n in range(1000)]))
                s.recv(65536)
                if self.over.is_set():
                    return

    def attack_connects(self, i):
        """Comes and goes."""
        with self.logged_in(i) as s:
            s.close()

    def attack_levels(self, i):
        """Topics of 32,767 levels."""
        with self.logged_in(i) as s:
            s.sendall(m.publish("/" * 32767, b"x", 1, 1))
            s.settimeout(0.5)
            s.recv(10)

    def attack_garbage(self, i):
        """Not MQTT: TLS, HTTP, noise."""
        with self.connection() as s:
            s.sendall(random.choice([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n", random.randbytes(500)]))
            s.settimeout(0.5)
            s.recv(100)


KINDS = [name[7:] for name in dir(Attackers) if name.startswith("attack_")]


def pairs(broker, seconds):
    rate = 2000
    command = [harness.BIN, "bench", "pairs", "-q", "1", "--rate", str(rate), "--per-write", "1", "-p", str(broker.port),
               "-n", str(int(rate * seconds)), "--warmup", "500", "--broker-pid", str(broker.process.pid), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the honest clients failed: {done.stderr}\n{broker.log()[-2000:]}")
    return json.loads(done.stdout)


def measure(broker, kinds, count, rounds, seconds):
    calm, rough, highest = [], [], 0
    for _ in range(rounds):
        calm.append(pairs(broker, seconds))
        bank = [Attackers(kind, broker.port, count) for kind in kinds]
        for a in bank:
            a.start()
        time.sleep(0.3)
        rough.append(pairs(broker, seconds))
        highest = max(highest, broker.rss_kb() / 1024)
        for a in bank:
            a.over.set()
        for a in bank:
            a.join()
    lost = sum(r["lost"] for r in calm + rough)
    a, b = (statistics.median(r["p99_us"] for r in runs) for runs in (calm, rough))
    return a, b, highest, lost


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("kinds", nargs="*", help="of " + " ".join(KINDS) + "; none: each, then all together")
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--seconds", type=float, default=2)
    args.add_argument("--count", type=int, default=4, help="connections of each kind")
    options = args.parse_args()
    groups = [[k] for k in options.kinds] or [[k] for k in KINDS] + [KINDS]
    failed = 0
    print(f"{'attackers':<14}{'p99 us calm':>13}{'beside them':>13}{'ratio':>8}{'limit':>7}{'MB':>8}")
    with harness.Broker({"admin": {"enabled": False}}) as broker:
        for group in groups:
            a, b, mb, lost = measure(broker, group, options.count, options.rounds, options.seconds)
            fine = b / a <= LIMIT and mb <= MEMORY_MB and lost == 0
            failed += not fine
            name = group[0] if len(group) == 1 else "all of them"
            print(f"{name:<14}{a:>13.0f}{b:>13.0f}{b / a:>8.2f}{LIMIT:>7.1f}{mb:>8.0f}  {'within' if fine else 'MISSED'}"
                  f"{f' lost {lost}' if lost else ''}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
