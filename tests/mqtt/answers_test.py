"""What the broker says of its own accord in MQTT 5: topic aliases, reason strings, response information, limits of the client."""
import unittest

from cases import Case, v5
from harness import packet as m


class AliasOutCases(Case):
    """Aliases that the broker sets, 3.3.2.3.4."""
    config = {"mqtt": {"topic_alias_max": 16}}

    def taker(self, aliases, **properties):
        c = self.client(properties={"topic_alias_maximum": aliases, **properties})
        c.subscribe("al/#", qos=2)
        return c

    def test_alias__first_message_sets_it_and_others_use_it(self):
        c, sender = self.taker(1), self.client()
        for qos in range(3):
            sender.publish("al/topic", b"%d" % qos, qos)
        c.receive("al/topic", b"0", 0, props={"topic_alias": 1})
        for qos in (1, 2):
            c.receive("", b"%d" % qos, qos, props={"topic_alias": 1})

    def test_alias__none_without_maximum(self):
        for c in (self.taker(0), self.client()):
            c.subscribe("al/#")
            for _ in range(2):
                self.client().publish("al/topic", b"x")
                c.receive("al/topic", b"x", props={})

    def test_alias__numbers_stay_within_the_client_s_maximum(self):
        for maximum in (1, 3, 9, 65535):
            c, sender, known = self.taker(maximum), self.client(), {}
            topics = [f"al/{i % 7}/{i % 5}" for i in range(70)] + ["al/same"] * 3
            for topic in topics:
                sender.publish(topic, b"x")
            for topic in topics:
                p = c.expect(m.PUBLISH)
                alias = p.props.get("topic_alias", 0)
                self.assertLessEqual(alias, min(maximum, 16))
                if p.topic:
                    known[alias] = p.topic
                self.assertEqual(known[alias] if alias else p.topic, topic)
            self.assertIn("al/same", known.values())

    def test_alias__are_forgotten_with_the_connection(self):
        for _ in range(2):
            c = self.client(self.me, clean=False, properties={"topic_alias_maximum": 4, "session_expiry": 60})
            c.subscribe("al/#")
            self.client().publish("al/topic", b"x")
            c.receive("al/topic", b"x")
            c.disconnect()

    def test_alias__is_not_set_where_the_packet_would_be_too_large_with_it(self):
        topic = "al/" + "t" * 20
        size = len(m.publish(topic, b"x" * 30, version=m.V5))
        c = self.taker(1, maximum_packet_size=size)
        for _ in range(2):
            self.client().publish(topic, b"x" * 30)
            c.receive(topic, b"x" * 30, props={})

    def test_alias__with_subscription_id_and_retained(self):
        self.client().publish("al/kept", b"x", retain=True)
        c = self.client(properties={"topic_alias_maximum": 2})
        c.subscribe("al/kept", properties={"subscription_id": 7})
        c.receive("al/kept", b"x", retain=True, props={"topic_alias": 1, "subscription_id": [7]})
        c.publish("al/kept", b"", retain=True)


AliasOutV5 = v5(AliasOutCases)


class ReasonCases(Case):
    """Reason strings: only with packets and sizes that the client allows."""
    config = {"mqtt": {"max_topic_levels": 4, "max_subscriptions": 3}}
    deep = "a/b/c/d/e"

    def test_puback__says_why(self):
        for qos, kind in ((1, m.PUBACK), (2, m.PUBREC)):
            c = self.client()
            c.send(m.publish(self.deep, b"x", qos, 1, m.V5))
            self.assertIn("levels", c.expect(kind, code=0x90).props["reason_string"])
            c.expect_silence()

    def test_suback__says_why(self):
        c = self.client()
        c.send(m.subscribe(1, (self.deep, 0), ("a", 1), version=m.V5))
        self.assertIn("filter", c.expect(m.SUBACK, codes=[0x8F, 1]).props["reason_string"])
        c.send(m.subscribe(2, *[(f"{i}", 0) for i in range(4)], version=m.V5))
        self.assertIn("subscriptions", c.expect(m.SUBACK, codes=[0, 0, 0x97, 0x97]).props["reason_string"])

    def test_unsuback__invalid_filter(self):
        c = self.client()
        c.send(m.unsubscribe(1, "a/#/b", "never", version=m.V5))
        self.assertIn("filter", c.expect(m.UNSUBACK, codes=[0x8F, 0x11]).props["reason_string"])

    def test_success__has_no_string(self):
        c = self.client()
        self.assertEqual(c.subscribe("a").props, {})
        self.assertEqual(c.publish("a/b", b"x", 1).props, {})

    def test_problem_information_0__only_connack_and_disconnect_say_why(self):
        c = self.client(properties={"request_problem_info": 0})  # [MQTT-3.1.2-29]
        c.send(m.publish(self.deep, b"x", 1, 1, m.V5))
        self.assertEqual(c.expect(m.PUBACK, code=0x90).props, {})
        c.send(m.subscribe(2, (self.deep, 0), version=m.V5))
        self.assertEqual(c.expect(m.SUBACK, codes=[0x8F]).props, {})
        c.send(m.unsubscribe(3, "a/#/b", version=m.V5))
        self.assertEqual(c.expect(m.UNSUBACK, codes=[0x8F]).props, {})
        c.send(m.connect("again", m.V5))
        self.assertTrue(c.expect(m.DISCONNECT, code=0x82).props["reason_string"])

    def test_small_packets__string_is_left_out(self):
        c = self.client(properties={"maximum_packet_size": 17})  # [MQTT-3.2.2-19], [MQTT-3.4.2-2], [MQTT-3.9.2-1]
        c.send(m.publish(self.deep, b"x", 1, 1, m.V5))
        self.assertEqual(c.expect(m.PUBACK, code=0x90).props, {})
        c.send(m.subscribe(2, (self.deep, 0), version=m.V5))
        self.assertEqual(c.expect(m.SUBACK, codes=[0x8F]).props, {})
        c.send(m.publish("", b"x", version=m.V5))
        self.assertEqual(c.expect(m.DISCONNECT, code=0x82).props, {})

    def test_connack__says_why(self):
        c = self.raw()
        c.send(m.connect("x" * 3000, m.V5))
        self.assertIn("client id", c.expect(m.CONNACK, code=0x85).props["reason_string"])
        c.expect_closed()

    def test_suback__larger_than_the_client_takes_ends_the_connection(self):
        c = self.client(properties={"maximum_packet_size": 40})  # [MQTT-3.1.2-24]
        c.send(m.subscribe(1, *[("a", 0)] * 60, version=m.V5))
        c.expect_refusal(0x95)

    def test_connack__larger_than_the_client_takes_is_not_sent(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5, properties={"maximum_packet_size": 5}))
        c.expect_closed()

    def test_publish__larger_than_the_client_takes_is_not_sent(self):
        c = self.client(properties={"maximum_packet_size": 64})  # [MQTT-3.1.2-25]
        c.subscribe(self.t, qos=1)
        sender = self.client()
        for size in (30, 64, 20):
            sender.publish(self.t, b"." * size, 1)
        c.receive(self.t, b"." * 30, 1)
        c.receive(self.t, b"." * 20, 1)


ReasonV5 = v5(ReasonCases)


class ResponseInfoCases(Case):
    config = {"mqtt": {"response_topic_prefix": "answers/${clientid}/of/${clientid}"}}

    def test_response_information__is_told_when_asked_for(self):
        answer = self.raw().connect(self.me, properties={"request_response_info": 1})
        self.assertEqual(answer.props["response_info"], f"answers/{self.me}/of/{self.me}")

    def test_response_information__is_not_told_unasked(self):
        for given in ({}, {"request_response_info": 0}):  # [MQTT-3.1.2-28]
            self.assertNotIn("response_info", self.raw().connect(self.me, properties=given).props)


ResponseInfoV5 = v5(ResponseInfoCases)


class NoResponseInfo(Case, unittest.TestCase):
    version = m.V5

    def test_response_information__none_is_configured(self):
        self.assertNotIn("response_info", self.raw().connect(self.me, properties={"request_response_info": 1}).props)
