"""The connector mqtt: rows to other brokers (mosquitto, RabbitMQ, another Sluice), their messages into rules."""
import json
import unittest

from connectors.source_case import SourceCase
from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client
from harness.fake import Fake
from harness.servers import Mosquitto, RabbitMq, TestCa, shared


class OtherSluice:
    """Another broker of ours, with the face of a server."""
    def __init__(self):
        self.broker = Broker()
        self.port = self.broker.port

    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def alive(self):
        return self.broker.process is not None

    def start(self):
        self.broker.start()

    def kill9(self):
        self.broker.kill()

    def restart(self):
        self.broker.start()

    def stop(self):
        self.broker.stop()


class Remote:
    """What is asked of every other broker."""
    kind, version, qos_max = None, m.V5, 2

    def setUp(self):
        super().setUp()
        self.remote = shared(self.kind)
        self.mark = self.id().rsplit(".", 1)[-1][:30] + type(self).__name__

    def receiver(self, qos=1, **options):
        c = Client(self.remote.port, self.version)
        self.addCleanup(c.close)
        c.connect(f"r{self.mark}", **options)
        c.subscribe(f"{self.mark}/#", qos=qos)
        return c

    def out(self, rules=None, connector=None, **action):
        action = {"connector": "cloud", "topic": self.mark + "/${topic}", "payload": "${payload}", **action}
        return {"connectors": {"cloud": {"type": "mqtt", "url": self.remote.url(), "clientid": f"c{self.mark}", **(connector or {})}},
                "rules": rules or {"r": {"sql": 'SELECT * FROM "up/#"', "actions": [action]}}}

    def into(self, connector=None, qos=1, **source):
        return {"connectors": {"cloud": {"type": "mqtt", "url": self.remote.url(), "clientid": f"c{self.mark}", **(connector or {})},
                               "far": self.far()},
                "sources": {"in": {"connector": "cloud", "topics": [{"filter": f"{self.mark}/#", "qos": qos}], **source}},
                "rules": {"r": {"sql": 'SELECT topic AS t, payload AS n, qos AS q FROM "$sources/mqtt:in"',
                                "actions": [self.action("tnq")]}}}

    def test_out__rows_arrive_in_order(self):
        with Broker(self.out(qos=min(1, self.qos_max))) as b:
            far, near = self.receiver(), Client(b.port)
            self.addCleanup(near.close)
            near.connect("p")
            near.publish_all("up/a", [b"%d" % i for i in range(500)])
            for i in range(500):
                p = far.expect(m.PUBLISH)
                self.assertEqual((p.topic, p.payload), (f"{self.mark}/up/a", b"%d" % i))
                far.send(m.ack(m.PUBACK, p.pid, self.version))
            self.assertEqual(b.wait_settled("r")["delivered"], 500)

    def test_in__messages_come_into_rules(self):
        with Broker(self.into()) as b:
            self.wait_source(b, state="up")
            far = Client(self.remote.port, self.version)
            self.addCleanup(far.close)
            far.connect(f"p{self.mark}")
            far.publish_all(f"{self.mark}/x/y", [b"%d" % i for i in range(300)])
            self.wait_source(b, acknowledged=300, pending=0, unacknowledged=0)
            b.wait_settled("r")
        self.assertEqual(self.got("t, n, q"), [(f"{self.mark}/x/y", str(i), 1) for i in range(300)])

    def test_in__what_came_while_we_were_away_is_there(self):
        with Broker(self.into()) as b:
            self.wait_source(b, state="up")
            b.stop()
            far = Client(self.remote.port, self.version)
            self.addCleanup(far.close)
            far.connect(f"p{self.mark}")
            far.publish_all(f"{self.mark}/x", [b"%d" % i for i in range(100)])
            b.start()
            self.wait_source(b, acknowledged=100, pending=0)
            b.wait_settled("r")
        self.assertEqual(self.got("n"), [(str(i),) for i in range(100)])

    def test_out__the_other_broker_killed_and_back(self):
        with Broker(self.out(qos=min(1, self.qos_max))) as b:
            near = Client(b.port)
            self.addCleanup(near.close)
            near.connect("p")
            near.publish_all("up/a", [b"%d" % i for i in range(50)])
            b.wait_settled("r")
            self.remote.kill9()
            try:
                near.publish_all("up/a", [b"%d" % i for i in range(50, 100)])
                b.wait_connector("cloud", "down")
            finally:
                self.remote.restart()
            far = self.receiver()
            near.publish_all("up/a", [b"%d" % i for i in range(100, 150)])
            got = []
            while not got or got[-1] != 149:
                p = far.expect(m.PUBLISH)
                far.send(m.ack(m.PUBACK, p.pid, self.version))
                got.append(int(p.payload))
            self.assertLessEqual(set(range(100, 150)), set(got))
            self.assertEqual(b.wait_settled("r")["delivered"], 150)


class ToMosquitto(Remote, SourceCase):
    kind = Mosquitto

    def test_tls__and_a_certificate_that_does_not_fit(self):
        url = f"mqtts://127.0.0.1:{self.remote.tls_port}"
        ca = TestCa.shared().folder
        with Broker(self.out(connector={"url": url, "tls": {"ca": str(ca / "ca.pem")}})) as b:
            b.wait_connector("cloud", "up")
            self.assertIn("TLSv1", json.dumps(b.connector("cloud")))
        with Broker(self.out(connector={"url": url, "tls": {"ca": str(ca / "other.pem")}})) as b:
            self.assertIn("trust", b.wait_connector("cloud", "down"))

    def test_out__properties_retain_and_qos_2(self):
        action = {"qos": "${qos}", "retain": "${flags.retain}", "content_type": "${pub_props.'Content-Type'}",
                  "response_topic": "${pub_props.'Response-Topic'}", "correlation_data": "${pub_props.'Correlation-Data'}",
                  "user_properties": {"site": "s1", "none": "${username}"}, "message_expiry": 60}
        with Broker(self.out(**action)) as b:
            near = Client(b.port, m.V5)
            self.addCleanup(near.close)
            near.connect("p")
            near.publish("up/a", b"\x00\xffbytes", qos=2, retain=True,
                         properties={"content_type": "x/y", "response_topic": "re/ply", "correlation_data": b"\x00\x01"})
            self.assertEqual(b.wait_settled("r")["delivered"], 1)
            far = self.receiver(qos=2)
            p = far.expect(m.PUBLISH)
            self.assertEqual((p.topic, p.payload, p.qos, p.retain), (f"{self.mark}/up/a", b"\x00\xffbytes", 2, True))
            props = p.props
            self.assertEqual((props["content_type"], props["response_topic"], props["correlation_data"]), ("x/y", "re/ply", b"\x00\x01"))
            self.assertEqual(props["user"], [("site", "s1")])
            self.assertLessEqual(props["message_expiry"], 60)
            far.send(m.ack(m.PUBREC, p.pid))
            far.expect(m.PUBREL)
            far.send(m.ack(m.PUBCOMP, p.pid))

    def test_in__qos_2_comes_once_though_the_connection_breaks(self):
        with Broker(self.into(qos=2)) as b:
            self.wait_source(b, state="up")
            far = Client(self.remote.port, m.V5)
            self.addCleanup(far.close)
            far.connect(f"p{self.mark}")
            for i in range(200):
                far.publish(f"{self.mark}/x", b"%d" % i, qos=2)
                if i % 50 == 25:
                    self.kick(b)
            self.wait_source(b, pending=0, unacknowledged=0, acknowledged=lambda n: n >= 200)
            b.wait_settled("r")
        self.assertEqual(self.got("n"), [(str(i),) for i in range(200)])

    def kick(self, b):
        """Who comes under the source's client id throws it out; the session stays."""
        with Client(self.remote.port, m.V5) as thief:
            thief.connect(f"c{self.mark}-in", clean=False, properties={"session_expiry": 300})
        self.wait_source(b, state="up")


class ToRabbitMq(Remote, SourceCase):
    kind, version, qos_max = RabbitMq, m.V311, 1

    def test_version__older_brokers_are_spoken_to_in_theirs(self):
        with Broker(self.out()) as b:
            b.wait_connector("cloud", "up")
            self.assertIn("MQTT 3.1.1", json.dumps(b.connector("cloud")))


class ToSluice(Remote, SourceCase):
    kind = OtherSluice

    def test_both_ways__over_one_connector_with_prefixes(self):
        config = self.out()
        config["sources"] = {"in": {"connector": "cloud", "topics": [{"filter": f"{self.mark}/down/#", "qos": 1}]}}
        config["rules"]["back"] = {"sql": 'SELECT * FROM "$sources/mqtt:in"', "actions": [
            {"republish": {"topic": "local/${topic}", "payload": "${payload}", "qos": "${qos}"}}]}
        with Broker(config) as b:
            self.wait_source(b, state="up")
            near, far = Client(b.port), Client(self.remote.port)
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            far.connect("f")
            near.connect("n")
            near.subscribe("local/#", qos=1)
            far.publish(f"{self.mark}/down/1", b"command", qos=1)
            near.receive(f"local/{self.mark}/down/1", b"command", qos=1)


class Limits(unittest.TestCase):
    """What other brokers say of themselves is obeyed; what they say that is no MQTT costs the connection only."""

    def config(self, port, **action):
        return {"connectors": {"cloud": {"type": "mqtt", "url": f"mqtt://127.0.0.1:{port}", "clientid": "c"}},
                "rules": {"r": {"sql": 'SELECT * FROM "up/#"', "actions": [
                    {"connector": "cloud", "topic": "t", "payload": "${payload}", "retry": {"first": "20ms", "max": "50ms"}, **action}]}}}

    @staticmethod
    def packet(conn):
        head = conn.read(1)[0]
        length, shift = 0, 0
        while True:
            digit = conn.read(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if not digit & 0x80:
                break
        body = conn.read(length) if length else b""
        return m.parse(head, body, m.V5) if head >> 4 == m.PUBLISH else m.Packet(head >> 4, head & 15, body)

    def accept(self, conn, **properties):
        self.assertEqual(self.packet(conn).kind, m.CONNECT)
        conn.send(m.frame(m.CONNACK, 0, b"\0\0" + m.props(**properties)))

    def test_limits__window_packet_size_qos_and_retain(self):
        seen = []

        def script(conn):
            self.accept(conn, receive_maximum=2, maximum_packet_size=60, maximum_qos=1, retain_available=0)
            while len(seen) < 5:
                p = self.packet(conn)
                if p.kind == m.PUBLISH:
                    seen.append((p.payload, p.qos, p.retain, p.pid))
                    if len(seen) % 2 == 0:  # two at the most are out
                        for *_, pid in seen[-2:]:
                            conn.send(m.ack(m.PUBACK, pid, m.V5))
            conn.send(m.ack(m.PUBACK, seen[-1][3], m.V5))
            conn.hang()
        with Fake(script) as fake, Broker(self.config(fake.port, qos=2, retain=True)) as b:
            near = Client(b.port)
            self.addCleanup(near.close)
            near.connect("p")
            near.publish_all("up/a", [b"1", b"2", b"x" * 100, b"3", b"4", b"5"])
            done = b.wait_settled("r")
        self.assertEqual([s[:3] for s in seen], [(b"%d" % i, 1, False) for i in range(1, 6)])
        self.assertEqual((done["delivered"], done["rejected"]), (5, 1))

    def test_reasons__reject_retry_and_a_right_that_is_missing(self):
        answers = iter([0x90, 0x80, 0x97, 0x00, 0x87, 0x00])

        def script(conn):
            self.accept(conn)
            while True:
                p = self.packet(conn)
                if p.kind == m.PUBLISH:
                    conn.send(m.ack(m.PUBACK, p.pid, m.V5, next(answers, 0)))
        with Fake(script) as fake, Broker(self.config(fake.port)) as b:
            near = Client(b.port)
            self.addCleanup(near.close)
            near.connect("p")
            for payload in (b"bad topic", b"later", b"denied for now"):
                near.publish("up/a", payload, qos=1)
                b.wait_settled("r")
            done = b.action("r")
        self.assertEqual((done["delivered"], done["rejected"]), (2, 1))

    def test_nonsense__costs_the_connection_only(self):
        nonsense = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x20\x03\x00\x00\x05",
                    b"\x20\x03\x00\x00\x00" + b"\x40\x02\x00\x07", b"\x20\x03\x00\x00\x00" + b"\x82\x00"]
        told = []

        def script(conn):
            self.packet(conn)
            if conn.number < len(nonsense):
                conn.send(nonsense[conn.number])
                told.append(conn.number)
                conn.hang()
            conn.send(m.frame(m.CONNACK, 0, b"\0\0\0"))
            while True:
                p = self.packet(conn)
                if p.kind == m.PUBLISH:
                    conn.send(m.ack(m.PUBACK, p.pid, m.V5))
        with Fake(script) as fake, Broker(self.config(fake.port)) as b:
            near = Client(b.port)
            self.addCleanup(near.close)
            near.connect("p")
            near.publish("up/a", b"1", qos=1)
            wait_until(lambda: b.action("r")["delivered"] == 1, 60, lambda: f"{told}\n{b.log()[-3000:]}")


if __name__ == "__main__":
    unittest.main()
