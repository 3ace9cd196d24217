"""What Eclipse Paho's interoperability tests ask that hangs on settings, or is asked nowhere else here. The rest of their checks are
those of connect_, publish_, subscribe_, session_, delivery_ and answers_test.py. paho.py runs the original."""
import unittest

import paho
from cases import Case
from harness import packet as m
from harness.broker import TARGET, Broker, temp_folder

TOPICS = ["client_test5/TopicA", "client_test5/TopicA/B", "client_test5/Topic/C", "client_test5/TopicA/C", "client_test5//TopicA"]


@unittest.skipIf(TARGET != "sluice", "settings of this broker")
class PahoCases(Case):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(paho.settings(temp_folder()))

    def test_subscribe_failure(self):
        c = self.client()
        c.send(m.subscribe(1, ("test/nosubscribe", 2), version=self.version))
        c.expect(m.SUBACK, codes=[0x80])

    def test_shared_and_plain_filters_in_one_packet(self):
        members = [self.client() for _ in range(2)]
        for c in members:
            c.send(m.subscribe(1, ("$share/sharename/client_test5/x", 2), (TOPICS[0], 2), version=self.version))
            c.expect(m.SUBACK, codes=[2, 2])
        p = self.client()
        p.publish(TOPICS[0], b"for both")
        for c in members:
            c.receive(TOPICS[0], b"for both")
        p.publish("client_test5/x", b"for one", 1)
        for c in members:
            c.send(m.PING)
        got = [c.recv() for c in members]
        self.assertEqual(sorted(p.kind for p in got), [m.PUBLISH, m.PINGRESP])

    def test_dollar_topics(self):
        s = self.subscriber("+/+/+", "#", qos=2)
        self.client().publish("$" + TOPICS[1], b"", 1)
        s.expect_silence(0.02)

    def test_empty_client_id(self):
        c = self.raw()
        c.send(m.connect("", self.version, clean=False))
        if self.version == m.V5:
            self.assertTrue(c.expect(m.CONNACK, code=0).props["assigned_client_id"])
        else:
            c.expect(m.CONNACK, code=2)
            c.expect_closed()


class PahoV311(PahoCases, unittest.TestCase):
    version = m.V311


class PahoV5(PahoCases, unittest.TestCase):
    version = m.V5

    def test_server_keep_alive(self):
        self.assertEqual(self.raw().connect(self.me, keepalive=120).props["server_keep_alive"], 60)

    def test_client_topic_alias_0(self):
        c = self.client()
        c.send(m.publish(TOPICS[0], b"topic alias 0", 1, 1, m.V5, properties={"topic_alias": 0}))
        c.expect(m.DISCONNECT, code=0x94)

    def test_server_topic_alias(self):
        c = self.client(properties={"topic_alias_maximum": 1})
        c.subscribe(TOPICS[0], qos=2)
        p = self.client()
        for qos in range(3):
            p.publish(TOPICS[0], b"topic alias 1", qos)
            c.receive("" if qos else TOPICS[0], b"topic alias 1", qos, props={"topic_alias": 1})

    def test_publication_expiry(self):
        s = self.client(self.me, properties={"session_expiry": 99999})
        s.subscribe(TOPICS[0], qos=2)
        s.disconnect(properties={"session_expiry": 999999999})
        p = self.client()
        for seconds in (0, 600):
            for qos in (1, 2):
                p.publish(TOPICS[0], b"%d" % seconds, qos, properties={"message_expiry": seconds})
        s = self.client(self.me, clean=False)
        for qos in (1, 2):
            self.assertLessEqual(s.receive(TOPICS[0], b"600", qos).props["message_expiry"], 600)

    def test_flow_control2(self):
        c = self.raw()  # answers what it reads, though the broker has said goodbye behind that
        limit = c.connect(self.me).props["receive_maximum"]
        for i in range(1, limit + 2):
            c.send(m.publish(TOPICS[0], b"message %d" % i, 2, i, m.V5))
        for i in range(1, limit + 1):
            c.expect(m.PUBREC, pid=i)
            c.send(m.ack(m.PUBREL, i, m.V5))
        c.expect(m.DISCONNECT, code=0x93)
        c.expect_closed()

    def test_request_response(self):
        a, b = self.subscriber(TOPICS[0]), self.subscriber(TOPICS[0])
        given = {"response_topic": TOPICS[0], "correlation_data": b"334"}
        a.publish(TOPICS[0], b"request", properties=given)
        for c in (a, b):
            c.receive(TOPICS[0], b"request", props=given)
