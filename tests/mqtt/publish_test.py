"""PUBLISH and its acknowledgements, both ways: sections 3.3 to 3.7, 4.3, 4.4, 4.6."""
import time

from cases import Case, both, v5
from harness import packet as m


class PublishCases(Case):
    config = {"mqtt": {"max_packet_size": "64KB"}}

    def deliver(self, published, subscribed, payload=b"payload"):
        s = self.subscriber(qos=subscribed)
        self.client().publish(self.t, payload, qos=published)
        s.receive(self.t, payload, qos=min(published, subscribed), retain=False, dup=False)
        s.expect_silence()

    def test_qos0__reaches_a_qos0_subscriber(self):
        self.deliver(0, 0)

    def test_qos0__reaches_a_qos2_subscriber_as_qos0(self):
        self.deliver(0, 2)

    def test_qos1__reaches_a_qos0_subscriber_as_qos0(self):
        self.deliver(1, 0)

    def test_qos1__reaches_a_qos1_subscriber(self):
        self.deliver(1, 1)

    def test_qos1__reaches_a_qos2_subscriber_as_qos1(self):
        self.deliver(1, 2)

    def test_qos2__reaches_a_qos0_subscriber_as_qos0(self):
        self.deliver(2, 0)

    def test_qos2__reaches_a_qos1_subscriber_as_qos1(self):
        self.deliver(2, 1)

    def test_qos2__reaches_a_qos2_subscriber(self):
        self.deliver(2, 2)

    def test_payload__empty(self):
        self.deliver(1, 1, b"")

    def test_payload__all_byte_values(self):
        self.deliver(1, 1, bytes(range(256)))

    def test_payload__60000_bytes(self):
        self.deliver(1, 1, b"x" * 60000)

    def test_payload__length_at_the_borders_of_the_length_field(self):
        s = self.subscriber(qos=1)
        c = self.client()
        head = len(m.publish(self.t, b"", 1, 1, self.version)) - 2
        for total in (127, 128, 16383, 16384):
            with self.subTest(remaining_length=total):
                payload = b"x" * (total - head)
                c.publish(self.t, payload, qos=1)
                s.receive(self.t, payload, qos=1)

    def test_publish__arrives_byte_by_byte(self):
        s = self.subscriber()
        c = self.client()
        for byte in m.publish(self.t, b"slow", version=self.version):
            c.send(bytes([byte]))
        s.receive(self.t, b"slow")

    def test_publish__many_in_one_segment_keep_their_order(self):
        s = self.subscriber(qos=1)
        c = self.client()
        c.send(*[m.publish(self.t, str(i), 1, i + 1, self.version) for i in range(30)])
        for i in range(30):
            c.expect(m.PUBACK, pid=i + 1)
        for i in range(30):
            s.receive(self.t, str(i), qos=1)

    def test_publish__own_message_comes_back(self):
        c = self.subscriber(qos=1)
        c.send(m.publish(self.t, b"x", 1, 9, self.version))
        kinds = sorted(c.recv().kind for _ in range(2))
        self.assertEqual(kinds, [m.PUBLISH, m.PUBACK])

    def test_publish__topic_with_utf8_reaches_the_subscriber(self):
        topic = self.t + "/Ж/温度/\U0001f321"
        s = self.subscriber(topic)
        self.client().publish(topic, b"x")
        s.receive(topic, b"x")

    def test_publish__topics_differ_by_case(self):
        s = self.subscriber(self.t + "/a")
        self.client().publish(self.t + "/A", b"x")
        s.expect_silence()

    def test_qos1__puback_is_byte_exact(self):
        s = self.subscriber(qos=0)
        c = self.client()
        c.send(m.publish(self.t, b"x", 1, 0x1234, self.version))
        c.expect_bytes(b"\x40\x02\x12\x34")
        s.receive(self.t, b"x")

    def test_qos2__exchange_is_byte_exact(self):
        s = self.subscriber(qos=0)
        c = self.client()
        c.send(m.publish(self.t, b"x", 2, 0x1234, self.version))
        c.expect_bytes(b"\x50\x02\x12\x34")
        c.send(b"\x62\x02\x12\x34")
        c.expect_bytes(b"\x70\x02\x12\x34")
        s.receive(self.t, b"x")

    def test_qos2__repeated_publish_before_pubrel_is_delivered_once(self):
        s = self.subscriber(qos=2)  # [MQTT-4.3.3-10]
        c = self.client()
        c.send(m.publish(self.t, b"x", 2, 5, self.version))
        c.expect(m.PUBREC, pid=5)
        c.send(m.publish(self.t, b"x", 2, 5, self.version, dup=True))
        c.expect(m.PUBREC, pid=5)
        c.send(m.ack(m.PUBREL, 5, self.version))
        c.expect(m.PUBCOMP, pid=5, code=0)
        s.receive(self.t, b"x", qos=2)
        s.expect_silence()

    def test_qos2__packet_id_can_be_used_again_after_pubcomp(self):
        s = self.subscriber(qos=2)
        c = self.client()
        for payload in (b"1", b"2"):
            c.send(m.publish(self.t, payload, 2, 5, self.version))
            c.expect(m.PUBREC, pid=5)
            c.send(m.ack(m.PUBREL, 5, self.version))
            c.expect(m.PUBCOMP, pid=5)
            s.receive(self.t, payload, qos=2)

    def test_qos2__pubrel_for_an_unknown_id_is_answered(self):
        c = self.client()
        c.send(m.ack(m.PUBREL, 77, self.version))
        c.expect(m.PUBCOMP, pid=77, code=0x92 if self.version == m.V5 else 0)

    def test_qos1__puback_for_an_unknown_id_is_ignored(self):
        c = self.client()
        c.send(m.ack(m.PUBACK, 77, self.version))
        c.expect_silence()

    def test_dup__of_the_publisher_is_not_passed_on(self):
        s = self.subscriber(qos=1)  # [MQTT-3.3.1-3]
        self.client().publish(self.t, b"x", qos=1, dup=True)
        s.receive(self.t, b"x", qos=1, dup=False)

    def refusal(self, data, *codes):
        c = self.client()
        c.send(data)
        c.expect_refusal(*codes)

    def test_publish__qos_3_ends_the_connection(self):
        self.refusal(m.publish(self.t, b"x", 3, 1, self.version), 0x81)  # [MQTT-3.3.1-4]

    def test_publish__packet_id_zero_ends_the_connection(self):
        self.refusal(m.publish(self.t, b"x", 1, 0, self.version), 0x81, 0x82)  # [MQTT-2.2.1-3]

    def test_publish__wildcard_in_the_topic_ends_the_connection(self):
        self.refusal(m.publish("a/+", b"x", version=self.version), 0x81, 0x90)  # [MQTT-3.3.2-2]

    def test_publish__hash_in_the_topic_ends_the_connection(self):
        self.refusal(m.publish("a/#", b"x", version=self.version), 0x81, 0x90)

    def test_publish__empty_topic_ends_the_connection(self):
        self.refusal(m.publish("", b"x", version=self.version), 0x81, 0x82, 0x90)  # [MQTT-4.7.3-1]

    def test_publish__nul_in_the_topic_ends_the_connection(self):
        self.refusal(m.publish("a\0b", b"x", version=self.version), 0x81, 0x90)  # [MQTT-1.5.4-2]

    def test_publish__topic_that_is_not_utf8_ends_the_connection(self):
        self.refusal(m.publish(b"a/\xff\xfe", b"x", version=self.version), 0x81, 0x90)  # [MQTT-1.5.4-1]

    def test_publish__surrogate_in_the_topic_ends_the_connection(self):
        self.refusal(m.publish(b"a/\xed\xa0\x80", b"x", version=self.version), 0x81, 0x90)

    def test_publish__topic_longer_than_the_packet_ends_the_connection(self):
        self.refusal(m.frame(m.PUBLISH, 0, b"\x00\x20abc"), 0x81)

    def test_publish__larger_than_the_limit_ends_the_connection(self):
        self.refusal(m.publish(self.t, b"x" * 70000, version=self.version), 0x95)  # 4.13

    def test_publish__length_field_of_five_bytes_ends_the_connection(self):
        self.refusal(b"\x30\xff\xff\xff\xff\x01", 0x81)  # 1.5.5

    def test_packet__type_0_ends_the_connection(self):
        self.refusal(b"\x00\x00", 0x81, 0x82)

    def test_pubrel__with_wrong_flags_ends_the_connection(self):
        self.refusal(m.ack(m.PUBREL, 1, self.version, flags=0), 0x81)  # [MQTT-3.6.1-1]

    def test_packet__of_the_server_ends_the_connection(self):
        self.refusal(b"\x20\x02\x00\x00", 0x81, 0x82)


PublishV311, PublishV5 = both(PublishCases)


class FlowCases(Case):
    """Windows: 4.9."""
    config = {"mqtt": {"max_inflight": 20}}

    def fill(self, qos, window, count=10):
        s = self.client(properties={"receive_maximum": window})
        s.subscribe(self.t, qos=qos)
        p = self.client()
        for i in range(count):
            p.publish(self.t, str(i), qos=qos)
        return s

    def test_receive_maximum__no_more_than_the_window_are_out_with_qos1(self):
        s = self.fill(1, 3)
        pids = [s.expect(m.PUBLISH, payload=str(i).encode()).pid for i in range(3)]
        s.expect_silence()
        s.send(m.ack(m.PUBACK, pids[0], m.V5))
        s.expect(m.PUBLISH, payload=b"3")
        s.expect_silence()

    def test_receive_maximum__pubrec_does_not_open_the_window_pubcomp_does(self):
        s = self.fill(2, 1)
        pid = s.expect(m.PUBLISH, payload=b"0").pid
        s.send(m.ack(m.PUBREC, pid, m.V5))
        s.expect(m.PUBREL, pid=pid)
        s.expect_silence()
        s.send(m.ack(m.PUBCOMP, pid, m.V5))
        s.expect(m.PUBLISH, payload=b"1")

    def test_receive_maximum__refused_pubrec_opens_the_window(self):
        s = self.fill(2, 1)
        pid = s.expect(m.PUBLISH, payload=b"0").pid
        s.send(m.ack(m.PUBREC, pid, m.V5, 0x80))
        s.expect(m.PUBLISH, payload=b"1")

    def test_receive_maximum__does_not_count_qos0(self):
        s = self.client(properties={"receive_maximum": 1})
        s.subscribe(self.t, qos=1)
        p = self.client()
        p.publish(self.t, b"first", qos=1)
        for _ in range(5):
            p.publish(self.t, b"zero")
        s.expect(m.PUBLISH, payload=b"first")
        for _ in range(5):
            s.expect(m.PUBLISH, payload=b"zero", qos=0)

    def test_receive_maximum__client_that_exceeds_the_servers_is_disconnected(self):
        c = self.raw()
        limit = c.connect(self.me).props.get("receive_maximum", 65535)
        if limit > 20000:
            self.skipTest(f"the broker allows {limit} at once")
        c.send(*[m.publish(self.t, b"x", 2, i + 1, m.V5) for i in range(limit + 1)])
        for i in range(limit):
            c.expect(m.PUBREC, pid=i + 1)
        c.expect_refusal(0x93)

    def test_maximum_packet_size__of_the_client_is_respected(self):
        s = self.client(properties={"maximum_packet_size": 100})  # [MQTT-3.1.2-24]
        s.subscribe(self.t, qos=1)
        p = self.client()
        p.publish(self.t, b"x" * 200, qos=1)
        p.publish(self.t, b"small", qos=1)
        s.receive(self.t, b"small", qos=1)
        s.expect_silence()


FlowV5 = v5(FlowCases)


class PropertyCases(Case):
    """Properties of PUBLISH: 3.3.2.3."""

    def pass_on(self, qos=1, **properties):
        s = self.subscriber(qos=qos)
        self.client().publish(self.t, b"x", qos=qos, properties=properties)
        return s.receive(self.t, b"x", qos=qos).props

    def test_user_properties__keep_order_and_repeats(self):
        pairs = [("b", "2"), ("a", "1"), ("b", "2"), ("", "")]
        self.assertEqual(self.pass_on(user=pairs), {"user": pairs})

    def test_response_topic_and_correlation_data__pass_unchanged(self):
        sent = {"response_topic": "answers/here", "correlation_data": bytes(range(256))}
        self.assertEqual(self.pass_on(**sent), sent)

    def test_content_type__passes_unchanged(self):
        self.assertEqual(self.pass_on(content_type="application/json"), {"content_type": "application/json"})

    def test_payload_format__passes_unchanged(self):
        self.assertEqual(self.pass_on(payload_format=1), {"payload_format": 1})

    def test_properties__of_qos0_and_qos2_pass_too(self):
        for qos in (0, 2):
            with self.subTest(qos=qos):
                self.assertEqual(self.pass_on(qos=qos, content_type="text/plain"), {"content_type": "text/plain"})

    def test_properties__are_not_shown_to_an_old_client(self):
        s = self.subscriber(version=m.V311)
        self.client().publish(self.t, b"x", properties={"user": [("a", "b")], "content_type": "c"})
        s.expect_bytes(m.publish(self.t, b"x"))

    def test_properties__message_of_an_old_client_has_none(self):
        s = self.subscriber()
        self.client(version=m.V311).publish(self.t, b"x")
        self.assertEqual(s.receive(self.t, b"x").props, {})

    def test_message_expiry__passes_with_the_time_left(self):
        began = time.monotonic()
        left = self.pass_on(message_expiry=100)["message_expiry"]
        self.assertTrue(99 - (time.monotonic() - began) < left <= 100, left)

    def test_message_expiry__time_in_the_queue_is_taken_off(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        s.disconnect()
        began = time.monotonic()
        self.client().publish(self.t, b"x", qos=1, properties={"message_expiry": 100})
        time.sleep(2.1)
        again = self.keeping()
        left = again.receive(self.t, b"x", qos=1).props["message_expiry"]
        self.assertTrue(99 - (time.monotonic() - began) < left <= 98, left)

    def test_message_expiry__expired_message_is_not_delivered(self):
        s = self.keeping()
        s.subscribe(self.t, qos=1)
        s.disconnect()
        p = self.client()
        p.publish(self.t, b"short", qos=1, properties={"message_expiry": 1})
        p.publish(self.t, b"long", qos=1, properties={"message_expiry": 100})
        time.sleep(2.1)
        again = self.keeping()
        again.receive(self.t, b"long", qos=1)
        again.expect_silence()

    def test_message_expiry__expired_retained_message_is_not_delivered(self):
        self.client().publish(self.t, b"x", qos=1, retain=True, properties={"message_expiry": 1})
        time.sleep(2.1)
        self.subscriber().expect_silence()

    def refusal(self, data, *codes):
        c = self.client()
        c.send(data)
        c.expect_refusal(*codes)

    def test_properties__unknown_identifier_is_malformed(self):
        self.refusal(m.frame(m.PUBLISH, 0, m.text(self.t) + b"\x02\x7e\x00x"), 0x81, 0x82)

    def test_properties__length_beyond_the_packet_is_malformed(self):
        self.refusal(m.frame(m.PUBLISH, 0, m.text(self.t) + b"\x40\x01\x00"), 0x81)

    def test_properties__content_type_twice_is_a_protocol_error(self):
        self.refusal(m.publish(self.t, b"x", version=m.V5, properties={"content_type": ["a", "b"]}), 0x82)

    def test_properties__payload_format_2_is_refused(self):
        self.refusal(m.publish(self.t, b"x", version=m.V5, properties={"payload_format": 2}), 0x81, 0x82, 0x99)

    def test_properties__subscription_id_from_a_client_is_a_protocol_error(self):
        self.refusal(m.publish(self.t, b"x", version=m.V5, properties={"subscription_id": 1}), 0x81, 0x82)

    def test_properties__response_topic_with_wildcard_is_refused(self):
        self.refusal(m.publish(self.t, b"x", version=m.V5, properties={"response_topic": "a/#"}), 0x81, 0x82, 0x90)


PropertyV5 = v5(PropertyCases)


class AliasCases(Case):
    """Topic aliases from the client: 3.3.2.3.4."""

    def setUp(self):
        super().setUp()
        self.c = self.raw()
        self.limit = self.c.connect(self.me).props.get("topic_alias_maximum", 0)
        self.assertGreater(self.limit, 0, "the broker takes no topic aliases")

    def send_alias(self, topic, alias, payload=b"x"):
        self.c.send(m.publish(topic, payload, version=m.V5, properties={"topic_alias": alias}))

    def test_alias__stands_for_its_topic(self):
        s = self.subscriber()
        self.send_alias(self.t, 1, b"1")
        self.send_alias("", 1, b"2")
        self.assertEqual(s.receive(self.t, b"1").props, {})
        self.assertEqual(s.receive(self.t, b"2").props, {})

    def test_alias__can_be_set_anew(self):
        s = self.subscriber(self.t + "/#")
        self.send_alias(self.t + "/a", 1)
        self.send_alias(self.t + "/b", 1)
        self.send_alias("", 1)
        s.receive(self.t + "/a", b"x")
        s.receive(self.t + "/b", b"x")
        s.receive(self.t + "/b", b"x")

    def test_alias__highest_allowed_works(self):
        s = self.subscriber()
        self.send_alias(self.t, self.limit)
        self.send_alias("", self.limit)
        s.receive(self.t, b"x")
        s.receive(self.t, b"x")

    def test_alias__works_with_qos1(self):
        s = self.subscriber(qos=1)
        self.c.publish(self.t, b"1", qos=1, properties={"topic_alias": 2})
        self.c.publish("", b"2", qos=1, properties={"topic_alias": 2})
        s.receive(self.t, b"1", qos=1)
        s.receive(self.t, b"2", qos=1)

    def test_alias__zero_is_invalid(self):
        self.send_alias(self.t, 0)
        self.c.expect_refusal(0x94)

    def test_alias__above_the_maximum_is_invalid(self):
        if self.limit == 65535:
            self.skipTest("the broker takes every alias")
        self.send_alias(self.t, self.limit + 1)
        self.c.expect_refusal(0x94)

    def test_alias__never_set_is_a_protocol_error(self):
        self.send_alias("", 1)
        self.c.expect_refusal(0x82)

    def test_alias__ends_with_its_connection(self):
        self.send_alias(self.t, 1)
        self.c.disconnect()
        self.c = self.client(self.me)
        self.send_alias("", 1)
        self.c.expect_refusal(0x82)


AliasV5 = v5(AliasCases)
