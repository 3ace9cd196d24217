"""Publishers at a steady rate that never give up, in a process of their own so that nothing else holds them up.

    python3 drill_load.py PORT CONTROL_PORT CLIENTS COUNT RATE [PAD]

CLIENTS clients (drill0, drill1, ...) publish COUNT messages together with QoS 1, RATE a second, on load/<client>, with the
payload {"c": client, "n": 0, 1, ..., "p": "..."}. What is not acknowledged is sent again after a new connection, in
order. One more client pings 200 times a second, and another one pings a broker at CONTROL_PORT that has nothing to do: what
its pings take is the machine's doing. Prints a line of JSON when it begins ({"began": monotonic time}) and one
at the end: per second of the monotonic clock the latencies of publishes, pings and control pings at p50 and p99 in ms.
"""
import json
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import packet as m  # pylint: disable=wrong-import-position

WINDOW, TICK_S = 2000, 0.002


class Latencies:
    def __init__(self):
        self.seconds = {}

    def add(self, now, took):
        self.seconds.setdefault(int(now), []).append(took)

    def summary(self):
        found = {}
        for second, values in self.seconds.items():
            values.sort()
            found[second] = [round(values[int(len(values) * part)] * 1000, 3) for part in (0.5, 0.99)] + [len(values)]
        return found


class Connection:
    """A socket that comes back: the broker may be away."""

    def __init__(self, port, client_id):
        self.port, self.client_id = port, client_id
        self.sock, self.buffer, self.connects, self.up, self.again_at = None, b"", 0, False, 0.0

    def fileno(self):
        return self.sock.fileno()

    def open(self, now):
        if self.sock or now < self.again_at:
            return
        try:
            self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock.sendall(m.connect(self.client_id))
        except OSError:
            self.lost(now)

    def lost(self, now):
        if self.sock:
            self.sock.close()
        self.sock, self.buffer, self.up, self.again_at = None, b"", False, now + 0.05

    def send(self, data, now):
        try:
            self.sock.sendall(data)
        except OSError:
            self.lost(now)

    def packets(self, now):
        """(type, body) of what has come whole; all packets to a publisher are short."""
        try:
            data = self.sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.lost(now)
            return
        data, at = self.buffer + data, 0
        while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
            yield data[at], data[at + 2:at + 2 + data[at + 1]]
            at += 2 + data[at + 1]
        self.buffer = data[at:]


class Publisher(Connection):
    def __init__(self, port, number, count, rate, pad, latencies):
        super().__init__(port, f"drill{number}")
        self.count, self.rate, self.latencies = count, rate, latencies
        self.next, self.acked, self.pid = 0, 0, 0
        self.again, self.out = deque(), {}
        topic = m.text(f"load/{number}")
        self.form = lambda pid, n: m.frame(m.PUBLISH, 2, topic + m.u16(pid) + b'{"c": %d, "n": %d, "p": "%s"}' % (number, n, pad))

    def done(self):
        return self.acked == self.count

    def lost(self, now):
        super().lost(now)
        self.again = deque(sorted([n for n, _ in self.out.values()] + list(self.again)))
        self.out.clear()

    def tick(self, now, elapsed):
        self.open(now)
        if not self.up:
            return
        due, batch = min(int(elapsed * self.rate), self.count), []
        while len(self.out) < WINDOW and (self.again or self.next < due):
            n = self.again.popleft() if self.again else self.next
            self.next = max(self.next, n + 1)
            self.pid = self.pid % 65535 + 1
            self.out[self.pid] = (n, now)
            batch.append(self.form(self.pid, n))
        if batch:
            self.send(b"".join(batch), now)

    def readable(self, now):
        for kind, body in self.packets(now):
            if kind == 0x20:
                self.up, self.connects = body[1] == 0, self.connects + 1
            elif kind == 0x40:
                _, sent = self.out.pop(body[0] << 8 | body[1])
                self.acked += 1
                self.latencies.add(sent, now - sent)


class Pinger(Connection):
    def __init__(self, port, latencies):
        super().__init__(port, "drill-ping")
        self.latencies, self.sent = latencies, None
        self.next_at = 0.0

    def lost(self, now):
        super().lost(now)
        self.sent = None

    def tick(self, now, _elapsed):
        self.open(now)
        if self.up and self.sent is None and now >= self.next_at:
            self.sent, self.next_at = now, now + 0.005
            self.send(m.PING, now)

    def readable(self, now):
        for kind, body in self.packets(now):
            if kind == 0x20:
                self.up = body[1] == 0
            elif kind == 0xD0 and self.sent is not None:
                self.latencies.add(self.sent, now - self.sent)
                self.sent = None


def main():
    port, control_port, clients, count, rate = (int(a) for a in sys.argv[1:6])
    pad = b"x" * int(sys.argv[6] if len(sys.argv) > 6 else 200)
    publish, ping, control = Latencies(), Latencies(), Latencies()
    share = count // clients
    publishers = [Publisher(port, i, share, rate / clients, pad, publish) for i in range(clients)]
    everybody = [*publishers, Pinger(port, ping), Pinger(control_port, control)]
    for one in everybody:
        one.open(time.monotonic())
    began = time.monotonic() + 0.1
    print(json.dumps({"began": began}), flush=True)
    while not all(p.done() for p in publishers):
        now = time.monotonic()
        for one in everybody:
            one.tick(now, max(now - began, 0))
        connected = [one for one in everybody if one.sock]
        if not connected:
            time.sleep(0.01)
            continue
        ready, _, _ = select.select(connected, [], [], TICK_S)
        now = time.monotonic()
        for one in ready:
            if one.sock:
                one.readable(now)
    print(json.dumps({"ended": time.monotonic(), "acked": sum(p.acked for p in publishers), "share": share,
                      "connects": [p.connects for p in publishers], "publish": publish.summary(),
                      "ping": ping.summary(), "control": control.summary()}), flush=True)


if __name__ == "__main__":
    main()
