"""What outlives the broker: sessions, subscriptions, wills and retained messages, over SIGTERM and SIGKILL."""
import json
import os
import re
import time
import unittest

from disk_test import SmallDisk
from harness import packet as m
from harness.broker import BIN, PATIENCE_S, Broker, temp_folder, wait_until
from harness.client import Client

NO_LOCAL, RETAIN_AS_PUBLISHED = 4, 8  # of the options byte, 3.8.3.1
FAST = os.path.abspath(os.environ.get("SLUICE_FAST_BIN") or BIN)


class Restored(unittest.TestCase):
    config = {}

    def setUp(self):
        self.broker = Broker(self.config)
        self.addCleanup(lambda: self.broker.process and self.broker.stop())

    def raw(self, version=m.V5):
        c = Client(self.broker.port, version)
        self.addCleanup(c.close)
        return c

    def client(self, client_id="", version=m.V5, **options):
        c = self.raw(version)
        c.connect(client_id, **options)
        return c

    def keeping(self, client_id, expiry=300, version=m.V5, **options):
        properties = {"session_expiry": expiry, **options.pop("properties", {})} if version == m.V5 else {}
        return self.client(client_id, version, clean=options.pop("clean", False), properties=properties, **options)

    def back(self, client_id, present=True, version=m.V5):
        return self.keeping(client_id, version=version, session_present=present)

    def restart(self, how="kill", **config):
        getattr(self.broker, how)()
        if config:
            self.broker.write_config(config)
        self.broker.start()

    def restored(self):
        """The numbers of the last start's line."""
        line = re.findall(r"store +restored (.*)", self.broker.log())[-1]
        return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", line)}

    def more_than_a_second(self):
        """So long the broker is away: what the test is about is time that passes."""
        began = time.time()
        return lambda: time.time() > began + 1.2


class Sessions(Restored):
    def test_session__with_its_subscriptions_after_a_kill_and_after_a_stop(self):
        for version in (m.V311, m.V5):
            for how in ("kill", "stop"):
                with self.subTest(version=version, how=how):
                    me = f"s-{version}-{how}"
                    self.keeping(me, version=version).subscribe(f"{me}/+", qos=1)
                    self.restart(how)
                    s = self.back(me, version=version)
                    self.client().publish(f"{me}/x", b"1", qos=1)
                    s.receive(f"{me}/x", b"1", qos=1)

    def test_subscription__options_and_identifiers_are_kept(self):
        s = self.keeping("s")
        s.subscribe("plain", qos=2, properties={"subscription_id": 7})
        s.subscribe("rap", qos=0, options=RETAIN_AS_PUBLISHED, properties={"subscription_id": 268435455})
        s.subscribe("own", qos=1, options=NO_LOCAL)
        s.subscribe("changed", qos=2)
        s.subscribe("changed", qos=0, properties={"subscription_id": 3})
        self.restart()
        s = self.back("s")
        p = self.client()
        p.publish("plain", b"1", qos=2)
        s.receive("plain", b"1", qos=2, props={"subscription_id": [7]})
        p.publish("rap", b"2", retain=True)
        s.receive("rap", b"2", retain=True, props={"subscription_id": [268435455]})
        p.publish("changed", b"3", qos=2)
        s.receive("changed", b"3", qos=0, props={"subscription_id": [3]})
        s.publish("own", b"4", qos=1)
        s.expect_silence()

    def test_subscription__long_filters_are_kept_apart(self):
        base = "l/" + "x" * 3000
        s = self.keeping("s")
        s.subscribe(base + "/a", base + "/b", base + "/c")
        s.send(m.unsubscribe(9, base + "/b", version=m.V5))
        s.expect(m.UNSUBACK)
        self.restart()
        s, p = self.back("s"), self.client()
        for end in "abc":
            p.publish(f"{base}/{end}", end.encode(), qos=1)
        s.receive(base + "/a", b"a")
        s.receive(base + "/c", b"c")
        s.expect_silence()

    def test_unsubscribe__is_kept(self):
        s = self.keeping("s")
        s.subscribe("a", "b", "$share/g/c")
        s.send(m.unsubscribe(9, "a", "$share/g/c", version=m.V5))
        s.expect(m.UNSUBACK)
        self.restart()
        s, p = self.back("s"), self.client()
        for topic in "acb":
            p.publish(topic, b"1", qos=1)
        s.receive("b", b"1")
        s.expect_silence()

    def test_shared__members_share_again(self):
        for name in ("one", "two"):
            self.keeping(name).subscribe("$share/g/jobs/#", qos=1, properties={"subscription_id": 5})
        self.restart()
        members = [self.back(name) for name in ("one", "two")]
        p = self.client()
        for i in range(10):
            p.publish("jobs/x", str(i).encode(), qos=1)
        got = []
        for s in members:
            for _ in range(5):
                got.append(int(self.take(s).payload))
            s.expect_silence()
        self.assertEqual(sorted(got), list(range(10)))

    def take(self, s):
        p = s.expect(m.PUBLISH, props={"subscription_id": [5]})
        s.send(m.ack(m.PUBACK, p.pid, s.version))
        return p

    def test_session__that_is_not_persistent_is_gone(self):
        self.client("v5", clean=False).subscribe("a")
        self.client("v3", m.V311, clean=True).subscribe("a")
        self.restart()
        self.back("v5", present=False)
        self.back("v3", present=False, version=m.V311)

    def test_session__ended_or_taken_back_is_gone(self):
        self.keeping("clean").subscribe("a")
        self.keeping("clean", clean=True)
        s = self.keeping("zero")
        s.subscribe("a")
        s.disconnect(properties={"session_expiry": 0})
        self.keeping("none").subscribe("a")
        self.client("none", clean=False).subscribe("b")
        # What ends is told to nobody who waits: a later change that is waited for is behind it.
        self.keeping("later")
        self.restart()
        self.assertEqual(self.restored()["subscriptions"], 0)
        for name, present in (("clean", True), ("zero", False), ("none", False)):
            self.back(name, present=present)

    def test_session__expiry_goes_on_while_the_broker_is_away(self):
        self.keeping("short", expiry=1).disconnect()
        self.keeping("long", expiry=300).disconnect()
        self.broker.stop()
        wait_until(self.more_than_a_second())
        self.broker.start()
        self.assertEqual(self.restored()["expired"], 1)
        wait_until(lambda: 'sluice_sessions 1\n' in self.broker.get("/metrics")[1])
        self.back("short", present=False)
        self.back("long")

    def test_workers__may_be_others_after_a_restart(self):
        for i in range(20):
            self.keeping(f"c{i}").subscribe(f"w/{i}", "$share/g/all", qos=1)
        for workers in (1, 4, 3):
            self.restart(node={"workers": workers})
            self.assertEqual(self.restored()["sessions"], 20)
            s, p = self.back("c7"), self.client()
            p.publish("w/7", b"x", qos=1)
            s.receive("w/7", b"x", qos=1)
            s.close()

    def test_subscription__that_rules_ended_is_gone_for_good(self):
        path = self.broker.folder / "acl.yaml"
        path.write_text("default: allow")
        self.restart("stop", auth={"anonymous": True, "acl_file": str(path)})
        self.keeping("s").subscribe("no", "$share/g/no", "yes")
        path.write_text("rules: [{allow: all, topics: yes}]")
        self.restart()
        self.back("s")
        self.keeping("later")
        path.write_text("default: allow")
        self.restart()
        self.assertEqual(self.restored()["subscriptions"], 1)

    def test_restart__twice_keeps_all(self):
        self.keeping("s").subscribe("a", qos=1)
        for how in ("kill", "stop", "kill", "kill"):
            self.restart(how)
        s = self.back("s")
        self.client().publish("a", b"1", qos=1)
        s.receive("a", b"1", qos=1)

    def test_persistence__off_keeps_nothing(self):
        self.restart("stop", persistence={"enabled": False})
        self.keeping("s").subscribe("a")
        self.client().publish("r", b"1", qos=1, retain=True)
        self.restart("stop")
        self.back("s", present=False)
        s = self.client()
        s.subscribe("r")
        s.expect_silence()


class Acknowledged(Restored):
    """Killed the moment that an acknowledgement has come, again and again: it was true each time."""

    def test_suback__is_sent_when_the_subscription_is_kept(self):
        for i in range(20):
            self.keeping(f"s{i}").subscribe(f"k/{i}", qos=1)
            self.restart()
            numbers = self.restored()
            self.assertEqual((numbers["sessions"], numbers["subscriptions"]), (i + 1, i + 1))
        s = self.back("s0")
        self.client().publish("k/0", b"1", qos=1)
        s.receive("k/0", b"1", qos=1)

    def test_connack_and_puback__are_sent_when_it_is_kept(self):
        for i in range(10):
            self.keeping(f"s{i}")
            self.restart()
            self.assertEqual(self.restored()["sessions"], i + 1)
            self.client().publish(f"r/{i}", b"1", qos=1 + i % 2, retain=True)
            self.restart()
            self.assertEqual(self.restored()["retained"], i + 1)


class Retained(Restored):
    def test_retained__with_its_properties(self):
        properties = {"payload_format": 1, "content_type": "text/plain", "response_topic": "answers",
                      "correlation_data": b"\x00\x01", "user": [("a", "1"), ("a", "2")]}
        self.client().publish("r/five", "grün".encode(), qos=1, retain=True, properties=properties)
        self.client(version=m.V311).publish("r/three", b"\x00\xff", qos=2, retain=True)
        self.restart()
        s = self.client()
        s.subscribe("r/five", qos=2)
        got = s.receive("r/five", "grün".encode(), qos=1, retain=True)
        for name, value in properties.items():
            self.assertEqual(got.props[name], value)
        s.subscribe("r/three", qos=2)
        s.receive("r/three", b"\x00\xff", qos=2, retain=True)

    def test_retained__removed_and_replaced_ones(self):
        p = self.client()
        for payload in (b"1", b"2"):
            p.publish("r/a", payload, qos=1, retain=True)
        p.publish("r/b", b"1", qos=1, retain=True)
        p.publish("r/b", b"", qos=1, retain=True)
        self.restart()
        s = self.client()
        s.subscribe("r/#")
        s.receive("r/a", b"2", retain=True)
        s.expect_silence()

    def test_retained__expiry_goes_on(self):
        p = self.client()
        p.publish("r/short", b"1", qos=1, retain=True, properties={"message_expiry": 1})
        p.publish("r/long", b"1", qos=1, retain=True, properties={"message_expiry": 300})
        self.broker.stop()
        wait_until(self.more_than_a_second())
        self.broker.start()
        s = self.client()
        s.subscribe("r/#")
        got = s.receive("r/long", b"1", retain=True)
        self.assertLess(got.props["message_expiry"], 300)
        s.expect_silence()

    def test_retained__many_are_there_when_the_broker_listens(self):
        p = self.client()
        for i in range(2000):
            p.send(m.publish(f"many/{i}", b"x" * 50, 1, i + 1, retain=True, version=m.V5))
            if i % 500 == 499:
                for _ in range(500):
                    p.expect(m.PUBACK)
        self.restart()
        self.assertEqual(self.restored()["retained"], 2000)
        s = self.client()
        s.subscribe("many/+")
        for _ in range(2000):
            s.expect(m.PUBLISH, retain=True)


class Wills(Restored):
    def test_will__of_a_client_that_was_connected_at_a_kill_is_published(self):
        self.keeping("w", will=m.Will("gone/w", b"bye", qos=1))
        self.keeping("s").subscribe("gone/#", qos=1)
        self.restart()
        self.back("s").receive("gone/w", b"bye", qos=1)

    def test_will__that_was_taken_back_or_published_is_not_published_again(self):
        self.keeping("s").subscribe("gone/#", qos=1)
        self.keeping("a", will=m.Will("gone/a", b"1", qos=1)).disconnect()
        s = self.back("s")
        self.keeping("b", will=m.Will("gone/b", b"2", qos=1)).close()
        s.receive("gone/b", b"2", qos=1)
        self.keeping("later")
        self.restart()
        self.assertEqual(self.restored()["wills"], 0)
        self.back("s").expect_silence()

    def test_will__delay_is_waited_for_after_a_restart(self):
        self.keeping("s").subscribe("gone/#", qos=1)
        will = m.Will("gone/w", b"bye", qos=1, retain=True, properties={"will_delay": 2, "content_type": "t"})
        self.keeping("w", will=will).close()
        self.restart()
        self.assertEqual(self.restored()["wills"], 1)
        s = self.back("s")
        got = s.receive("gone/w", b"bye", qos=1)
        self.assertEqual(got.props["content_type"], "t")
        r = self.client()
        r.subscribe("gone/w")
        r.receive("gone/w", b"bye", retain=True)

    def test_will__of_a_client_that_comes_back_in_time_is_not_published(self):
        self.keeping("s").subscribe("gone/#", qos=1)
        will = m.Will("gone/w", b"bye", qos=1, properties={"will_delay": 300})
        self.keeping("w", will=will)
        self.restart("stop")
        self.back("w")
        self.back("s").expect_silence()
        self.restart()
        self.assertEqual(self.restored()["wills"], 0)


class Damage(Restored):
    def test_store__that_is_damaged_goes_aside_and_is_said(self):
        self.keeping("s").subscribe("a")
        self.broker.stop()
        store = self.broker.folder / "data/store"
        data = bytearray((store / "state.mdb").read_bytes())
        data[:4096] = b"\xee" * 4096
        (store / "state.mdb").write_bytes(data)
        self.broker.start()
        self.broker.wait_log("the store is damaged: it was moved aside")
        self.assertEqual(len(list(store.glob("state.mdb.damaged-*"))), 1)
        self.keeping("t").subscribe("b")
        self.restart()
        self.back("t")

    def test_store__of_a_newer_version_is_refused_and_left(self):
        self.keeping("s").subscribe("a")
        self.broker.kill()
        journal = self.broker.folder / "data/store/journal-a"
        data = bytearray(journal.read_bytes())
        data[7:8] = b"9"
        journal.write_bytes(data)
        self.broker.start(wait=False)
        self.assertNotEqual(self.broker.process.wait(PATIENCE_S), 0)
        self.assertIn("newer version of sluice", self.broker.log())
        self.assertEqual(journal.read_bytes(), data)
        data[7:8] = b"1"
        journal.write_bytes(data)
        self.broker.start()
        self.back("s")


class Delayed(Restored):
    def test_delayed__of_qos_2_is_known_again_after_a_kill(self):
        c = self.keeping("c")
        c.send(m.publish("$delayed/600/t", b"x", 2, 7, m.V5))
        c.expect(m.PUBREC, pid=7, code=0)
        self.restart()
        c = self.back("c")
        c.send(m.publish("$delayed/600/t", b"x", 2, 7, m.V5, dup=True))
        c.expect(m.PUBREC, pid=7)
        c.send(m.ack(m.PUBREL, 7, m.V5))
        c.expect(m.PUBCOMP, pid=7, code=0)
        self.assertIn("\nsluice_delayed_messages 1\n", self.broker.get("/metrics")[1])


class Full(Restored):
    config = {"persistence": {"max_store": "1MB"}}

    def test_store__at_its_bound_refuses_and_goes_on_when_there_is_room(self):
        s = self.keeping("s")
        s.subscribe("a", qos=1)
        p, code, count = self.client(), 0, 0
        while code != 0x97:
            code = p.publish(f"r/{count}", b"x" * 20000, qos=1, retain=True).code
            count += 1
            self.assertLess(count, 500)
        self.broker.wait_log("the store is full")
        s.send(m.subscribe(5, ("b", 1), version=m.V5))
        s.expect(m.SUBACK, codes=[0x97])
        n = self.raw()
        n.send(m.connect("new", version=m.V5, clean=True, properties={"session_expiry": 60}))
        n.expect(m.CONNACK, code=0x97)
        old = self.client(version=m.V311)
        old.send(m.publish("r/old", b"x", 1, 1, retain=True, version=m.V311))
        for i in range(count - 1):
            p.publish(f"r/{i}", b"", qos=1, retain=True)
        old.expect(m.PUBACK, pid=1)
        self.broker.wait_log("takes changes again")
        self.keeping("new").subscribe("b")
        self.restart()
        self.assertEqual(self.restored()["retained"], 1)
        self.back("s")


class NoDisk(Restored):
    def setUp(self):
        self.disk = SmallDisk(self)
        self.config = {"node": {"data_dir": str(self.disk.path / "data")}}
        super().setUp()

    def test_store__on_a_full_disk_waits_refuses_and_loses_nothing(self):
        s, p, sent = self.keeping("s"), self.client(), 0
        self.disk.fill(64 << 10)
        while "a change cannot be written" not in self.broker.log():
            sent += 1
            p.send(m.publish(f"r/{sent}", b"x" * 20000, 1, sent, retain=True, version=m.V5))
            self.assertLess(sent, 2000)
            wait_until(lambda: self.number("sluice_publishes_received_total{qos=\"1\"}") == sent)
        s.send(m.subscribe(5, ("b", 1), version=m.V5))
        s.expect(m.SUBACK, codes=[0x97])
        self.assertEqual(self.number("sluice_store_full"), 1)
        health = json.loads(self.broker.get("/health")[1])
        self.assertEqual((health["status"], health["persistence"]["problem"]), ("degraded", "store"))
        self.disk.clear()
        codes = [p.expect(m.PUBACK, pid=i + 1).code for i in range(sent)]
        self.broker.wait_log("takes changes again")
        s.subscribe("b")
        self.restart()
        self.assertEqual(self.restored()["retained"], sum(c < 0x80 for c in codes))
        self.assertEqual(self.restored()["subscriptions"], 1)

    def test_store__killed_and_started_on_a_disk_without_any_room(self):
        """What the journal alone has fits into what the table keeps in reserve."""
        self.keeping("first").subscribe("a", qos=1)
        self.restart()  # the table is there
        s = self.keeping("s")
        for i in range(20):
            s.subscribe(f"f/{i}", qos=1)
        self.disk.fill(0)
        self.broker.kill()
        self.broker.start()
        self.assertEqual(self.restored()["subscriptions"], 21)
        self.disk.clear()
        self.back("s")

    def number(self, series):
        line = next(x for x in self.broker.get("/metrics")[1].splitlines() if x.startswith(series + " "))
        return float(line.split(" ")[-1])


class Synced(Restored):
    config = {"persistence": {"sync": "tick"}}

    def test_sync__keeps_the_same_and_answers_the_same(self):
        s = self.keeping("s", will=m.Will("gone/s", b"bye", qos=1))
        s.subscribe("a", "$share/g/b", qos=1)
        self.client().publish("r", b"1", qos=2, retain=True)
        self.restart()
        numbers = self.restored()
        self.assertEqual([numbers[k] for k in ("sessions", "subscriptions", "wills", "retained")], [1, 2, 1, 1])


class ManySessions(Restored):
    def test_sessions__by_the_thousand(self):
        self.broker.stop()
        self.broker.program = FAST
        self.broker.start()
        n = 3000
        for begin in range(0, n, 500):
            clients = [self.raw() for _ in range(500)]
            for i, c in enumerate(clients, begin):
                c.send(m.connect(f"c{i}", version=m.V5, clean=True, properties={"session_expiry": 600}),
                       m.subscribe(1, (f"own/{i}", 1), ("all/#", 0), version=m.V5))
            for c in clients:
                c.expect(m.CONNACK, code=0)
                c.expect(m.SUBACK)
                c.close()
        self.restart()
        numbers = self.restored()
        self.assertEqual((numbers["sessions"], numbers["subscriptions"]), (n, 2 * n))
        s = self.back("c2999")
        self.client().publish("own/2999", b"1", qos=1)
        s.receive("own/2999", b"1", qos=1)


if __name__ == "__main__":
    unittest.main()
