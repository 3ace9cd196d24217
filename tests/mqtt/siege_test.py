"""What a broker meets on a bad day: clients that go and come at the worst moment, and such as ask for too much."""
import random
import select
import time
import unittest

from cases import Case, both, ours_only, v5
from harness import packet as m
from harness.broker import wait_until
from harness.client import Closed

ROWS = {"connectors": {"rows": {"type": "null", "delay": "20ms"}},
        "rules": {"all": {"sql": 'SELECT topic FROM "rows/#"',
                          "actions": [{"connector": "rows", "buffer": {"sync": "tick"}}]}}}


class LastMomentCases(Case):
    def test_takeover__session_that_ends_with_its_connection_is_not_inherited(self):
        a = self.client(self.me)
        a.subscribe(self.t)
        b = self.raw()
        b.connect(self.me, clean=False, session_present=False)
        self.client().publish(self.t, b"x")
        b.expect_silence()

    def test_takeover__will_of_a_session_that_ends_is_sent_at_once(self):
        w = self.subscriber()
        properties = {"will_delay": 300} if self.version == m.V5 else None
        self.client(self.me, will=m.Will(self.t, properties=properties))
        self.raw().connect(self.me, clean=False)
        w.receive(self.t, b"gone", timeout=2)

class SameMomentCases(Case):
    version = m.V5

    def test_takeover__after_goodbye_no_will(self):
        """DISCONNECT and the next CONNECT arrive in the same moment. Whichever is read first: who was not told that
        another took over has said goodbye in time, and leaves neither a will nor a session."""
        w = self.subscriber()
        for _ in range(100):
            a, b = self.raw(), self.raw()
            a.connect(self.me, will=m.Will(self.t), clean=False)
            a.send(m.disconnect(m.V5))
            b.send(m.connect(self.me, version=m.V5, clean=False))
            b.expect(m.CONNACK, code=0, session_present=False)
            try:
                a.expect(m.DISCONNECT, code=0x8E)
                w.receive(self.t, b"gone")
            except Closed:
                w.expect_silence(0)
            a.close()
            b.disconnect()


class ReceiveMaximumCases(Case):
    version = m.V5

    def test_resume__sends_no_more_than_the_new_receive_maximum(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        p = self.client()
        for n in range(20):
            p.publish(self.t, b"%d" % n, qos=1)
        for n in range(20):
            s.expect(m.PUBLISH, payload=b"%d" % n)
        s.disconnect()
        p.publish(self.t, b"20", qos=1)
        s = self.keeping(properties={"receive_maximum": 3})
        first = [s.expect(m.PUBLISH, payload=b"%d" % n, dup=True) for n in range(3)]
        s.expect_silence()
        for n in range(3, 21):  # the oldest is acknowledged, the next one comes
            s.send(m.ack(m.PUBACK, first.pop(0).pid, m.V5))
            first.append(s.expect(m.PUBLISH, payload=b"%d" % n, dup=n < 20))

    def test_resume__acknowledged_before_it_is_sent_again(self):
        s = self.keeping()
        s.subscribe(self.t, qos=2)
        p = self.client()
        for n in range(6):
            p.publish(self.t, b"%d" % n, qos=2)
        pids = [s.expect(m.PUBLISH).pid for _ in range(6)]
        s.close()
        s = self.keeping(properties={"receive_maximum": 1})
        s.expect(m.PUBLISH, pid=pids[0])
        s.send(m.ack(m.PUBREC, pids[5], m.V5))
        s.expect(m.PUBREL, pid=pids[5])
        s.send(m.ack(m.PUBCOMP, pids[5], m.V5))
        s.expect_silence()
        s.send(m.ack(m.PUBREC, pids[0], m.V5))
        s.expect(m.PUBREL, pid=pids[0])
        s.send(m.ack(m.PUBCOMP, pids[0], m.V5))
        s.expect(m.PUBLISH, pid=pids[1], payload=b"1", dup=True)


@ours_only("rules")
class Rows(Case, unittest.TestCase):
    """Rules whose rows have to be safe before a publish is acknowledged."""
    version = m.V5
    config = ROWS

    def test_qos2__as_many_as_the_broker_allows(self):
        c = self.client()
        for _ in range(5):
            c.send(*[m.publish("rows/a", b"{}", 2, n + 1, m.V5) for n in range(1024)])
            for n in range(1024):
                c.expect(m.PUBREC, pid=n + 1)
            c.send(*[m.ack(m.PUBREL, n + 1) for n in range(1024)])
            for n in range(1024):
                c.expect(m.PUBCOMP, pid=n + 1)

    def test_qos2__connections_break_while_rows_are_written(self):
        for turn in range(20):
            c = self.keeping()
            c.send(*[m.publish("rows/b", b"{}", 2, turn * 40 + n + 1, m.V5) for n in range(40)])
            time.sleep(random.random() * 0.004)
            c.close()
            if turn % 3 == 0:
                time.sleep(0.05)
        c = self.keeping()
        c.send(*[m.publish("rows/b", b"{}", 2, n + 1, m.V5, dup=True) for n in range(800)])
        self.assertEqual({c.expect(m.PUBREC).pid for _ in range(800)}, set(range(1, 801)))


@ours_only("limits")
class Greed(Case, unittest.TestCase):
    """Memory and time stay bounded whatever a client asks for."""
    version = m.V311
    config = {"node": {"workers": 2}}

    def test_circle__two_clients_that_flood_each_other_and_acknowledge_nothing(self):
        a, b = self.client(), self.client()
        a.subscribe(self.t + "/a", qos=1)
        b.subscribe(self.t + "/b", qos=1)
        flood = {c: b"".join(m.publish(t, bytes(1000), 1, n + 1) for n in range(100))
                 for c, t in ((a, self.t + "/b"), (b, self.t + "/a"))}
        left, end, highest = {a: b"", b: b""}, time.monotonic() + 3, 0
        while time.monotonic() < end:
            readable, writable, _ = select.select([a.sock, b.sock], [a.sock, b.sock], [], 0.2)
            for c in (a, b):
                if c.sock in readable:
                    self.assertTrue(c.sock.recv(1 << 20), "closed")
                if c.sock in writable:
                    left[c] = left[c] or flood[c]
                    left[c] = left[c][c.sock.send(left[c]):]
            page = self.broker.get("/metrics")[1]
            queued = next(float(x.split()[1]) for x in page.splitlines() if x.startswith("sluice_queued_messages "))
            highest = max(highest, queued)
        self.assertLessEqual(highest, 2 * 8 * 1000 + 2000)  # max_queued, and what is bearable beyond

    def test_topics__long_ones_that_never_come_back_are_not_kept(self):
        p = self.client()
        p.publish("a" * 60000, b"", qos=1)
        before = self.broker.rss_kb()
        for n in range(10000):
            p.send(m.publish(f"{n}/{'x' * 60000}"))
        p.publish("end", b"", qos=1)
        # 64 MB a worker, and what a sanitizer keeps of freed memory; all of them would be 600 MB.
        self.assertLess(self.broker.rss_kb() - before, 450_000)

    def test_flood__who_does_not_keep_up_can_still_publish_and_unsubscribe(self):
        slow, p, w = self.client(), self.client(), self.subscriber(self.t + "/out")
        slow.subscribe(self.t, qos=0)
        flood = m.publish(self.t, bytes(50000))
        for _ in range(400):  # 20 MB: more than sockets hold
            p.send(flood)
        p.publish("end", b"", qos=1)
        for n in range(20):
            slow.send(m.publish(self.t + "/out", b"%d" % n))
            w.receive(self.t + "/out", b"%d" % n, timeout=2)
            p.send(flood)
        slow.send(m.unsubscribe(9, self.t))
        while slow.recv().kind != m.UNSUBACK:
            pass

    def test_answers__who_sends_and_never_reads_is_not_read_and_then_closed(self):
        c = self.client(keepalive=1)
        c.sock.settimeout(1)
        with self.assertRaises(OSError):
            for _ in range(5000):  # more than sockets hold: answers are as long as questions
                c.send(m.PING * 30000)
        self.assertLess(self.broker.rss_kb(), 700_000)
        page = "sluice_keepalive_timeouts_total 1"
        wait_until(lambda: page in self.broker.get("/metrics")[1], 10)

    def test_shared__very_many_in_one_packet(self):
        c = self.client()
        c.send(m.subscribe(1, *[(f"$share/g/{self.t}/{n}", 0) for n in range(40000)]))
        self.assertEqual(len(c.expect(m.SUBACK, timeout=20).codes), 40000)
        c.close()
        self.client().publish(self.t, b"", qos=1)

    def test_retained__one_packet_that_asks_for_everything_ten_thousand_times(self):
        p = self.client()
        for n in range(2000):
            p.publish(f"{self.t}/{n}", b"x", qos=1, retain=True)
        c = self.client()
        before = self.broker.rss_kb()
        c.send(m.subscribe(1, *[(self.t + "/#", 0)] * 10000))
        self.assertEqual(len(c.expect(m.SUBACK).codes), 10000)
        self.assertLess(self.broker.rss_kb() - before, 60_000)
        started = time.monotonic()
        p.publish("other", b"", qos=1)
        self.assertLess(time.monotonic() - started, 20)  # all of it at once would take minutes
        got = set()
        while len(got) < 2000:
            got.add(c.expect(m.PUBLISH, retain=True).topic)
        c.expect_silence()
        for n in range(2000):
            p.publish(f"{self.t}/{n}", b"", qos=1, retain=True)


class ManyCases(Case):
    """Subscriptions by the thousand, made and ended in turns."""
    config = {"node": {"workers": 2}}

    def test_subscribe__very_many_are_taken_in_turns(self):
        n, bad = 5000, {1, 127, 128, 129, 4999}
        filters = [f"{self.t}/#/x" if k in bad else f"{self.t}/{k}" for k in range(n)]
        refused = 0x8F if self.version == m.V5 else 0x80
        c, p = self.client(), self.client()
        c.send(m.subscribe(1, *[(f, k % 3) for k, f in enumerate(filters)], version=self.version) + m.PING)
        self.assertEqual(list(c.expect(m.SUBACK, pid=1).codes), [refused if k in bad else k % 3 for k in range(n)])
        c.expect(m.PINGRESP)  # what stands behind it comes behind it
        for k in (0, 126, 130, 2500, 4998):
            p.publish(f"{self.t}/{k}", b"x", qos=0)
            c.receive(f"{self.t}/{k}", b"x")
        c.send(m.unsubscribe(2, *filters, version=self.version) + m.PING)
        codes = c.expect(m.UNSUBACK, pid=2).codes
        if self.version == m.V5:
            self.assertEqual(list(codes), [refused if k in bad else 0 for k in range(n)])
        c.expect(m.PINGRESP)
        p.publish(f"{self.t}/4998", b"x", qos=1)
        c.expect_silence(0.02)

    def test_subscribe__very_many_of_a_client_that_does_not_wait(self):
        for k in range(4):
            c = self.client()
            c.send(m.subscribe(1, *[(f"{self.t}/{k}/{n}", 0) for n in range(5000)], version=self.version))
            c.close()
        wait_until(lambda: "sluice_subscriptions 0\n" in self.broker.get("/metrics")[1], 10)
        c = self.client(self.me)
        c.send(m.subscribe(1, *[(f"{self.t}/{n}", 0) for n in range(5000)], version=self.version))
        again = self.subscriber(self.t, client_id=self.me)  # takes over
        self.client().publish(self.t, b"x", qos=1)
        again.receive(self.t, b"x")
        again.close()
        wait_until(lambda: "sluice_subscriptions 0\n" in self.broker.get("/metrics")[1], 10)

    def test_subscribe__the_same_client_comes_back_while_very_many_end(self):
        filters = [(f"{self.t}/{n}", 0) for n in range(20000)]
        c = self.client(self.me)
        c.send(m.subscribe(1, *filters, version=self.version))
        self.assertEqual(len(c.expect(m.SUBACK, timeout=20).codes), 20000)
        for n in range(3):
            c = self.client(self.me)
            c.subscribe(f"{self.t}/{n}", qos=1)
            p = self.client()
            for k in range(10):
                p.publish(f"{self.t}/{k}", b"x", qos=1)
            c.expect(m.PUBLISH, topic=f"{self.t}/{n}")
            c.expect_silence(0.02)
        c.close()
        wait_until(lambda: "sluice_subscriptions 0\n" in self.broker.get("/metrics")[1], 10)


class SharedCases(Case):
    """What a member of a group had not acknowledged when its session ended, goes to another member: 4.8.2."""
    config = {"node": {"workers": 4}}

    def test_shared__messages_of_a_session_that_ends(self):
        """Those in its window and those in its queue."""
        gone = self.client()
        gone.subscribe(f"$share/g/{self.t}", qos=1)
        stays = self.client()
        stays.subscribe(f"$share/g/{self.t}", qos=1)
        p = self.client()
        for n in range(200):
            p.publish(self.t, b"%d" % n, qos=1)
        gone.close()
        got = []
        while len(set(got)) < 200:
            q = stays.expect(m.PUBLISH)
            stays.send(m.ack(m.PUBACK, q.pid, self.version))
            got.append(int(q.payload))
        self.assertEqual(len(got), 200)
        stays.expect_silence()

    def test_shared__qos2_that_was_sent_goes_to_nobody_else(self):
        gone = self.client()
        gone.subscribe(f"$share/g/{self.t}", qos=2)
        p = self.client()
        p.publish(self.t, b"once", qos=2)
        gone.expect(m.PUBLISH, payload=b"once")
        stays = self.client()
        stays.subscribe(f"$share/g/{self.t}", qos=2)
        gone.disconnect()
        stays.expect_silence()

    def test_other_protocols__are_not_waited_for(self):
        c = self.raw()
        c.send(b"GET / HTTP/1.1\r\n")
        c.expect_closed(timeout=2)


@ours_only("limits")
class ShareLimit(Case, unittest.TestCase):
    """mqtt.max_subscriptions counts shared ones as well; one that is there already may be changed."""
    version = m.V5
    config = {"mqtt": {"max_subscriptions": 3}}

    def test_limit__shared_subscriptions_count(self):
        c = self.client()
        c.send(m.subscribe(1, ("$share/g/a", 0), ("b", 0), ("$share/h/a", 0), ("$share/i/a", 0), ("c", 0), version=m.V5))
        c.expect(m.SUBACK, codes=[0, 0, 0, 0x97, 0x97])
        c.send(m.subscribe(2, ("b", 1), ("$share/g/a", 1), version=m.V5))
        c.expect(m.SUBACK, codes=[1, 1])


LastMomentV311, LastMomentV5 = both(LastMomentCases)
SameMomentV5 = v5(SameMomentCases)
ReceiveMaximumV5 = v5(ReceiveMaximumCases)
ManyV311, ManyV5 = both(ManyCases)
SharedV311, SharedV5 = both(SharedCases)
