"""Topics that stand for something else: `$delayed/SECONDS/topic`, mqtt.rewrite, mqtt.auto_subscribe."""
import re
import time
import unittest

from cases import Case, both, v5
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client


class DelayedCases(Case):
    config = {"node": {"workers": 3},
              "rules": {"seen": {"sql": 'SELECT topic, payload, clientid FROM "t/#"',
                                 "actions": [{"republish": {"topic": "seen/${topic}", "payload": "${clientid} ${payload}"}}]},
                        "later": {"sql": 'SELECT payload FROM "ask/#"',
                                  "actions": [{"republish": {"topic": "$delayed/0/asked", "payload": "${payload}"}}]}}}

    def metric(self, name):
        return int(re.search(rf"^{re.escape(name)} (\d+)$", self.broker.get("/metrics")[1], re.M)[1])

    def test_delayed__comes_when_it_is_due_and_not_before(self):
        s = self.subscriber(f"t/{self.t}", qos=2)
        p = self.client(self.me)
        began = time.monotonic()
        for qos in range(3):
            p.publish(f"$delayed/1/t/{self.t}", b"%d" % qos, qos=qos)
        s.expect_silence(0.05)
        for qos in range(3):
            s.receive(f"t/{self.t}", b"%d" % qos, qos=qos)
        self.assertGreaterEqual(time.monotonic() - began, 0.9)

    def test_delayed__order_is_that_of_the_moments_and_then_of_sending(self):
        s = self.subscriber(f"t/{self.t}", qos=1)
        p = self.client()
        for n in range(50):
            p.publish(f"$delayed/1/t/{self.t}", b"late %d" % n, qos=1)
            p.publish(f"$delayed/0/t/{self.t}", b"early %d" % n, qos=1)
        for word in ("early", "late"):
            for n in range(50):
                s.receive(f"t/{self.t}", f"{word} {n}".encode(), qos=1)

    def test_delayed__rules_see_it_when_it_is_due_with_its_publisher(self):
        s = self.subscriber(f"seen/t/{self.t}")
        self.client(self.me).publish(f"$delayed/1/t/{self.t}", b"x", qos=1)
        s.expect_silence(0.05)
        s.receive(f"seen/t/{self.t}", f"{self.me} x")

    def test_delayed__retain_is_kept_until_then(self):
        p = self.client()
        p.publish(f"$delayed/1/{self.t}", b"kept", qos=1, retain=True)
        self.subscriber(self.t).expect_silence(0.05)
        self.subscriber(self.t).receive(self.t, b"kept")  # live
        self.subscriber(self.t).receive(self.t, b"kept", retain=True)

    def test_delayed__rules_may_publish_so(self):
        s = self.subscriber("asked")
        self.client().publish("ask/x", self.t.encode(), qos=1)
        s.receive("asked", self.t)

    def test_delayed__a_will(self):
        s = self.subscriber(self.t)
        self.client(will=m.Will(f"$delayed/0/{self.t}")).close()
        s.receive(self.t, b"gone")

    def test_delayed__who_has_gone_meanwhile_had_sent_it_all_the_same(self):
        s = self.subscriber(self.t, qos=2)
        p = self.client()
        p.publish(f"$delayed/1/{self.t}", b"x", qos=2)
        p.disconnect()
        s.receive(self.t, b"x", qos=2)

    def test_bad_form__is_refused(self):
        s = self.subscriber("#", "$delayed/#")
        p = self.client()
        for bad in ("$delayed/", "$delayed/x", "$delayed/5", "$delayed/5/", "$delayed/x/t", "$delayed/-1/t", "$delayed/1.5/t",
                    "$delayed/4294968/t", "$delayed/99999999999999999999999/t", "$delayed//t", "$delayed/1/$delayed/1/t"):
            for qos in (0, 1):
                got = p.publish(bad, b"no", qos=qos)
                if qos and self.version == m.V5:
                    self.assertEqual(got.code, 0x90, bad)
        for reserved in ("$delayed/1/$SYS/x", "$delayed/1/$events/x"):
            got = p.publish(reserved, b"no", qos=1)
            if self.version == m.V5:
                self.assertEqual(got.code, 0x87)
        s.expect_silence()

    def test_longest__is_taken(self):
        before = self.metric("sluice_delayed_messages")
        self.client().publish("$delayed/4294967/" + self.t, b"x", qos=1)
        self.assertEqual(self.metric("sluice_delayed_messages"), before + 1)


DelayedV311, DelayedV5 = both(DelayedCases)
del DelayedCases


class DelayedV5OnlyCases(Case):
    config = {"mqtt": {"max_delayed": 3}}

    def test_expiry__counts_from_when_it_is_due(self):
        s = self.subscriber(self.t)
        self.client().publish(f"$delayed/2/{self.t}", b"x", qos=1, properties={"message_expiry": 1})
        self.assertLessEqual(s.receive(self.t, b"x").props["message_expiry"], 1)

    def test_alias__stands_for_the_topic_as_sent(self):
        s = self.subscriber(self.t)
        p = self.client()
        for n in range(2):
            p.publish(f"$delayed/0/{self.t}" if n == 0 else "", b"%d" % n, qos=1, properties={"topic_alias": 1})
        for n in range(2):
            s.receive(self.t, b"%d" % n)

    def test_limit__more_are_refused(self):
        p = self.client()
        codes = [p.publish(f"$delayed/1000/{self.t}", b"x", qos=1).code for _ in range(5)]
        self.assertEqual(codes, [0, 0, 0, 0x97, 0x97])
        self.assertEqual(re.findall(r"^sluice_delayed_(?:refused_total|messages) (\d+)$", self.broker.get("/metrics")[1], re.M),
                         ["2", "3"])


DelayedOnlyV5 = v5(DelayedV5OnlyCases)
del DelayedV5OnlyCases


class DelayedKept(unittest.TestCase):
    """A kill, and the start after it."""

    def client(self, name, **options):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(name, **options)
        return c

    def metric(self, name):
        return int(re.search(rf"^{re.escape(name)} (\d+)$", self.broker.get("/metrics")[1], re.M)[1])

    def test_killed__what_was_acknowledged_is_published_and_then_forgotten(self):
        self.broker = Broker({"node": {"workers": 3}})
        self.addCleanup(self.broker.stop)
        p = self.client("p")
        for n in range(30):
            p.publish("$delayed/0/now", b"%d" % n, qos=1)
            p.publish("$delayed/1/t", b"%d" % n, qos=1, properties={"content_type": "x"})
        p.publish("$delayed/1/t", b"not kept", qos=0)
        p.publish("$delayed/1/r", b"", qos=1)
        p.publish("$delayed/1/r", b"kept", qos=2, retain=True)
        wait_until(lambda: self.metric("sluice_delayed_messages") == 33)
        self.broker.kill()
        self.broker.start()
        self.assertLessEqual(self.metric("sluice_delayed_messages"), 32)
        s = self.client("s", properties={"session_expiry": 100}, clean=False)
        s.subscribe("r", qos=2)
        s.receive("r", b"", qos=1)
        s.receive("r", b"kept", qos=2)
        wait_until(lambda: self.metric("sluice_delayed_messages") == 0)
        s.disconnect()
        self.broker.stop()
        self.broker.start()
        self.assertEqual(self.metric("sluice_delayed_published_total"), 0, "published messages have stayed in the store")

    def test_killed__who_comes_back_has_them(self):
        self.broker = Broker({"node": {"workers": 3}})
        self.addCleanup(self.broker.stop)
        s = self.client("s", clean=False, properties={"session_expiry": 300})
        s.subscribe("t", qos=2)
        s.disconnect()
        p = self.client("p")
        for n in range(30):
            p.publish("$delayed/1/t", b"%d" % n, qos=1, properties={"content_type": "x"})
        self.broker.kill()
        self.broker.start()
        s = self.client("s", clean=False, properties={"session_expiry": 300})
        for n in range(30):
            self.assertEqual(s.receive("t", b"%d" % n, qos=1).props["content_type"], "x")
        s.expect_silence()


class RewriteCases(Case):
    config = {"mqtt": {"rewrite": [
        {"action": "publish", "filter": "pub/#", "regex": "^pub/(.+)/(.+)$", "to": "out/$2/$1"},
        {"action": "subscribe", "filter": "sub/#", "regex": "^sub/(.+)$", "to": "out/$1"},
        {"filter": "both/+", "regex": "^both/(.+)$", "to": "out/$1/${clientid}"},
        {"filter": "both/#", "regex": "^both/never", "to": "never"},
        {"filter": "loop/#", "regex": "^loop/(.*)$", "to": "loop/loop/$1"},
        {"filter": "bad/#", "regex": "^bad/(.*)$", "to": "bad/#/$1"},
        {"filter": "hide/#", "regex": "^hide/(.*)$", "to": "$SYS/$1"}]}}

    def test_publish__goes_to_the_new_topic(self):
        s = self.subscriber("out/#", qos=2)
        p = self.client()
        for qos in range(3):
            p.publish(f"pub/{self.t}/b", b"x", qos=qos)
            s.receive(f"out/b/{self.t}", b"x", qos=qos)
        p.publish("pub/" + self.t, b"as it is", qos=1)
        s.expect_silence()

    def test_subscribe__and_unsubscribe_mean_the_new_filter(self):
        s = self.subscriber(f"sub/{self.t}/+", f"$share/g/sub/{self.t}s", qos=1)
        p = self.client()
        p.publish(f"out/{self.t}/a", b"1", qos=1)
        s.receive(f"out/{self.t}/a", b"1", qos=1)
        p.publish(f"out/{self.t}s", b"2", qos=1)
        s.receive(f"out/{self.t}s", b"2", qos=1)
        s.send(m.unsubscribe(9, f"sub/{self.t}/+", f"$share/g/sub/{self.t}s", version=self.version))
        s.expect(m.UNSUBACK, pid=9, codes=[0, 0] if self.version == m.V5 else [])
        p.publish(f"out/{self.t}/a", b"3", qos=1)
        s.expect_silence()

    def test_both__with_the_clients_name(self):
        s = self.client(self.me)
        s.subscribe(f"both/{self.t}")
        s.publish(f"both/{self.t}", b"x")
        s.receive(f"out/{self.t}/{self.me}", b"x")

    def test_name__that_would_change_the_filter_is_refused(self):
        s = self.client(f"{self.me}/#")
        s.send(m.subscribe(1, (f"both/{self.t}", 0), version=self.version))
        s.expect(m.SUBACK, codes=[0x8F if self.version == m.V5 else 0x80])
        got = s.publish(f"both/{self.t}", b"x", qos=1)
        if self.version == m.V5:
            self.assertEqual(got.code, 0x90)

    def test_rewritten__is_not_rewritten_again(self):
        s = self.subscriber(f"loop/loop/{self.t}".replace("loop/loop", "+/+"))
        self.client().publish(f"loop/{self.t}", b"x", qos=1)
        s.receive(f"loop/loop/{self.t}", b"x")

    def test_result__must_be_valid_and_allowed(self):
        p = self.client()
        for topic, code in ((f"bad/{self.t}", 0x90), (f"hide/{self.t}", 0x87)):
            got = p.publish(topic, b"x", qos=1)
            if self.version == m.V5:
                self.assertEqual(got.code, code)
        p.send(m.subscribe(1, (f"bad/{self.t}", 0), version=self.version))
        p.expect(m.SUBACK, codes=[0x8F if self.version == m.V5 else 0x80])

    def test_will__is_written_anew(self):
        s = self.subscriber(f"out/b/{self.t}")
        self.client(will=m.Will(f"pub/{self.t}/b")).close()
        s.receive(f"out/b/{self.t}", b"gone")
        self.client(will=m.Will(f"$delayed/0/pub/{self.t}/b")).close()
        s.receive(f"out/b/{self.t}", b"gone")

    def test_delayed__its_real_topic_is_written_anew(self):
        s = self.subscriber(f"out/b/{self.t}")
        self.client().publish(f"$delayed/0/pub/{self.t}/b", b"x", qos=1)
        s.receive(f"out/b/{self.t}", b"x")


RewriteV311, RewriteV5 = both(RewriteCases)
del RewriteCases


class AutoCases(Case):
    config = {"mqtt": {"auto_subscribe": [{"topic": "cmd/${clientid}", "qos": 1, "no_local": True},
                                          {"topic": "all/${clientid}/+"}, {"topic": "quiet/${clientid}", "retain_handling": 2},
                                          {"topic": "user/${username}/#"}, {"topic": "$share/g/jobs/${username}"}]}}

    def test_connect__subscribes(self):
        self.client().publish(f"all/{self.me}/x", b"old", qos=1, retain=True)
        c = self.client(self.me, username="ann" + self.t)
        c.receive(f"all/{self.me}/x", b"old", retain=True)
        p = self.client()
        p.publish(f"cmd/{self.me}", b"1", qos=1)
        c.receive(f"cmd/{self.me}", b"1", qos=1)
        p.publish(f"user/ann{self.t}/a/b", b"2", qos=1)
        c.receive(f"user/ann{self.t}/a/b", b"2")
        c.publish(f"cmd/{self.me}", b"own")
        c.expect_silence()

    def test_resumed__keeps_what_it_has(self):
        c = self.keeping(self.me)
        c.subscribe(f"cmd/{self.me}", qos=0)  # not what auto_subscribe says
        c.disconnect()
        p = self.client()
        p.publish(f"quiet/{self.me}", b"r", qos=1, retain=True)
        c = self.keeping(self.me)
        p.publish(f"cmd/{self.me}", b"1", qos=1)
        c.receive(f"cmd/{self.me}", b"1", qos=0)
        c.send(m.unsubscribe(3, f"cmd/{self.me}", version=self.version))
        c.expect(m.UNSUBACK, pid=3)
        c.disconnect()
        c = self.keeping(self.me)
        p.publish(f"cmd/{self.me}", b"2", qos=1)
        c.receive(f"cmd/{self.me}", b"2", qos=1)

    def test_name__that_would_change_the_filter_subscribes_to_nothing(self):
        for name in ("#", "+", f"{self.me}/#", f"{self.me}/x"):
            with self.subTest(name=name):
                c = self.client(name)
                self.client().publish("cmd/" + name.strip("/#+") + "y", b"x", qos=1)
                c.expect_silence(0.02)
                c.close()

    def test_shared__is_a_member(self):
        members = [self.client(f"{self.me}-{n}", username=self.t) for n in range(2)]
        p = self.client()
        for n in range(6):
            p.publish(f"jobs/{self.t}", b"%d" % n, qos=1)
        for c in members:  # one after the other
            got = [c.expect(m.PUBLISH).payload for _ in range(3)]
            self.assertIn(got, ([b"0", b"2", b"4"], [b"1", b"3", b"5"]))


AutoV311, AutoV5 = both(AutoCases)
del AutoCases


class Access(unittest.TestCase):
    """Access rules see the topic that is meant, whatever way it comes."""

    def setUp(self):
        folder = temp_folder()
        (folder / "acl.yaml").write_text("default: deny\nrules:\n  - {allow: all, topics: ['open/#', 'cmd/good', 'out']}\n")
        self.broker = Broker({"auth": {"anonymous": True, "acl_file": str(folder / "acl.yaml")},
                              "mqtt": {"rewrite": [{"filter": "in/+", "regex": "^in/open$", "to": "open/in"},
                                                   {"filter": "open/+", "regex": "^open/shut$", "to": "shut"}],
                                       "auto_subscribe": [{"topic": "cmd/${clientid}"}]}})
        self.addCleanup(self.broker.stop)

    def client(self, name, **options):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(name, **options)
        return c

    def test_access__is_judged_for_what_is_meant(self):
        c = self.client("c")
        codes = {t: c.publish(t, b"x", qos=1).code for t in ("$delayed/0/open/a", "$delayed/0/shut", "in/open", "open/shut",
                                                             "$delayed/0/in/open", "$delayed/0/open/shut")}
        self.assertEqual([code in (0, 0x10) for code in codes.values()], [True, False, True, False, True, False], codes)
        self.assertEqual({code for code in codes.values() if code >= 0x80}, {0x87})
        c.send(m.subscribe(1, ("in/open", 0), ("open/shut", 0), version=m.V5))
        c.expect(m.SUBACK, codes=[0, 0x87])

    def test_access__of_wills(self):
        s = self.client("s")
        s.subscribe("open/#")
        for topic, code in (("$delayed/0/open/a", 0), ("in/open", 0), ("$delayed/0/shut", 0x87), ("open/shut", 0x87)):
            c = Client(self.broker.port, m.V5)
            self.addCleanup(c.close)
            c.connect("w", code=code, will=m.Will(topic))
            c.close()
        # A delayed one waits for its timer, though it waits for nothing.
        self.assertEqual(sorted(s.expect(m.PUBLISH).topic for _ in range(2)), ["open/a", "open/in"])

    def test_access__of_auto_subscriptions(self):
        good, bad = self.client("good"), self.client("bad")
        p = self.client("p")
        p.publish("cmd/good", b"x", qos=1)
        good.receive("cmd/good", b"x")
        bad.expect_silence()


class Check(unittest.TestCase):
    def check(self, mqtt):
        path = temp_folder() / "c.yaml"
        path.write_text(Broker(mqtt and {"mqtt": mqtt}, folder=path.parent, start=False).config_path.read_text())
        return run_program("check", "-c", str(path))

    def test_check__says_where_and_what(self):
        done = self.check({"rewrite": [{"filter": "a/#/b", "regex": "(", "to": "b"}, {"filter": "a", "regex": "(a)", "to": "$2"},
                                       {"filter": "a", "regex": "a", "to": "${client}"}],
                           "auto_subscribe": [{"topic": "a/#/${clientid}"}, {"topic": "$share/g/a", "no_local": True}],
                           "shared_groups": {"g": "stiky"}})
        self.assertEqual(done.returncode, 1)
        for part in ("mqtt.rewrite[0].filter: 'a/#/b' is no topic filter here", "mqtt.rewrite[0].regex: no regular expression",
                     "mqtt.rewrite[1].to: there is no group 2: the regex has 1", "mqtt.rewrite[2].to: '${client}' is no placeholder",
                     "mqtt.auto_subscribe[0].topic: 'a/#/${clientid}' is no topic filter", "mqtt.auto_subscribe[1].no_local",
                     "mqtt.shared_groups.g: 'stiky' is no strategy"):
            self.assertIn(part, done.stderr + done.stdout)
