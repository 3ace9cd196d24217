"""What changes with every message outlives the broker: queues, messages under way, QoS 2 ids; byte for byte where MQTT says so."""
import json
import re
import time

from harness import packet as m
from harness.broker import wait_until
from restore_test import Restored


class Kept(Restored):
    def away(self, client_id, *filters, qos=2, version=m.V5, **options):
        """A session with these subscriptions, whose client has gone."""
        c = self.keeping(client_id, version=version, **options)
        for f in filters:
            c.subscribe(f, qos=qos)
        c.disconnect()

    def metric(self, name):
        return int(float(re.search(rf"^{name} (\S+)$", self.broker.get("/metrics")[1], re.M)[1]))

    def take(self, c, count):
        """So many messages, answered as their QoS asks, in the order in which they came."""
        got, closing = [], 0
        while len(got) < count or closing:
            p = c.recv()
            if p.kind == m.PUBREL:
                c.send(m.ack(m.PUBCOMP, p.pid, c.version))
                closing -= 1
                continue
            self.assertEqual(p.kind, m.PUBLISH, p)
            got.append(p)
            if p.qos:
                c.send(m.ack(m.PUBACK if p.qos == 1 else m.PUBREC, p.pid, c.version))
            closing += p.qos == 2
        return got

    def texts(self, c, count):
        return [p.payload.decode() for p in self.take(c, count)]


class Queues(Kept):
    def test_queue__in_order_after_a_kill_and_after_a_stop(self):
        for how in ("kill", "stop"):
            for version in (m.V311, m.V5):
                with self.subTest(how=how, version=version):
                    t = f"{how}{version}"
                    self.away(t, t, version=version)
                    p = self.client()
                    for n in range(1, 6):
                        p.publish(t, b"%d" % n, qos=1 + n % 2)
                    self.restart(how)
                    c = self.back(t, version=version)
                    got = self.take(c, 5)
                    self.assertEqual([(p.payload, p.qos, p.dup) for p in got],
                                     [(b"%d" % n, 1 + n % 2, False) for n in range(1, 6)])
                    c.expect_silence()

    def test_under_way__sent_again_with_their_packet_ids_in_their_order(self):
        """[MQTT-4.4.0-1, MQTT-4.6.0-1]"""
        s, p = self.keeping("s"), self.client()
        s.subscribe("t", qos=2)
        for n in range(1, 6):
            p.publish("t", b"%d" % n, qos=2 if n in (2, 4) else 1)
        pids = [s.expect(m.PUBLISH, payload=b"%d" % n).pid for n in range(1, 6)]
        s.send(m.ack(m.PUBACK, pids[0], m.V5), m.ack(m.PUBREC, pids[3], m.V5))
        s.expect(m.PUBREL, pid=pids[3])
        self.restart()
        s = self.raw()
        s.connect("s", clean=False, properties={"session_expiry": 300}, session_present=True)
        got = [s.recv() for _ in range(4)]
        self.assertEqual([(p.kind, p.pid) for p in got],
                         [(m.PUBREL, pids[3]), (m.PUBLISH, pids[1]), (m.PUBLISH, pids[2]), (m.PUBLISH, pids[4])])
        self.assertEqual([(p.payload, p.qos, p.dup) for p in got[1:]], [(b"2", 2, True), (b"3", 1, True), (b"5", 1, True)])
        s.send(m.ack(m.PUBCOMP, pids[3], m.V5), m.ack(m.PUBACK, pids[2], m.V5), m.ack(m.PUBACK, pids[4], m.V5),
               m.ack(m.PUBREC, pids[1], m.V5))
        s.expect(m.PUBREL, pid=pids[1])
        s.send(m.ack(m.PUBCOMP, pids[1], m.V5))
        s.expect_silence()
        self.restart()
        self.back("s").expect_silence()

    def test_qos2_from_a_client__is_taken_once(self):
        """[MQTT-4.3.3-10]: it sends again what it had no PUBREC for, and PUBREL what it had no PUBCOMP for."""
        self.away("s", "t")
        p = self.keeping("p")
        p.send(m.publish("t", b"once", 2, 9, version=m.V5))
        p.expect(m.PUBREC, pid=9)
        self.restart()
        p = self.back("p")
        p.send(m.publish("t", b"once", 2, 9, version=m.V5, dup=True))
        p.expect(m.PUBREC, pid=9)
        self.restart()
        p = self.back("p")
        p.send(m.ack(m.PUBREL, 9, m.V5))
        p.expect(m.PUBCOMP, pid=9, code=0)
        self.restart()
        p = self.back("p")
        p.send(m.ack(m.PUBREL, 9, m.V5))
        p.expect(m.PUBCOMP, pid=9, code=0x92)
        p.publish("t", b"twice", qos=2)
        s = self.back("s")
        self.assertEqual(self.texts(s, 2), ["once", "twice"])
        s.expect_silence()

    def test_message__is_what_it_was(self):
        s = self.keeping("s")
        s.subscribe("t/#", qos=1, options=8, properties={"subscription_id": 77})
        s.subscribe("t/+", qos=1, properties={"subscription_id": 5})
        s.disconnect()
        props = {"payload_format": 1, "content_type": "text/x", "response_topic": "r", "correlation_data": b"\x00\x01",
                 "user": [("a", "b"), ("a", "c")], "message_expiry": 1000}
        self.client("p").publish("t/1", "ä".encode(), qos=1, retain=True, properties=props)
        self.restart()
        got = self.back("s").receive("t/1", "ä".encode(), qos=1, retain=True)
        self.assertEqual(sorted(got.props.pop("subscription_id")), [5, 77])
        self.assertIn(got.props.pop("message_expiry"), range(900, 1001))
        self.assertEqual(got.props, {k: v for k, v in props.items() if k != "message_expiry"})

    def test_time__passes_for_messages_while_the_broker_is_away(self):
        self.away("s", "t")
        p = self.client()
        p.publish("t", b"short", qos=1, properties={"message_expiry": 1})
        p.publish("t", b"long", qos=1, properties={"message_expiry": 100})
        self.broker.kill()
        wait_until(self.more_than_a_second(), 60)
        self.broker.start()
        s = self.back("s")
        s.receive("t", b"long", qos=1)
        s.expect_silence()

    def test_clean_start__ends_what_was_kept(self):
        self.away("s", "t")
        self.client().publish("t", b"1", qos=1)
        self.keeping("s", clean=True).disconnect()
        self.restart()
        self.back("s").expect_silence()

    def test_workers__may_be_more_or_fewer(self):
        names = [f"s{n}" for n in range(12)]
        for name in names:
            self.away(name, "t", f"own/{name}")
        for workers in (4, 1, 3):
            p = self.client("p")
            p.publish("t", b"all %d" % workers, qos=2)
            for name in names:
                p.publish(f"own/{name}", name.encode(), qos=1)
            self.restart(node={"workers": workers})
        for name in names:
            s = self.back(name)
            self.assertEqual(self.texts(s, 6), ["all 4", name, "all 1", name, "all 3", name])
            s.expect_silence()

    def test_will_and_republished__are_kept_like_any_other(self):
        self.restart(rules={"r": {"sql": "SELECT payload.v AS v FROM 'in'",
                                  "actions": [{"republish": {"topic": "out", "payload": "${v}", "qos": 1}}]}})
        self.away("s", "out", "gone")
        w = self.client(will=m.Will("gone", b"w", 1))
        w.close()
        self.client().publish("in", json.dumps({"v": 5}).encode(), qos=1)
        wait_until(lambda: self.metric("sluice_queued_messages") == 2, 30)
        self.restart()
        s = self.back("s")
        got = sorted(s.expect(m.PUBLISH).payload for _ in range(2))
        self.assertEqual(got, [b"5", b"w"])

    def test_old_files__go_soon_after_a_start(self):
        folder = self.broker.folder / "data/store/queues"
        self.away("s", "t")
        p = self.client()
        for n in range(50):
            p.publish("t", b"x" * 20000, qos=1)
        for _ in range(4):
            self.restart()
            runs = lambda: {re.match(r"(\d+)-", f.name)[1] for f in folder.iterdir() if f.suffix == ".queue"}
            wait_until(lambda: len(runs()) == 1, 60)
            size = sum(f.stat().st_size for f in folder.glob("*.queue"))
            self.assertLess(size, 3_500_000)
        s = self.back("s")
        self.assertEqual(len(self.take(s, 50)), 50)
        s.expect_silence()
        self.restart()
        self.back("s").expect_silence()

    def test_damage__is_cut_and_said(self):
        self.restart(node={"workers": 1})  # else it stands in the publisher's worker's log, too
        self.away("s", "t")
        p = self.client()
        p.publish("t", b"first", qos=1)
        p.publish("t", b"second", qos=1)
        self.broker.kill()
        log = max((self.broker.folder / "data/store/queues").glob("*.queue"), key=lambda f: f.stat().st_size)
        bytes_ = bytearray(log.read_bytes())
        bytes_[bytes_.rindex(b"second")] ^= 1
        log.write_bytes(bytes_)
        self.broker.start()
        self.assertIn("queue log cut at its first bad frame", self.broker.log())
        self.assertGreater(self.metric("sluice_queue_log_cut_bytes_total"), 0)
        s = self.back("s")
        s.receive("t", b"first", qos=1)
        s.expect_silence()


class Synced(Queues):
    """The same with a log that is synced before anything is acknowledged."""
    config = {"persistence": {"sync": "tick"}}


class Full(Kept):
    """As large as it may be."""
    config = {"node": {"workers": 1}, "persistence": {"max_disk": "1MB", "segment_size": "64KB"},
              "mqtt": {"max_queued": 100000}}

    def test_full__publishers_wait_others_go_on_and_it_goes_on(self):
        self.away("s", "t", qos=1)
        p = self.client("p")
        for n in range(150):
            p.send(m.publish("t", b"%04d" % n + b"x" * 10000, 1, n + 1, version=m.V5))
        wait_until(lambda: "little room for the queue log" in self.broker.log(), 60)
        other = self.client("other")
        other.subscribe("else", qos=1)
        other.publish("else", b"0")
        other.receive("else", b"0")
        self.client().publish("else", b"1", qos=1)
        other.receive("else", b"1", qos=1)
        got = self.take(self.back("s"), 150)
        self.assertEqual([x.payload[:4] for x in got], [b"%04d" % n for n in range(150)])
        for n in range(150):
            p.expect(m.PUBACK, pid=n + 1)
        self.assertLess(self.metric("sluice_queue_log_bytes"), 2 << 20)

    def test_full__what_was_acknowledged_is_there_after_a_kill(self):
        self.away("s", "t", qos=1)
        p = self.client("p")
        for n in range(150):
            p.send(m.publish("t", b"%04d" % n + b"x" * 10000, 1, n + 1, version=m.V5))
        wait_until(lambda: "little room for the queue log" in self.broker.log(), 60)
        p.expect(m.PUBACK, pid=1)
        self.restart()
        wait_until(lambda: self.metric("sluice_queued_messages") > 20, 30)
        self.assertEqual(self.take(self.back("s"), 20)[-1].payload[:4], b"0019")


class Off(Restored):
    config = {"persistence": {"enabled": False}}

    def test_off__nothing_is_written(self):
        c = self.keeping("s")
        c.subscribe("t", qos=1)
        c.disconnect()
        self.client().publish("t", b"1", qos=1)
        self.assertFalse((self.broker.folder / "data/store").exists())
        self.restart()
        self.keeping("s", session_present=False)
