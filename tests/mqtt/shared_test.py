"""Shared subscriptions on four workers: strategies, and what becomes of messages whose member goes (4.8.2)."""
import collections
import random
import select
import unittest

from cases import Case, both, v5
from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client

FOUR = {"node": {"workers": 4}}
STRATEGIES = ("round_robin", "random", "sticky", "hash_clientid", "hash_topic", "local_first", "least_inflight")


class Got:
    """Takes what comes for some clients, acknowledging, until a count is reached; who got what, in order."""

    def __init__(self, *clients):
        self.clients = list(clients)
        self.of = collections.defaultdict(list)

    def all(self):
        return [p for got in self.of.values() for p in got]

    def look(self):
        """One PINGREQ each: what was on its way to a client is before its answer."""
        for c in self.clients:
            c.send(m.PING)
        for c in self.clients:
            while (p := c.recv()).kind != m.PINGRESP:
                if p.kind == m.PUBLISH:
                    self.of[c].append(p.payload)
                    if p.qos == 1:
                        c.send(m.ack(m.PUBACK, p.pid, c.version))
                    elif p.qos == 2:
                        c.send(m.ack(m.PUBREC, p.pid, c.version))
                elif p.kind == m.PUBREL:
                    c.send(m.ack(m.PUBCOMP, p.pid, c.version))

    def wait(self, count):
        def there():
            self.look()
            return len(self.all()) >= count
        wait_until(there, message=lambda: f"{len(self.all())} of {count} came")
        self.look()
        return self


def payloads(count, stem=""):
    return [f"{stem}{n}".encode() for n in range(count)]


class StrategyCases:
    """Each strategy, with publishers and members on all workers: nothing is lost, nothing comes twice."""
    strategy = None

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({**FOUR, "mqtt": {"shared_strategy": cls.strategy, "max_inflight": 10}})

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def client(self, name, **options):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(name, **options)
        return c

    def members(self, count, qos=1):
        all_of_them = [self.client(f"member{n}") for n in range(count)]
        for c in all_of_them:
            c.subscribe("$share/g/load/#", qos=qos)
        return all_of_them

    def publish(self, publishers=5, topics=6, each=10, qos=1):
        """What each (publisher, topic) sent, in order."""
        sent = collections.defaultdict(list)
        for p in range(publishers):
            c = self.client(f"publisher{p}")
            for n in range(each):
                for t in range(topics):
                    c.publish(f"load/{t}", f"{p} {t} {n}".encode(), qos=qos)
                    sent[p, t].append(f"{p} {t} {n}".encode())
        return sent

    def spread(self, got):
        """Which members got something of each (publisher, topic)."""
        spread = collections.defaultdict(set)
        for c, bodies in got.of.items():
            for body in bodies:
                p, t, _ = map(int, body.split())
                spread[p, t].add(c)
        return spread

    def test_all_arrive_once_and_in_order(self):
        for qos in (1, 2):
            got = Got(*self.members(5, qos))
            sent = self.publish(qos=qos)
            got.wait(300)
            self.assertEqual(sorted(got.all()), sorted(sum(sent.values(), [])))
            for bodies in got.of.values():
                for (p, t), order in sent.items():
                    of_these = [b for b in bodies if b.startswith(f"{p} {t} ".encode())]
                    self.assertEqual(of_these, [b for b in order if b in of_these])
            self.judge(got)
            for c in got.clients:
                c.disconnect()

    def judge(self, got):
        spread = self.spread(got)
        per_member = sorted(len(bodies) for bodies in got.of.values())
        publishers = {p: set().union(*(s for (q, _), s in spread.items() if q == p)) for p, _ in spread}
        topics = {t: set().union(*(s for (_, u), s in spread.items() if u == t)) for _, t in spread}
        if self.strategy == "round_robin":
            self.assertEqual(per_member, [60] * 5)
        elif self.strategy in ("sticky", "hash_clientid"):
            self.assertTrue(all(len(s) == 1 for s in publishers.values()), publishers)
        elif self.strategy == "hash_topic":
            self.assertTrue(all(len(s) == 1 for s in topics.values()), topics)
        elif self.strategy == "local_first":
            self.assertGreaterEqual(len(per_member), 2)
        else:
            self.assertEqual(len(per_member), 5)


for _strategy in STRATEGIES:
    globals()[f"Strategy_{_strategy}"] = type(f"Strategy_{_strategy}", (StrategyCases, unittest.TestCase),
                                              {"strategy": _strategy, "__module__": __name__})
del StrategyCases


class LeastInflight(unittest.TestCase):
    def test_who_does_not_acknowledge__gets_no_more_than_its_share_of_work(self):
        with Broker({**FOUR, "mqtt": {"shared_strategy": "round_robin", "shared_groups": {"other": "random", "job*": "least_inflight"}}}) as broker:
            slow, fast, publisher = (Client(broker.port) for _ in range(3))
            for name, c in (("slow", slow), ("fast", fast), ("publisher", publisher)):
                c.connect(name)
                if c is not publisher:
                    c.subscribe("$share/jobs/x", qos=1)
            taken = {slow: 0, fast: 0}
            for n in range(100):
                publisher.publish("x", b"%d" % n, qos=1)
                one = self.who_has_it(slow, fast)
                taken[one] += 1
                p = one.expect(m.PUBLISH, payload=b"%d" % n)
                if one is fast:
                    fast.send(m.ack(m.PUBACK, p.pid), m.PING)
                    fast.expect(m.PINGRESP)  # it has been seen
            self.assertLess(taken[slow], 10)
            for c in (slow, fast, publisher):
                c.close()


    @staticmethod
    def who_has_it(*clients):
        read_already = [c for c in clients if c.buffer]
        readable = [] if read_already else select.select([c.sock for c in clients], [], [], 60)[0]
        return (read_already or [c for c in clients if c.sock in readable])[0]


class LeaveCases(Case):
    config = {**FOUR, "mqtt": {"max_inflight": 5}}

    def filter(self):
        return f"$share/g/{self.t}"

    def member(self, name, qos=2):
        c = self.keeping(f"{self.t}-{name}")
        c.subscribe(self.filter(), qos=qos)
        return c

    def back(self, name):
        return self.keeping(f"{self.t}-{name}")

    def publish(self, bodies, qos=1):
        p = self.client()
        for body in bodies:
            p.publish(self.t, body, qos=qos)

    def test_member_that_keeps_its_session__goes_and_others_get_its_qos1(self):
        gone, stays = self.member("gone"), self.member("stays")
        self.publish(payloads(40))
        gone.expect(m.PUBLISH)  # it is never acknowledged
        gone.disconnect()
        got = Got(stays).wait(40)
        self.assertEqual(sorted(got.all()), sorted(payloads(40)))
        again = Got(self.back("gone"))
        again.look()
        self.assertEqual(again.all(), [])

    def test_qos2_that_was_sent__waits_for_its_member(self):
        gone, stays = self.member("gone"), self.member("stays")
        self.publish(payloads(2), qos=2)
        first = gone.expect(m.PUBLISH, qos=2)
        gone.close()
        got = Got(stays).wait(1)
        self.assertEqual(len(got.all()), 1)
        again = self.back("gone").receive(self.t, first.payload, qos=2, dup=True)
        self.assertEqual(again.pid, first.pid)
        got.look()
        self.assertEqual(got.all() + [first.payload], sorted(payloads(2), reverse=got.all()[0] == b"1"))

    def test_all_away__who_comes_first_gets_what_waits(self):
        members = [self.member(str(n)) for n in range(3)]
        for c in members:
            c.disconnect()
        self.publish(payloads(30))
        got = Got(self.back("1")).wait(30)
        self.assertEqual(sorted(got.all()), sorted(payloads(30)))

    def test_the_only_member__goes_and_comes_and_the_order_is_kept(self):
        member = self.member("only", qos=1)
        p = self.client()
        seen, sent = [], payloads(60)
        for n, body in enumerate(sent):
            p.publish(self.t, body, qos=1)
            if n % 20 == 10:
                member.disconnect()
            elif n % 20 == 15:
                member = self.back("only")
                got = Got(member).wait(n + 1 - len(seen))
                seen += got.all()
        seen += Got(member).wait(60 - len(seen)).all()
        self.assertEqual(list(dict.fromkeys(seen)), sent)

    def test_thousands_of_groups__get_a_copy_each(self):
        c = self.client()
        groups = 3000
        for start in range(0, groups, 1000):
            pid = c.next_pid()
            c.send(m.subscribe(pid, *[(f"$share/g{n}/{self.t}", 0) for n in range(start, start + 1000)], version=self.version))
            c.expect(m.SUBACK, pid=pid)
        self.publish([b"x"])
        got = Got(c).wait(groups)
        self.assertEqual(len(got.all()), groups)

    def test_members_come_and_go_under_load__nothing_is_lost(self):
        rng = random.Random(7)
        keeper = self.client(f"{self.t}-keeper")
        keeper.subscribe(self.filter(), qos=1)
        got, doubtful = Got(keeper), 0
        publishers = [self.client() for _ in range(3)]
        for turn in range(30):
            c = self.keeping(f"{self.t}-{rng.randrange(6)}", clean=rng.random() < .5)
            c.send(m.subscribe(c.next_pid(), (self.filter(), 1), version=self.version))  # messages may come before the SUBACK
            for n, p in enumerate(publishers):
                for k in range(5):
                    p.send(m.publish(self.t, f"{n} {turn} {k}".encode(), 1, p.next_pid(), version=self.version))
            got.clients.append(c)
            if rng.random() < .5:
                got.look()
            got.clients.pop()
            for p in publishers:
                for _ in range(5):
                    p.expect(m.PUBACK)
            doubtful += 10  # of the window, its acknowledgements perhaps unread
            c.close() if rng.random() < .5 else c.disconnect()
        everything = {f"{n} {turn} {k}".encode() for n in range(3) for turn in range(30) for k in range(5)}

        def complete():
            got.look()
            return set(got.all()) == everything
        wait_until(complete, message=lambda: f"missing: {sorted(everything - set(got.all()))[:20]}")
        self.assertLessEqual(len(got.all()) - len(everything), doubtful)


LeaveV311, LeaveV5 = both(LeaveCases)
del LeaveCases


class Restart(unittest.TestCase):
    def client(self, name, clean=False):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(name, clean=clean, properties={"session_expiry": 300})
        return c

    def test_killed__what_waits_at_a_member_goes_to_one_who_connects(self):
        self.broker = Broker(FOUR)
        self.addCleanup(self.broker.stop)
        for name in ("a", "b"):
            c = self.client(name)
            c.subscribe("$share/g/t/#", qos=1)
            c.disconnect()
        p = self.client("p")
        for n in range(20):
            p.publish("t/1", b"%d" % n, qos=1)
        self.broker.kill()
        self.broker.start()
        got = Got(self.client("b")).wait(20)
        self.assertEqual(sorted(got.all()), sorted(payloads(20)))
        again = Got(self.client("a"))
        again.look()
        self.assertEqual(again.all(), [])


class RefuseCases(Case):
    """3.1.1 has no reason codes to refuse with."""
    config = FOUR

    def test_refused__is_dropped_and_goes_to_nobody_else(self):
        refuses, other = self.subscriber(f"$share/g/{self.t}", qos=1), self.subscriber(f"$share/g/{self.t}", qos=1)
        p = self.client()
        for body in payloads(2):  # one each
            p.publish(self.t, body, qos=1)
        got = Got(other).wait(1)
        taken = refuses.expect(m.PUBLISH)
        refuses.send(m.ack(m.PUBACK, taken.pid, m.V5, code=0x80))
        refuses.expect_silence()
        refuses.disconnect()
        got.look()
        self.assertNotIn(taken.payload, got.all())


RefuseV5 = v5(RefuseCases)
del RefuseCases
