"""The broker is killed under load, again and again: what was acknowledged arrives, with QoS 2 exactly once, in order.

KILL_ROUNDS=20 kills so often in each test (a few by default); KILL_SEED repeats a run. KILL_CONFIG='{"persistence": {"sync": "tick"}}' is
merged into the broker's settings.
"""
import json
import os
import random
import socket
import threading
import time
import unittest

from harness import packet as m
from harness.broker import BIN, Broker, wait_until

FAST = os.path.abspath(os.environ.get("SLUICE_FAST_BIN") or BIN)
ROUNDS = int(os.environ.get("KILL_ROUNDS", 3))
CONFIG = json.loads(os.environ.get("KILL_CONFIG", "{}"))
PUBLISHERS, WINDOW, SHARE = 3, 40, 2000  # so many messages of each publisher between two kills, at most


class Peer(threading.Thread):
    """A client that keeps its part of the session, and comes back as often as it takes."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port, self.name, self.sock, self.error, self.connections = port, name, None, None, 0
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    self._session()
                except OSError:
                    time.sleep(0.005)  # the broker is away
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def _session(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=0.2) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.sock, buffer = s, b""
            s.sendall(m.connect(self.name, clean=False))
            while not self.over.is_set():
                try:
                    data = s.recv(1 << 16)
                except TimeoutError:
                    if self.connections:
                        self.idle()
                    continue
                if not data:
                    raise OSError("closed")
                buffer += data
                out, at = [], 0
                while True:
                    size = self._whole(buffer, at)
                    if not size:
                        break
                    self._packet(buffer[at], buffer[at + size[0]:at + size[1]], out)
                    at += size[1]
                buffer = buffer[at:]
                self.idle(out)
                s.sendall(b"".join(out))

    @staticmethod
    def _whole(b, at):
        """(bytes of the header, of all) or None."""
        length, shift, i = 0, 0, at + 1
        while i < len(b):
            length |= (b[i] & 0x7F) << shift
            shift, i = shift + 7, i + 1
            if not b[i - 1] & 0x80:
                return (i - at, i - at + length) if len(b) >= i + length else None
        return None

    def _packet(self, head, body, out):
        kind = head >> 4
        if kind == m.CONNACK:
            assert body[1] == 0, f"refused: {body[1]}"
            assert body[0] == 1 or self.connections == 0, f"{self.name}: its session has gone"
            self.connections += 1
            self.back(out)
        else:
            self.take(kind, head, body, out)


class Publisher(Peer):
    """Message n is `name n`. state: pid -> (n, PUBREC has come)."""

    def __init__(self, port, name, qos):
        super().__init__(port, name)
        self.qos, self.next, self.limit, self.pid = qos, 0, 0, 0
        self.state, self.acked = {}, 0

    def _publish(self, pid, n, dup):
        return m.publish(f"load/{self.name}", b"%s %d" % (self.name.encode(), n), self.qos, pid, dup=dup)

    def back(self, out):
        for pid, (n, received) in self.state.items():  # in the order in which they were sent
            out.append(m.ack(m.PUBREL, pid) if received else self._publish(pid, n, True))

    def idle(self, out=None):
        sent = [] if out is None else out
        while self.next < self.limit and len(self.state) < WINDOW:
            self.pid = self.pid % 65535 + 1
            self.state[self.pid] = (self.next, False)
            sent.append(self._publish(self.pid, self.next, False))
            self.next += 1
        if out is None and sent:
            self.sock.sendall(b"".join(sent))

    def take(self, kind, _head, body, out):
        pid = body[0] << 8 | body[1]
        if kind == m.PUBREC:
            n, received = self.state[pid]
            self.acked += not received
            self.state[pid] = (n, True)
            out.append(m.ack(m.PUBREL, pid))
        elif kind in (m.PUBACK, m.PUBCOMP):
            self.acked += kind == m.PUBACK
            self.state.pop(pid, None)


class Subscriber(Peer):
    def __init__(self, port, name, qos):
        super().__init__(port, name)
        self.qos, self.got, self.open, self.dups = qos, {}, set(), 0
        self.subscribed = threading.Event()

    def back(self, out):
        if not self.subscribed.is_set():
            out.append(m.subscribe(1, ("load/#", self.qos)))

    def idle(self, out=None):
        pass

    def take(self, kind, head, body, out):
        if kind == m.SUBACK:
            self.subscribed.set()
        elif kind == m.PUBREL:
            pid = body[0] << 8 | body[1]
            self.open.discard(pid)
            out.append(m.ack(m.PUBCOMP, pid))
        elif kind == m.PUBLISH:
            n = body[0] << 8 | body[1]
            pid, payload = body[2 + n] << 8 | body[3 + n], body[4 + n:]
            self.dups += head >> 3 & 1
            if self.qos == 2:
                out.append(m.ack(m.PUBREC, pid))
                if pid in self.open:
                    return  # known: sent once more
                self.open.add(pid)
            else:
                out.append(m.ack(m.PUBACK, pid))
            who, number = payload.split()
            self.got.setdefault(who.decode(), []).append(int(number))


class Kill(unittest.TestCase):
    def start(self, kind, *args):
        peer = kind(self.broker.port, *args)
        peer.start()
        return peer

    def end(self, *peers):
        for peer in peers:
            peer.over.set()
            peer.join(30)
            if peer.error:
                raise peer.error

    def healthy(self, peers):
        for peer in peers:
            if peer.error:
                raise peer.error

    def kills(self, publishers, rnd):
        for n in range(ROUNDS):
            target = [p.acked + rnd.randrange(1, SHARE) for p in publishers]
            for p in publishers:
                p.limit = p.next + SHARE + WINDOW
            wait_until(lambda: self.healthy(publishers) or any(p.acked >= t for p, t in zip(publishers, target)), 60,
                       lambda: f"round {n}: {[(p.acked, t, p.next) for p, t in zip(publishers, target)]}")
            time.sleep(rnd.random() * 0.01)  # nothing is waited for: it is the moment that is random
            self.broker.kill()
            self.broker.start()

    def check(self, who, publisher, got, qos):
        if qos == 2:
            self.assertEqual(got, list(range(publisher.next)), f"{who} of {publisher.name}")
            return
        first = list(dict.fromkeys(got))
        self.assertEqual(first, list(range(publisher.next)), f"{who} of {publisher.name}")

    def load(self, qos):
        seed = int(os.environ.get("KILL_SEED", time.time_ns() % 1_000_000))
        print(f" KILL_SEED={seed}", end=" ", flush=True)
        rnd = random.Random(seed)
        config = {"mqtt": {"max_queued": 1000000, "max_queued_bytes": "1GB", "max_inflight": 50}, **CONFIG}
        with Broker(config, program=FAST) as self.broker:
            sleeper = self.start(Subscriber, "sleeper", qos)
            awake = [self.start(Subscriber, f"awake{n}", qos) for n in range(2)]
            for s in (sleeper, *awake):
                s.subscribed.wait(30)
            self.end(sleeper)
            publishers = [self.start(Publisher, f"p{n}", qos) for n in range(PUBLISHERS)]
            self.kills(publishers, rnd)
            wait_until(lambda: self.healthy(publishers) or all(p.next == p.limit and not p.state for p in publishers), 60,
                       lambda: f"not all acknowledged: {[(p.next, p.limit, len(p.state)) for p in publishers]}")
            self.end(*publishers)
            late = Subscriber(self.broker.port, "sleeper", qos)
            late.subscribed.set()
            late.connections = 1
            late.start()
            subscribers = [late, *awake]
            for p in publishers:
                wait_until(lambda: self.healthy(subscribers) or all(p.next - 1 in s.got.get(p.name, []) for s in subscribers), 60,
                           lambda: f"the last of {p.name} has not come: {[s.got.get(p.name, [])[-3:] for s in subscribers]}")
            self.end(*subscribers)
            for s in subscribers:
                for p in publishers:
                    self.check(s.name, p, s.got[p.name], qos)
            self.assertTrue(all(p.connections > ROUNDS / 2 for p in publishers))

    def test_kill__qos1_all_arrives_in_order(self):
        self.load(1)

    def test_kill__qos2_all_arrives_once_and_in_order(self):
        self.load(2)
