"""Republished messages and their MQTT 5 properties: what subscribers of each version get, and what rules see."""
import json
import unittest

from cases import ours_only
from harness import packet as m
from harness.broker import Broker
from harness.client import Client

ALL = {"payload_format": 1, "message_expiry": "${expiry}", "content_type": "application/json",
       "response_topic": "answers/${dev}", "correlation_data": "${pub_props.'Correlation-Data'}",
       "user_properties": "${pub_props.'User-Property-Pairs'}"}
COPY = "SELECT clientid AS dev, payload.expiry AS expiry, payload.v AS v FROM \"in\""
RULES = {
    "copy": {"sql": COPY, "actions": [{"republish": {"topic": "out", "payload": "${v}", **ALL}}]},
    "again": {"sql": "SELECT pub_props AS p FROM \"out\"", "actions": [{"republish": {"topic": "seen"}}]},
    "kept": {"sql": "SELECT payload.v AS v FROM \"keep\"", "actions": [{"republish": {
        "topic": "kept", "payload": "${v}", "retain": True, "message_expiry": "1h",
        "user_properties": {"v": "${v}", "none": "${payload.none}"}}}]},
    "level": {"sql": "SELECT payload.d AS d FROM \"level\"", "actions": [
        {"republish": {"topic": "made/${d}/x", "payload": "one"}},
        {"republish": {"topic": "made/${payload.d}/y", "payload": "many", "slashes": "allow"}}]},
    "whole": {"sql": "SELECT payload.t AS t FROM \"whole\"", "actions": [
        {"republish": {"topic": "${t}", "payload": "whole"}}, {"republish": {"topic": "${t}/more", "payload": "more"}}]},
    "request": {"dialect": "aws", "sql": "SELECT * FROM 'request'", "actions": [{"republish": {
        "topic": "${get_mqtt_property('response_topic')}", "qos": 1,
        "correlation_data": "${decode(get_mqtt_property('correlation_data'), 'base64')}",
        "response_topic": "${get_mqtt_property('nothing')}", "user_properties": "${get_user_properties()}"}}]},
}
SENT = {"correlation_data": b"\0\xff", "user": [("k", "1"), ("k", "2")]}


@ours_only("rules")
class Republish(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(start=False)
        cls.broker.write_config({"rules": RULES})
        cls.broker.start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def client(self, name, version=m.V5, *filters):
        c = Client(self.broker.port, version)
        self.addCleanup(c.close)
        c.connect(name)
        if filters:
            c.subscribe(*filters, qos=1)
        return c

    def publish(self, topic, payload, **properties):
        self.client("d7").publish(topic, payload, qos=1, properties=properties)

    def failed(self, rule):
        return [a["failed"] for a in self.broker.rule(rule)["actions"]]

    def test_topic__a_value_is_one_level_and_no_pattern(self):
        c = self.client("st", m.V5, "made/#", "$SYS/forged", "$SYS/forged/more")
        before = self.failed("level")
        for bad in ("a/b", "+", "#", "a/#"):
            self.publish("level", json.dumps({"d": bad}).encode())
        c.receive("made/a/b/y", b"many", qos=1)
        self.publish("level", b'{"d": "plain"}')
        c.receive("made/plain/x", b"one", qos=1)
        c.receive("made/plain/y", b"many", qos=1)
        self.assertEqual([now - was for now, was in zip(self.failed("level"), before)], [4, 3])

    def test_topic__out_of_a_message_is_none_of_the_broker(self):
        c = self.client("sb", m.V5, "fine", "fine/more", "$SYS/forged", "$SYS/forged/more")
        before = self.failed("whole")
        for topic in ("$SYS/forged", "$events/client/connected", "fine"):
            self.publish("whole", json.dumps({"t": topic}).encode())
        c.receive("fine", b"whole", qos=1)
        c.receive("fine/more", b"more", qos=1)
        self.assertEqual([now - was for now, was in zip(self.failed("whole"), before)], [2, 2])

    def test_properties__reach_subscribers_of_mqtt_5(self):
        c = self.client("s5", m.V5, "out")
        self.publish("in", b'{"expiry":60,"v":"x"}', **SENT)
        got = c.receive("out", b"x", qos=1)
        self.assertEqual(got.props, {"payload_format": 1, "message_expiry": 60, "content_type": "application/json",
                                          "response_topic": "answers/d7", **SENT})

    def test_properties__are_unknown_to_subscribers_of_mqtt_3(self):
        for version in m.V311, m.V31:
            with self.subTest(version=version):
                c = self.client("s3", version, "out")
                self.publish("in", b'{"expiry":"2m","v":"y"}', **SENT)
                c.receive("out", b"y", qos=1)
                c.disconnect()

    def test_properties__rules_see_them(self):
        c = self.client("sr", m.V5, "seen")
        self.publish("in", b'{"expiry":1.5,"v":"z"}', user=[("a", "b")])
        got = c.expect(m.PUBLISH, topic="seen")
        self.assertEqual(json.loads(got.payload)["p"], {
            "Payload-Format-Indicator": 1, "Message-Expiry-Interval": 2, "Content-Type": "application/json",
            "Response-Topic": "answers/d7", "User-Property": {"a": "b"}, "User-Property-Pairs": [{"key": "a", "value": "b"}]})

    def test_properties__what_is_null_is_left_out(self):
        c = self.client("sn", m.V5, "out")
        self.publish("in", b'{"v":"n"}')
        self.assertEqual(set(c.receive("out", b"n", qos=1).props), {"payload_format", "content_type", "response_topic"})

    def test_properties__what_cannot_be_sent_fails_the_row(self):
        c = self.client("sf", m.V5, "out")
        self.publish("in", b'{"expiry":"soon","v":"bad"}')
        self.publish("in", b'{"expiry":1,"v":"good"}')
        c.receive("out", b"good", qos=1)
        self.assertIn("message_expiry: must be seconds", json.dumps(self.broker.rule("copy")["failures"]))

    def test_properties__of_a_retained_message(self):
        self.publish("keep", b'{"v":"r"}')
        got = self.client("sk", m.V5, "kept").receive("kept", b"r", qos=1, retain=True)
        self.assertEqual(got.props["user"], [("v", "r")])
        self.assertGreater(got.props["message_expiry"], 3500)

    def test_response__to_a_request(self):
        c = self.client("asker", m.V5, "answers/here")
        self.publish("request", b'{"q":1}', response_topic="answers/here", **SENT)
        self.assertEqual(c.receive("answers/here", b'{"q":1}', qos=1).props, SENT)


if __name__ == "__main__":
    unittest.main()
