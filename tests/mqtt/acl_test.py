"""Access rules against a real broker: publish, subscribe, receive, connect, wills, take-overs and reloads."""
import json
import unittest

from cases import Case, both, ours_only
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client

RULES = """
default: deny
rules:
  - {deny: connect, clientid: evil}
  - {deny: receive, topics: in/secret}
  - {allow: publish, topics: ["up/${clientid}/#", "will/${username}"]}
  - {allow: publish, topics: kept, retain: true}
  - {allow: publish, topics: low, qos: [0, 1]}
  - {allow: subscribe, topics: ["in/#", "up/+/t", "low", "will/#"]}
  - {allow: subscribe, topics: work, group: crew}
  - {allow: all, user: root, topics: ["#", "$SYS/#"]}
"""


def write_rules(folder, text):
    path = folder / "acl.yaml"
    path.write_text(text)
    return str(path)


@ours_only("access rules")
class AclCases(Case):
    @classmethod
    def setUpClass(cls):
        cls.folder = temp_folder()
        cls.config = {"auth": {"anonymous": True, "acl_file": write_rules(cls.folder, RULES)}}
        super().setUpClass()

    def root(self):
        return self.client("root", username="root")

    def published(self, c, topic, qos=1, **options):
        """The code of PUBACK or PUBREC; None in 3.1.1, which has none."""
        pid = c.next_pid()
        c.send(m.publish(topic, b"x", qos=qos, pid=pid, version=c.version, **options))
        p = c.expect(m.PUBACK if qos == 1 else m.PUBREC, pid=pid)
        if qos == 2 and p.code < 0x80:
            c.send(m.ack(m.PUBREL, pid, version=c.version))
            c.expect(m.PUBCOMP, pid=pid)
        return p.code if c.version == m.V5 else None

    def codes(self, c, *filters, qos=0):
        pid = c.next_pid()
        c.send(m.subscribe(pid, *[(f, qos) for f in filters], version=c.version))
        return list(c.expect(m.SUBACK, pid=pid).codes)

    def no(self, code=0x87):
        return code if self.version == m.V5 else None

    def denied_sub(self):
        return 0x87 if self.version == m.V5 else 0x80

    def test_publish__denied_is_told_or_dropped(self):
        root = self.root()
        root.subscribe("up/#", "low", qos=2)
        c = self.client("c1")
        self.assertEqual(self.published(c, "up/c2/t"), self.no())
        self.assertEqual(self.published(c, "up/c2/t", qos=2), self.no())
        c.send(m.publish("up/c2/t", b"x", version=c.version))
        self.assertEqual(self.published(c, "low", qos=2), self.no())
        self.assertIn(self.published(c, "low", qos=1), (0, None))
        root.receive("low", b"x", qos=1)
        self.assertIn(self.published(c, "up/c1/t", qos=2), (0, None))
        root.receive("up/c1/t", b"x", qos=2)

    def test_publish__of_kept_messages_only(self):
        root = self.root()
        root.subscribe("kept", qos=1)
        c = self.client("c1")
        self.assertEqual(self.published(c, "kept"), self.no())
        self.assertIn(self.published(c, "kept", retain=True), (0, None))
        root.receive("kept", b"x", qos=1)
        root.disconnect()
        self.client("root", username="root").publish("kept", b"", qos=1, retain=True)

    def test_publish__by_alias_is_judged_by_its_topic(self):
        if self.version != m.V5:
            return
        c = self.client("c1")
        self.assertEqual(self.published(c, "up/c2/t", properties={"topic_alias": 1}), 0x87)
        self.assertEqual(self.published(c, "", properties={"topic_alias": 1}), 0x87)

    def test_subscribe__is_allowed_whole_or_not_at_all(self):
        c = self.client("c1")
        self.assertEqual(self.codes(c, "in/a", "in/#", "in/+/b"), [0, 0, 0])
        no = self.denied_sub()
        self.assertEqual(self.codes(c, "#", "+/a", "up/#", "up/+/#", "up/x/t", "$SYS/#"), [no, no, no, no, 0, no])
        self.assertEqual(self.codes(c, "$share/g/in/#", "$share/g/#", "$share/crew/work", "$share/g/work", "work"),
                         [0, no, 0, no, no])
        self.assertEqual(self.codes(self.root(), "#", "$SYS/#"), [0, 0])

    def test_names__that_are_patterns_open_nothing(self):
        for name in ("+", "#", "a/b"):
            c = self.client(name, username=name)
            self.assertEqual(self.published(c, "up/x/t"), self.no())
            self.assertEqual(self.published(c, "up/a/b"), self.no())

    def test_receive__is_judged_at_delivery(self):
        c = self.client("c1")
        c.subscribe("in/#", qos=1)
        root = self.root()
        root.publish("in/secret", b"no", qos=1)
        root.publish("in/open", b"yes", qos=1)
        c.receive("in/open", b"yes", qos=1)

    def test_connect__and_wills(self):
        code = 0x87 if self.version == m.V5 else 5
        self.raw().connect("evil", code=code)
        self.raw().connect("w", code=code, username="u", will=m.Will("will/other", b"x"))
        root = self.root()
        root.subscribe("will/#")
        w = self.client("w", username="u", will=m.Will("will/u", b"gone"))
        w.close()
        root.receive("will/u", b"gone")

    def test_session__of_another_user_has_his_rights(self):
        first = self.client("shared", username="root", clean=False,
                            **({"properties": {"session_expiry": 300}} if self.version == m.V5 else {}))
        first.subscribe("x/#", "in/#", "$share/g/y", qos=1)
        first.disconnect()
        root = self.root()
        root.publish("x/1", b"not his", qos=1)
        root.publish("in/1", b"his", qos=1)
        other = self.raw()
        other.connect("shared", username="other", clean=False, session_present=True,
                      **({"properties": {"session_expiry": 300}} if self.version == m.V5 else {}))
        other.receive("in/1", b"his", qos=1)
        root.publish("x/2", b"not his", qos=1)
        root.publish("y", b"not his", qos=1)
        root.publish("in/2", b"his", qos=1)
        other.receive("in/2", b"his", qos=1)
        other.send(m.connect("shared", version=self.version))  # a protocol error: the session may go
        self.client("shared", clean=True).disconnect()


globals().update({c.__name__: c for c in both(AclCases)})


class AclWaitingTest(unittest.TestCase):
    """What waits in a session, or is under way, is not for whoever may no longer read it."""
    OPEN = "default: deny\nrules:\n - {allow: all, user: alice, topics: '#'}\n - {allow: all, user: bob, topics: pub/#}\n"
    SHUT = "default: deny\nrules:\n - {allow: publish, user: alice, topics: '#'}\n - {allow: all, user: [alice, bob], topics: pub/#}\n"

    def setUp(self):
        self.folder = temp_folder()
        self.broker = Broker({"auth": {"anonymous": True, "acl_file": write_rules(self.folder, self.OPEN)}})
        self.addCleanup(self.broker.stop)

    def connect(self, client_id, user, clean=False, **properties):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(client_id, clean=clean, username=user, properties={"session_expiry": 300, **properties})
        return c

    def gets(self, c):
        """The payloads that came before the answer to a PING."""
        c.send(m.PING)
        got = []
        while (p := c.recv()).kind == m.PUBLISH:
            got.append(p.payload)
        self.assertEqual(p.kind, m.PINGRESP)
        return got

    def send(self, *topics):
        p = self.connect("p", "alice", clean=True)
        for topic in topics:
            p.publish(topic, topic.encode(), qos=1)
        p.close()

    def away(self, under_way):
        """A session of alice with what waits for her, sent already or not."""
        a = self.connect("s", "alice", clean=True)
        a.subscribe("sec/#", "pub/#", qos=1)
        if not under_way:
            a.disconnect()
        self.send("sec/1", "pub/1", "sec/2")
        if under_way:
            self.assertEqual(self.gets(a), [b"sec/1", b"pub/1", b"sec/2"])
            a.close()

    def test_reload__of_rules_while_it_was_away(self):
        for turn, under_way in enumerate((False, True)):
            self.away(under_way)
            write_rules(self.folder, self.SHUT)
            self.broker.reload()
            ended = f"\nsluice_acl_subscriptions_ended_total {turn + 1}\n"
            wait_until(lambda: ended in self.broker.get("/metrics")[1])
            self.assertEqual(self.gets(self.connect("s", "alice")), [b"pub/1"], f"under way: {under_way}")
            write_rules(self.folder, self.OPEN)
            after = len(self.broker.log())
            self.broker.reload()
            self.broker.wait_log("reloaded", after=after)

    def test_another_user__does_not_get_it_at_the_second_connect_either(self):
        for under_way in (False, True):
            for killed in (False, True):
                self.away(under_way)
                b = self.connect("s", "bob", receive_maximum=1)
                self.assertEqual(self.gets(b), [b"pub/1"])
                b.close()
                if killed:
                    self.broker.kill()
                    self.broker.start()
                b = self.connect("s", "bob")
                self.assertEqual(self.gets(b), [b"pub/1"], f"under way: {under_way}, killed: {killed}")
                b.disconnect(properties={"session_expiry": 0})


@ours_only("access rules")
class AclReloadTest(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def broker(self, rules, **auth):
        path = write_rules(self.folder, rules)
        b = Broker({"auth": {"anonymous": True, "acl_file": path, **auth}})
        self.addCleanup(b.stop, check=False)
        return b

    def reload(self, b, rules, said="reloaded"):
        write_rules(self.folder, rules)
        after = len(b.log())
        b.reload()
        return b.wait_log(said, after=after)

    def metric(self, b, name):
        for line in b.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return int(line.rsplit(" ", 1)[1])
        return None

    def test_reload__ends_subscriptions_and_connections(self):
        b = self.broker("rules: [{allow: all, topics: [a/#, b]}]")
        c = Client(b.port, m.V5)
        c.connect("c")
        c.subscribe("a/#", "b", "$share/g/a/x")
        gone = Client(b.port, m.V5)
        gone.connect("gone")
        off = Client(b.port, m.V5)
        off.connect("off", properties={"session_expiry": 300})
        off.subscribe("a/#", qos=1)
        off.disconnect()
        line = self.reload(b, "rules:\n  - {alow: all, topics: b}\n", "reload refused")
        self.assertIn("acl.yaml:2", line)
        c.send(m.publish("a/1", b"1", version=m.V5))
        self.assertEqual(c.expect(m.PUBLISH).payload, b"1")
        self.reload(b, "rules:\n  - {deny: connect, clientid: gone}\n  - {allow: all, topics: b}\n"
                       "  - {allow: publish, topics: a/#}\n")
        p = gone.expect(m.DISCONNECT)
        self.assertEqual(p.code, 0x87)
        gone.expect_closed()
        wait_until(lambda: self.metric(b, "sluice_acl_subscriptions_ended_total") == 3)
        c.send(m.publish("a/2", b"2", version=m.V5), m.publish("b", b"3", version=m.V5))
        self.assertEqual(c.expect(m.PUBLISH).payload, b"3")
        self.reload(b, "default: allow")
        c.publish("anything", b"4", qos=1)
        self.assertEqual(b.stop(), 0)

    def test_on_denied__may_disconnect(self):
        b = self.broker("rules: []", acl_on_denied="disconnect")
        c = Client(b.port, m.V5)
        c.connect("c")
        c.send(m.publish("a", b"x", version=m.V5))
        self.assertEqual(c.expect(m.DISCONNECT).code, 0x87)
        c.expect_closed()
        old = Client(b.port, m.V311)
        old.connect("d")
        old.send(m.subscribe(1, ("a", 0)))
        old.expect_closed()
        self.assertEqual(b.stop(), 0)

    def test_password_file_alone__says_who_may_connect_and_that_topics_are_open(self):
        users = self.folder / "users"
        self.assertEqual(run_program("passwd", str(users), "u1", stdin="secret\n").returncode, 0)
        b = Broker({"auth": {"anonymous": False, "password_file": str(users)}})
        self.addCleanup(b.stop, check=False)
        b.wait_log("every topic is open")
        nobody = Client(b.port, m.V5)
        nobody.send(m.connect("n", version=m.V5))
        nobody.expect(m.CONNACK, code=0x86)
        c = Client(b.port, m.V5)
        c.connect("c", username="u1", password=b"secret")
        c.subscribe("a")
        b.write_config({"auth": {"acl_default": "deny"}})
        after = len(b.log())
        b.reload()
        b.wait_log("reloaded", after=after)
        c.send(m.subscribe(2, ("b", 0), version=m.V5))
        self.assertEqual(list(c.expect(m.SUBACK).codes), [0x87])
        self.assertEqual(b.stop(), 0)

    def test_policies__of_a_file(self):
        path = self.folder / "p.json"
        arn = "arn:aws:iot:us-east-1:1:"
        path.write_text(json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "iot:Connect", "Resource": arn + "client/t*"},
            {"Effect": "Allow", "Action": ["iot:Publish", "iot:Receive"], "Resource": arn + "topic/${iot:ClientId}/*"},
            {"Effect": "Allow", "Action": "iot:Subscribe", "Resource": arn + "topicfilter/*"}]}))
        b = Broker({"auth": {"anonymous": True, "policy_files": [str(path)]}})
        self.addCleanup(b.stop, check=False)
        Client(b.port, m.V5).connect("x1", code=0x87)
        t1, t2 = Client(b.port, m.V5), Client(b.port, m.V5)
        t1.connect("t1")
        t2.connect("t2")
        t2.subscribe("#")
        t1.publish("t1/x", b"1", qos=1)
        t2.send(m.publish("t2/x", b"2", version=m.V5))
        self.assertEqual(t2.expect(m.PUBLISH).payload, b"2")
        self.assertEqual(b.stop(), 0)
