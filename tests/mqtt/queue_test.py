"""Queues of sessions: what is dropped when they are full, QoS 0 for who is away, and order on every way."""
import collections
import itertools
import random
import re
import threading
import time
import unittest

from cases import Case, both
from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client


class QueueCases(Case):
    config = {"node": {"workers": 2}, "mqtt": {"max_queued": 4, "queue_full": "drop_oldest", "queue_qos0": True},
              "rules": {"told": {"sql": 'SELECT reason, payload FROM "$events/message/delivery_dropped"',
                                 "actions": [{"republish": {"topic": "told", "payload": "${reason} ${payload}"}}]}}}

    def away(self):
        c = self.keeping()
        c.subscribe(self.t, qos=2)
        c.disconnect()

    def metric(self, name):
        return int(re.search(rf"^{re.escape(name)} (\d+)$", self.broker.get("/metrics")[1], re.M)[1])

    def test_full__the_oldest_goes_and_is_told(self):
        told = self.subscriber("told")
        self.away()
        before = self.metric('sluice_messages_dropped_total{reason="queue_full"}')
        p = self.client()
        for n in range(6):
            p.publish(self.t, b"%d" % n, qos=1)
        for n in range(2):
            told.receive("told", b"queue_full %d" % n)
        self.assertEqual(self.metric('sluice_messages_dropped_total{reason="queue_full"}') - before, 2)
        c = self.keeping()
        for n in range(2, 6):
            c.receive(self.t, b"%d" % n, qos=1)
        c.expect_silence()

    def test_qos0__waits_in_order_with_the_others(self):
        self.away()
        p = self.client()
        p.publish(self.t, b"a", qos=0)
        p.publish(self.t, b"b", qos=1)
        p.publish(self.t, b"c", qos=0)
        p.publish(self.t, b"d", qos=2)
        c = self.keeping()
        for body, qos in ((b"a", 0), (b"b", 1), (b"c", 0)):
            c.receive(self.t, body, qos=qos)
        c.receive(self.t, b"d", qos=2)

    def test_full__qos0_goes_first(self):
        self.away()
        p = self.client()
        for n, qos in enumerate((1, 0, 1, 0, 1, 1)):
            p.publish(self.t, b"%d" % n, qos=qos)
        c = self.keeping()
        for n in (0, 2, 4, 5):
            c.receive(self.t, b"%d" % n, qos=1)
        c.expect_silence()


QueueV311, QueueV5 = both(QueueCases)
del QueueCases


class Order(unittest.TestCase):
    """Sequence numbers per publisher, topic and QoS, on four workers, through windows, queues, holds and reconnections."""
    TOPICS, PUBLISHERS, EACH = 4, 4, 60

    def setUp(self):
        self.broker = Broker({"node": {"workers": 4}, "mqtt": {"max_inflight": 7, "max_queued": 100000, "queue_qos0": True}})
        self.addCleanup(self.broker.stop)
        self.done = threading.Event()
        self.failures = []

    def connect(self, name, version=m.V5, **options):
        c = Client(self.broker.port, version)
        c.connect(name, properties={"session_expiry": 600} if version == m.V5 else None, **options)
        return c

    def publisher(self, name, seed):
        rng = random.Random(seed)
        c = self.connect(name, m.V5)
        number = collections.Counter()
        for _ in range(self.EACH):
            waiting = 0
            for _ in range(rng.randrange(1, 12)):
                topic, qos = rng.randrange(self.TOPICS), rng.randrange(3)
                key = (topic, qos)
                number[key] += 1
                c.send(m.publish(f"o/{topic}", f"{name} {topic} {qos} {number[key]}".encode(), qos,
                                 c.next_pid() % 60000 + 1 if qos else None, version=m.V5, retain=rng.random() < .1))
                waiting += qos > 0
            while waiting:
                p = c.recv()
                if p.kind == m.PUBREC:
                    c.send(m.ack(m.PUBREL, p.pid, m.V5))
                else:
                    waiting -= 1
        c.disconnect()
        with self.lock:
            self.sent.update({(name, *key): count for key, count in number.items()})

    def take(self, c, got, turns, rng):
        """Reads and acknowledges for some packets; order is per (publisher, topic, QoS)."""
        for _ in range(turns):
            try:
                p = c.recv(0.05)
            except TimeoutError:
                return
            if p.kind == m.PUBLISH:
                if not p.retain:
                    got.append((p.payload, p.dup))
                if p.qos:
                    c.send(m.ack(m.PUBACK if p.qos == 1 else m.PUBREC, p.pid, c.version))
            elif p.kind == m.PUBREL:
                c.send(m.ack(m.PUBCOMP, p.pid, c.version))

    def subscriber(self, name, version, seed, filters):
        rng = random.Random(seed)
        got = self.got[name] = []
        c = self.connect(name, version, clean=False)
        for f in filters:
            c.send(m.subscribe(c.next_pid(), (f, 2), version=version))
        self.ready.release()
        while not self.done.is_set():
            self.take(c, got, rng.randrange(1, 200), rng)
            what = rng.random()
            if what < .15:
                c.close() if what < .1 else c.disconnect()
                if self.done.wait(rng.random() * .05):
                    break
                c = self.connect(name, version, clean=False)
        self.last[name] = c

    def judge(self, name, got):
        """The numbers rise; QoS 0 may have holes where the connection broke, QoS 1 may come again (it is marked), nothing else."""
        last = collections.Counter()
        seen = collections.defaultdict(set)
        for body, dup in got:
            publisher, topic, qos, number = body.decode().split()
            key, number = (publisher, int(topic), int(qos)), int(number)
            if number <= last[key]:
                self.assertEqual((key[2], dup, number in seen[key]), (1, True, True), f"{name}: {body} after {last[key]}")
                continue
            last[key] = number
            seen[key].add(number)
        return {key: len(numbers) for key, numbers in seen.items()}

    def test_order__holds_per_publisher_and_topic(self):
        self.got, self.last, self.sent = {}, {}, {}
        self.lock, self.ready = threading.Lock(), threading.Semaphore(0)
        names = ["plain", "wild", "old", "all"]
        filters = {"plain": [f"o/{t}" for t in range(self.TOPICS)], "wild": ["o/+", "o/1"], "old": ["o/#"], "all": ["#"]}
        takers = [threading.Thread(target=self.run_safely, args=(self.subscriber, n, m.V311 if n == "old" else m.V5, i, filters[n]))
                  for i, n in enumerate(names)]
        for t in takers:
            t.start()
        for _ in names:
            self.ready.acquire()
        publishers = [threading.Thread(target=self.run_safely, args=(self.publisher, f"p{i}", 100 + i)) for i in range(self.PUBLISHERS)]
        for t in publishers:
            t.start()
        for t in publishers:
            t.join()
        self.done.set()
        for t in takers:
            t.join()
        self.assertEqual(self.failures, [])
        for name in names:
            version = m.V311 if name == "old" else m.V5
            got = self.got[name]
            self.last[name].close()
            c = self.connect(name, version, clean=False)
            rng = random.Random(1)
            wanted = {key: n for key, n in self.sent.items() if key[2] > 0}

            def whole():
                self.take(c, got, 10000, rng)
                counts = self.judge(name, got)
                return all(counts.get(key) == n for key, n in wanted.items())
            wait_until(whole, message=lambda: f"{name} misses messages of QoS 1 or 2")
            c.close()

    def run_safely(self, fn, *args):
        try:
            fn(*args)
        except Exception as e:  # told by the test
            self.failures.append(repr(e))
            self.ready.release()


class Slow(unittest.TestCase):
    """A consumer that takes nothing: others' round trips, of other publishers, cost what they cost before it."""

    @staticmethod
    def median_of(c, times=60):
        took = []
        for n in range(times):
            began = time.perf_counter()
            c.send(m.publish("fast", b"%d" % n))
            c.expect(m.PUBLISH, topic="fast", payload=b"%d" % n)
            took.append(time.perf_counter() - began)
        return sorted(took)[times // 2]

    def test_slow_consumer__holds_its_own_publishers_and_nobody_else(self):
        with Broker({"node": {"workers": 2}, "mqtt": {"max_queued": 100, "max_inflight": 5}}) as broker:
            clients = {n: Client(broker.port) for n in ("slow", "feeder", "other")}
            for name, c in clients.items():
                c.connect(name)
            slow, feeder, other = clients.values()
            slow.subscribe("heavy", qos=1)
            other.subscribe("fast")
            before = self.median_of(other)
            feeder.sock.setblocking(False)
            for n in itertools.count(1):  # until it is not read any more: what the sockets hold is full
                packet = m.publish("heavy", b"x" * 1000, 1, n % 60000 + 1)
                try:
                    if feeder.sock.send(packet) < len(packet):
                        break
                except BlockingIOError:
                    break
            ratio = min(self.median_of(other) / before for _ in range(3))
            self.assertLess(ratio, 5, "others wait for a slow consumer")
            for c in clients.values():
                c.close()


if __name__ == "__main__":
    unittest.main()
