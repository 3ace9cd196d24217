"""$SYS topics: names and values as mosquitto's users know them, at once for who subscribes, and then what changes."""
import re
import unittest

from cases import Case, both, v5
from harness import packet as m
from harness.broker import Broker, wait_until

ALL = """version uptime clients/total clients/connected clients/active clients/disconnected clients/inactive clients/maximum
clients/expired messages/received messages/sent messages/stored messages/inflight store/messages/count store/messages/bytes
publish/messages/received publish/messages/sent publish/messages/dropped publish/bytes/received publish/bytes/sent bytes/received
bytes/sent subscriptions/count shared_subscriptions/count retained|messages/count heap/current heap/maximum""".split()
LOADS = """messages/received messages/sent publish/received publish/sent publish/dropped bytes/received bytes/sent sockets
connections""".split()
NAMES = {"$SYS/broker/" + n.replace("|", " ") for n in ALL} | {f"$SYS/broker/load/{n}/{k}min" for n in LOADS for k in (1, 5, 15)}


class SysCases(Case):
    config = {"node": {"workers": 3}, "mqtt": {"sys_interval": "200ms"},
              "rules": {"r": {"sql": 'SELECT topic, payload FROM "$SYS/broker/clients/total"',
                              "actions": [{"republish": {"topic": "rule", "payload": "${topic} ${payload}"}}]}}}

    def values(self, *filters):
        """Those of the moment, by a client that comes for them."""
        c = self.client()
        c.subscribe(*filters)
        found = {}
        wanted = sum(1 for n in NAMES if any(f == n or f.endswith("#") and n.startswith(f[:-1]) for f in filters))
        while len(found) < wanted:
            p = c.expect(m.PUBLISH)
            if p.retain:
                found[p.topic] = p.payload.decode()
        c.disconnect()
        return found

    def value(self, name):
        return float(self.values("$SYS/broker/" + name)["$SYS/broker/" + name])

    def test_subscribe__gives_all_values_at_once_as_retained(self):
        found = self.values("$SYS/#")
        self.assertEqual(set(found), NAMES)
        self.assertRegex(found["$SYS/broker/version"], r"^sluice version \d+\.\d+")
        self.assertRegex(found["$SYS/broker/uptime"], r"^\d+ seconds$")
        for name, text in found.items():
            if not name.endswith(("version", "uptime")):
                self.assertRegex(text, r"^\d+\.\d\d$" if "/load/" in name else r"^\d+$", name)
        self.assertGreater(int(found["$SYS/broker/heap/maximum"]), 1000000)
        self.assertEqual(found["$SYS/broker/clients/total"], found["$SYS/broker/clients/active"])

    def test_values__count_what_happens(self):
        names = ("clients/total", "clients/connected", "clients/disconnected", "retained messages/count", "subscriptions/count",
                 "shared_subscriptions/count", "publish/messages/received", "publish/bytes/received", "messages/inflight",
                 "store/messages/count", "publish/bytes/sent")
        before = {n: self.value(n) for n in names}
        away = self.keeping()
        away.subscribe("$share/g/" + self.t, self.t + "/x", qos=1)
        stays = self.client()
        stays.publish(self.t, b"12345", qos=1)
        away.expect(m.PUBLISH)  # not acknowledged
        stays.publish(self.t + "/r", b"kept", qos=1, retain=True)
        away.disconnect()
        grown = {"clients/total": 2, "clients/connected": 1, "clients/disconnected": 1, "retained messages/count": 1,
                 "subscriptions/count": 2, "shared_subscriptions/count": 1, "publish/messages/received": 2,
                 "publish/bytes/received": 9, "messages/inflight": 1, "store/messages/count": 2}
        for name, more in grown.items():
            wait_until(lambda n=name, k=more: self.value(n) == before[n] + k, message=name)
        self.assertGreaterEqual(self.value("publish/bytes/sent"), before["publish/bytes/sent"] + 5)
        self.assertGreaterEqual(self.value("clients/maximum"), 2)

    def test_changes__are_published_and_nothing_else(self):
        c = self.client()
        c.subscribe("$SYS/broker/clients/total", "$SYS/broker/version")
        seen = [c.expect(m.PUBLISH, retain=True).topic for _ in range(2)]
        self.assertEqual(len(set(seen)), 2)
        more = self.client()
        p = c.expect(m.PUBLISH, retain=False, topic="$SYS/broker/clients/total")
        self.assertGreater(int(p.payload), 0)
        more.disconnect()
        c.expect(m.PUBLISH, retain=False, topic="$SYS/broker/clients/total")

    def test_load__rises(self):
        before = self.value("load/publish/received/1min")
        p = self.client()
        for _ in range(300):
            p.publish(self.t)
        wait_until(lambda: self.value("load/publish/received/1min") > before)

    def test_rules__read_them(self):
        s = self.subscriber("rule")
        got = []

        def there():
            self.client()
            try:
                got.append(s.recv(0.5).payload)
            except TimeoutError:
                return False
            return True
        wait_until(there)
        self.assertTrue(got[0].startswith(b"$SYS/broker/clients/total "))

    def test_wildcards__at_the_first_level_do_not_match_and_nobody_may_publish(self):
        s = self.subscriber("#", "+/broker/clients/total")
        p = self.client()
        got = p.publish("$SYS/broker/clients/total", b"1", qos=1)
        if self.version == m.V5:
            self.assertEqual(got.code, 0x87)
        watch = self.subscriber("$SYS/broker/uptime")
        for _ in range(2):
            watch.expect(m.PUBLISH)
        s.send(m.PING)
        while (got := s.recv()).kind != m.PINGRESP:
            self.assertFalse(got.topic.startswith("$"))


SysV311, SysV5 = both(SysCases)
del SysCases


class SysV5OnlyCases(Case):
    config = {"mqtt": {"sys_interval": "1h"}}

    def test_retain_handling__counts(self):
        c = self.client()
        never, if_new = 0x20, 0x10
        c.subscribe("$SYS/broker/version", options=never)
        c.expect_silence()
        c.subscribe("$SYS/broker/uptime", options=if_new, properties={"subscription_id": 7})
        p = c.expect(m.PUBLISH, topic="$SYS/broker/uptime", retain=True)
        self.assertEqual(p.props["subscription_id"], [7])
        c.subscribe("$SYS/broker/uptime", options=if_new)
        c.expect_silence()

    def test_shared__gets_none_at_subscribe(self):
        c = self.subscriber("$share/g/$SYS/#")
        c.expect_silence()


SysOnlyV5 = v5(SysV5OnlyCases)
del SysV5OnlyCases


class Off(unittest.TestCase):
    def test_interval_0__no_topics(self):
        with Broker({"mqtt": {"sys_interval": "0"}}) as broker:
            from harness.client import Client
            c = Client(broker.port)
            c.connect("c")
            c.subscribe("$SYS/#")
            c.expect_silence()
            c.close()
