"""Delivery, acknowledgements and order: sections 4.1 to 4.9 of MQTT 5.0, 3.3, 3.8 and 3.10 as far as they are about that."""
import time
import unittest

from cases import Case, both, v5
from harness import packet as m
from harness.broker import Broker
from harness.client import Client


class DeliveryCases(Case):
    def test_ids__are_not_zero_and_differ_while_they_are_in_use(self):
        s, p = self.subscriber(qos=2), self.client()  # [MQTT-2.2.1-4]
        for n in range(30):
            p.publish(self.t, b"%d" % n, 1 + n % 2)
        ids = [s.expect(m.PUBLISH, payload=b"%d" % n, dup=False).pid for n in range(30)]
        self.assertEqual(len(set(ids)), 30)
        self.assertNotIn(0, ids)

    def test_connection__while_it_stands_nothing_is_sent_again(self):
        s, p = self.subscriber(qos=2), self.client()  # [MQTT-4.4.0-1]
        p.publish(self.t, b"1", 1)
        p.publish(self.t, b"2", 2)
        s.expect(m.PUBLISH, payload=b"1", qos=1)
        s.expect(m.PUBLISH, payload=b"2", qos=2)
        s.expect_silence(0.3)

    def test_qos1__same_id_again_is_another_message(self):
        s, p = self.subscriber(), self.client()  # [MQTT-4.3.2-5]
        for dup in (False, True):
            p.send(m.publish(self.t, b"x", 1, 5, self.version, dup=dup))
            p.expect(m.PUBACK, pid=5)
            s.receive(self.t, b"x", dup=False)

    def test_ids__of_the_two_directions_are_apart(self):
        c = self.subscriber(qos=2)
        self.client().publish(self.t, b"other", 2)
        first = c.receive(self.t, b"other", 2).pid
        c.send(m.publish(self.t, b"same id", 2, first + 1, self.version))
        for expected in ({m.PUBREC, m.PUBLISH}, {m.PUBREL, m.PUBCOMP}):
            got = [c.recv(), c.recv()]
            self.assertEqual({p.kind for p in got}, expected)
            self.assertEqual({p.pid for p in got}, {first + 1})
            c.send(m.ack(m.PUBREC, first + 1, self.version), m.ack(m.PUBREL, first + 1, self.version))

    def test_pubrel__come_in_the_order_of_the_pubrecs(self):
        s, p = self.subscriber(qos=2), self.client()  # [MQTT-4.6.0-4]
        for n in range(4):
            p.publish(self.t, b"%d" % n, 2)
        ids = [s.expect(m.PUBLISH, payload=b"%d" % n).pid for n in range(4)]
        order = [ids[1], ids[0], ids[3], ids[2]]
        for pid in order:
            s.send(m.ack(m.PUBREC, pid, self.version))
        self.assertEqual([s.expect(m.PUBREL, flags=2).pid for _ in order], order)

    def test_pubrec__again_is_answered_again(self):
        s, p = self.subscriber(qos=2), self.client()
        p.publish(self.t, b"x", 2)
        pid = s.expect(m.PUBLISH).pid
        for _ in range(2):
            s.send(m.ack(m.PUBREC, pid, self.version))
            s.expect(m.PUBREL, pid=pid, code=0)
        s.send(m.ack(m.PUBCOMP, pid, self.version))
        s.expect_silence(0.02)

    def test_acks__of_the_wrong_kind_change_nothing(self):
        s, p = self.subscriber(qos=2), self.client()
        p.publish(self.t, b"1", 1)
        p.publish(self.t, b"2", 2)
        one, two = s.expect(m.PUBLISH, payload=b"1").pid, s.expect(m.PUBLISH, payload=b"2").pid
        s.send(m.ack(m.PUBACK, two, self.version), m.ack(m.PUBCOMP, two, self.version), m.ack(m.PUBCOMP, one, self.version))
        s.send(m.ack(m.PUBREC, two, self.version))
        s.expect(m.PUBREL, pid=two)
        s.send(m.ack(m.PUBCOMP, two, self.version), m.ack(m.PUBACK, one, self.version))
        s.expect_silence(0.02)

    def test_resend__mixed_qos_keeps_its_order_and_ids(self):
        s = self.keeping()  # [MQTT-4.4.0-1], [MQTT-4.6.0-1]
        s.subscribe(self.t, qos=2)
        p = self.client()
        for n in range(6):
            p.publish(self.t, b"%d" % n, 1 + n % 2)
        sent = [(s.expect(m.PUBLISH, payload=b"%d" % n, dup=False).pid, n) for n in range(6)]
        s.close()
        s = self.keeping()
        for pid, n in sent:
            s.expect(m.PUBLISH, payload=b"%d" % n, dup=True, pid=pid, qos=1 + n % 2)

    def test_unsubscribe__what_was_sent_goes_on(self):
        s = self.keeping()  # [MQTT-3.10.4-3]
        s.subscribe(self.t, qos=2)
        self.client().publish(self.t, b"x", 2)
        pid = s.expect(m.PUBLISH).pid
        s.send(m.unsubscribe(9, self.t, version=self.version))
        s.expect(m.UNSUBACK, pid=9)
        s.close()
        s = self.keeping()
        s.expect(m.PUBLISH, pid=pid, dup=True)
        s.send(m.ack(m.PUBREC, pid, self.version))
        s.expect(m.PUBREL, pid=pid)
        s.send(m.ack(m.PUBCOMP, pid, self.version))
        self.client().publish(self.t, b"y", 2)
        s.expect_silence(0.02)

    def test_unsubscribe__filters_are_compared_by_their_letters(self):
        s = self.subscriber(f"{self.t}/#", f"{self.t}/+")  # [MQTT-3.10.4-1]
        for other in (f"{self.t}/a", f"{self.t}/", f"{self.t.upper()}/#", f"{self.t}/#/"[:-1] + " "):
            s.send(m.unsubscribe(9, other, version=self.version))
            s.expect(m.UNSUBACK, pid=9)
        s.publish(f"{self.t}/a", b"x")
        s.receive(f"{self.t}/a", b"x")

    def test_unsubscribe__several_filters_are_answered_in_one(self):
        s = self.subscriber(f"{self.t}/1", f"{self.t}/2")  # [MQTT-3.10.4-6], [MQTT-3.11.3-1]
        s.send(m.unsubscribe(9, f"{self.t}/1", f"{self.t}/none", f"{self.t}/2", version=self.version))
        self.assertEqual(s.expect(m.UNSUBACK, pid=9).codes, [0, 0x11, 0] if self.version == m.V5 else [])
        for n in (1, 2):
            s.publish(f"{self.t}/{n}", b"x")
        s.expect_silence(0.02)

    def test_subscribe__several_filters_are_taken_in_their_order(self):
        s = self.client()  # [MQTT-3.8.4-5], [MQTT-3.9.3-1]
        s.send(m.subscribe(9, (self.t, 2), ("a/#/b", 0), (self.t, 1), version=self.version))
        s.expect(m.SUBACK, pid=9, codes=[2, 0x8F if self.version == m.V5 else 0x80, 1])
        self.client().publish(self.t, b"x", 2)
        s.receive(self.t, b"x", 1)
        s.expect_silence(0.02)

    def test_subscribe__again_loses_nothing(self):
        s, p = self.client(), self.client()  # [MQTT-3.8.4-4]
        s.subscribe(self.t, qos=1)
        again, count, got = 0, 200, []
        p.send(*[m.publish(self.t, b"%d" % n, 1, n + 1, self.version) for n in range(count)])
        while len(got) < count:
            if again < 20:
                again += 1
                s.send(m.subscribe(1000 + again, (self.t, 1), version=self.version))
            packet = s.recv()
            if packet.kind == m.PUBLISH:
                got.append(int(packet.payload))
                s.send(m.ack(m.PUBACK, packet.pid, self.version))
        self.assertEqual(got, list(range(count)))

    def test_retained__outlive_the_session_that_left_them(self):
        self.client().publish(self.t, b"kept", 1, retain=True)  # [MQTT-3.1.2-7] of 3.1.1
        s = self.subscriber(qos=1)
        s.receive(self.t, b"kept", 1, retain=True)
        self.client().publish(self.t, b"", 1, retain=True)

    def test_retained__qos_is_kept_and_bounded_by_the_subscription(self):
        p = self.client()  # [MQTT-3.3.1-5], [MQTT-3.8.4-8]
        p.publish(self.t, b"kept", 1, retain=True)
        for qos in range(3):
            self.subscriber(qos=qos).receive(self.t, b"kept", min(qos, 1), retain=True)
        p.publish(self.t, b"", 1, retain=True)

    def test_order__of_each_qos_and_publisher_is_kept(self):
        s, publishers = self.subscriber(qos=2), [self.client() for _ in range(3)]  # [MQTT-4.6.0-5]
        for number, p in enumerate(publishers):
            for n in range(20):
                p.send(m.publish(self.t, f"{number} {n}", n % 3, n + 1 if n % 3 else None, self.version))
        got = []
        while len(got) < 60:
            packet = s.recv()
            if packet.kind == m.PUBLISH:
                got.append((packet.qos, *map(int, packet.payload.split())))
            if packet.kind == m.PUBLISH and packet.qos:
                s.send(m.ack(m.PUBACK if packet.qos == 1 else m.PUBREC, packet.pid, self.version))
            elif packet.kind == m.PUBREL:
                s.send(m.ack(m.PUBCOMP, packet.pid, self.version))
        for qos in range(3):
            for number in range(3):
                self.assertEqual([n for q, who, n in got if (q, who) == (qos, number)], list(range(qos, 20, 3)))

    def test_topic__reserved_ones_are_acknowledged_and_go_nowhere(self):
        s, p = self.subscriber("$SYS/mine"), self.client()  # [MQTT-3.3.5-2] of 3.1.1
        for qos, kind in ((1, m.PUBACK), (2, m.PUBREC)):
            p.send(m.publish("$SYS/mine", b"x", qos, 3, self.version))
            p.expect(kind, pid=3, code=0x87 if self.version == m.V5 else 0)
        s.expect_silence(0.02)

    def test_topic__shortest_and_longest_pass(self):
        for topic in ("a", "/", " ", "x" * 65535):  # [MQTT-4.7.3-1], [MQTT-4.7.3-3]
            s = self.subscriber(topic)
            s.publish(topic, b"x")
            s.receive(topic, b"x")

    def test_topic__of_very_many_levels_costs_nobody_else(self):
        deep, other = "/" * 32767, self.subscriber()
        c = self.client()
        c.send(m.publish(deep, b"x", 1, 1, self.version))
        c.expect_refusal(0x90)
        c = self.client()
        for text in (deep, "+/" * 21000 + "#"):
            c.send(m.subscribe(2, (text, 0), version=self.version))
            c.expect(m.SUBACK, codes=[0x8F if self.version == m.V5 else 0x80])
            c.send(m.unsubscribe(3, text, version=self.version))
            c.expect(m.UNSUBACK)
        w = self.raw()
        w.send(m.connect(self.me, self.version, will=m.Will(deep)))
        if self.version == m.V5:
            w.expect(m.CONNACK, code=0x90)
        w.expect_closed()
        c.publish(self.t, b"still here", 1)
        other.receive(self.t, b"still here")


DeliveryV311, DeliveryV5 = both(DeliveryCases)


class DeliveryNewCases(Case):
    def window(self, *messages, maximum=2):
        """A subscriber that has as many messages unacknowledged as it takes."""
        s = self.client(properties={"receive_maximum": maximum})
        s.subscribe(self.t, qos=2)
        p = self.client()
        for payload, qos in messages:
            p.publish(self.t, payload, qos)
        return s

    def test_window__qos1_and_qos2_count_together(self):
        s = self.window((b"1", 1), (b"2", 2), (b"3", 1), (b"4", 2))  # [MQTT-3.3.4-9], [MQTT-4.9.0-2]
        one, two = s.expect(m.PUBLISH, payload=b"1").pid, s.expect(m.PUBLISH, payload=b"2").pid
        s.expect_silence(0.02)
        s.send(m.ack(m.PUBACK, one, m.V5))
        s.expect(m.PUBLISH, payload=b"3")
        s.send(m.ack(m.PUBREC, two, m.V5))
        s.expect(m.PUBREL, pid=two)
        s.expect_silence(0.02)
        s.send(m.ack(m.PUBCOMP, two, m.V5))
        s.expect(m.PUBLISH, payload=b"4")

    def test_window__full__everything_else_is_answered(self):
        s = self.window((b"1", 1), (b"2", 1), maximum=1)  # [MQTT-3.3.4-10], [MQTT-4.9.0-3]
        s.expect(m.PUBLISH, payload=b"1")
        s.subscribe(f"{self.t}/2")
        s.publish(self.t + "/3", b"x", 1)
        s.publish(self.t + "/3", b"x", 2)
        s.send(m.unsubscribe(9, f"{self.t}/2", version=m.V5))
        s.expect(m.UNSUBACK, pid=9)
        s.expect_silence(0.02)

    def test_refused__puback_or_pubrec_is_final(self):
        s = self.keeping()  # [MQTT-4.4.0-2]
        s.subscribe(self.t, qos=2)
        p = self.client()
        p.publish(self.t, b"1", 1)
        p.publish(self.t, b"2", 2)
        s.send(m.ack(m.PUBACK, s.expect(m.PUBLISH, qos=1).pid, m.V5, 0x80))
        s.send(m.ack(m.PUBREC, s.expect(m.PUBLISH, qos=2).pid, m.V5, 0x97))
        s.expect_silence(0.02)
        s.close()
        self.keeping().expect_silence(0.02)

    def test_refused__id_of_a_refused_qos2_message_is_free(self):
        s, p = self.subscriber(qos=2), self.client()  # [MQTT-4.3.3-9]
        p.send(m.publish("$SYS/x", b"no", 2, 7, m.V5))
        p.expect(m.PUBREC, pid=7, code=0x87)
        p.send(m.publish(self.t, b"yes", 2, 7, m.V5))
        p.expect(m.PUBREC, pid=7, code=0)
        s.receive(self.t, b"yes", 2)

    def test_expiry__does_not_end_what_was_sent(self):
        s = self.keeping()  # [MQTT-4.3.3-7]
        s.subscribe(self.t, qos=2)
        p = self.client()
        for qos in (1, 2):
            p.publish(self.t, b"%d" % qos, qos, properties={"message_expiry": 1})
        sent = [s.expect(m.PUBLISH).pid for _ in range(2)]
        s.close()
        time.sleep(1.2)
        s = self.keeping()
        for qos, pid in enumerate(sent, 1):
            s.receive(self.t, b"%d" % qos, qos, dup=True, pid=pid)

    def test_expiry__does_not_end_the_exchange_with_the_publisher(self):
        p = self.client()  # [MQTT-4.3.3-13]
        p.send(m.publish(self.t, b"x", 2, 7, m.V5, properties={"message_expiry": 1}))
        p.expect(m.PUBREC, pid=7)
        time.sleep(1.2)
        p.send(m.ack(m.PUBREL, 7, m.V5))
        p.expect(m.PUBCOMP, pid=7, code=0)

    def test_session__lives_as_long_as_its_connection(self):
        s = self.client(properties={"session_expiry": 1})  # [MQTT-4.1.0-1]
        s.subscribe(self.t)
        time.sleep(1.2)
        s.publish(self.t, b"x")
        s.receive(self.t, b"x")

    def test_subscription_id__comes_with_shared_and_with_overlapping_ones(self):
        s = self.client()
        s.subscribe(f"{self.t}/#", properties={"subscription_id": 1})
        s.subscribe(f"{self.t}/+", properties={"subscription_id": 268435455})
        s.subscribe(f"$share/g/{self.t}/a", properties={"subscription_id": 3})
        s.publish(f"{self.t}/a", b"x")
        got = [s.expect(m.PUBLISH).props["subscription_id"] for _ in range(2)]
        self.assertEqual(sorted(sorted(ids) for ids in got), [[1, 268435455], [3]])

    def test_retain_as_published__0_takes_the_flag_away(self):
        s = self.client()  # [MQTT-3.3.1-12]
        s.subscribe(self.t)
        s.publish(self.t, b"x", retain=True)
        s.receive(self.t, b"x", retain=False)
        s.publish(self.t, b"", retain=True)

    def test_retain_as_published__the_flag_of_retained_messages_is_1_all_the_same(self):
        self.client().publish(self.t, b"x", retain=True)  # 3.3.1.3
        for options in (0, 8):
            s = self.client()
            s.subscribe(self.t, options=options)
            s.receive(self.t, b"x", retain=True)
        s.publish(self.t, b"", retain=True)

    def test_no_local__only_for_the_one_who_published(self):
        s, other = self.client(), self.client()  # [MQTT-3.8.3-3]
        s.subscribe(self.t, options=4)
        s.publish(self.t, b"mine")
        other.publish(self.t, b"other")
        s.receive(self.t, b"other")


DeliveryNewV5 = v5(DeliveryNewCases)


class LimitCases(Case):
    """What the broker announces in CONNACK, and then insists on."""
    config = {"mqtt": {"max_qos": 1, "retain": False, "keepalive_max": "60s", "max_packet_size": "2KB",
                       "topic_alias_max": 3, "receive_maximum": 2, "session_expiry_max": "100s"}}

    def test_limits__are_announced(self):
        answer = self.raw().connect(self.me, keepalive=120, properties={"session_expiry": 500})
        if self.version == m.V5:  # [MQTT-3.2.2-9]
            self.assertEqual(answer.props, {"maximum_qos": 1, "retain_available": 0, "maximum_packet_size": 2048,
                                            "topic_alias_maximum": 3, "receive_maximum": 2, "session_expiry": 100,
                                            "server_keep_alive": 60})

    def test_keep_alive__is_said_only_when_it_is_another(self):
        for asked, told in ((0, 60), (61, 60), (60, None), (1, None)):  # [MQTT-3.2.2-22]
            answer = self.raw().connect(f"{self.me}{asked}", keepalive=asked)
            self.assertEqual(answer.props.get("server_keep_alive"), told if self.version == m.V5 else None)

    def test_qos__above_the_maximum_ends_the_connection(self):
        c = self.client()
        c.send(m.publish(self.t, b"x", 2, 1, self.version))
        c.expect_refusal(0x9B)

    def test_qos__subscriptions_may_ask_for_more(self):
        c = self.client()  # [MQTT-3.2.2-10]
        c.send(m.subscribe(1, (self.t, 2), (self.t + "x", 0), version=self.version))
        c.expect(m.SUBACK, codes=[1, 0])

    def test_retain__ends_the_connection(self):
        c = self.client()
        c.send(m.publish(self.t, b"x", version=self.version, retain=True))
        c.expect_refusal(0x9A)

    def test_will__beyond_what_the_broker_does_is_refused(self):
        for will, code in ((m.Will("w", qos=2), 0x9B), (m.Will("w", retain=True), 0x9A)):
            c = self.raw()  # [MQTT-3.2.2-12], [MQTT-3.2.2-13]
            c.send(m.connect(self.me, self.version, will=will))
            c.expect(m.CONNACK, code=code if self.version == m.V5 else 3)
            c.expect_closed()

    def test_packet__larger_than_the_maximum_ends_the_connection(self):
        c = self.client()
        c.publish(self.t, b"x" * 2000, 1)
        c.send(m.publish(self.t, b"x" * 2048, version=self.version))
        c.expect_refusal(0x95)


LimitV311, LimitV5 = both(LimitCases)


class LengthCases(Case):
    """The longest there can be."""
    config = {"mqtt": {"max_clientid_length": 65535, "max_packet_size": "256MB", "max_connect_size": "1MB"}}
    longest = "é" + "x" * 65533

    def test_client_id__of_65535_bytes_has_its_session(self):
        s = self.keeping(self.longest)
        s.subscribe(self.t, qos=1)
        s.close()
        self.client().publish(self.t, b"x", 1)
        self.keeping(self.longest).receive(self.t, b"x", 1)

    def test_connect__everything_as_long_as_can_be(self):
        s = self.subscriber(self.longest)
        c = self.client(self.longest, username=self.longest, password=b"p" * 65535, will=m.Will(self.longest, b"w" * 65535))
        c.close()
        s.receive(self.longest, b"w" * 65535)

    def test_packet__as_long_as_can_be_is_waited_for(self):
        c = self.raw()
        answer = c.connect(self.me)
        if self.version == m.V5:
            self.assertEqual(answer.props["maximum_packet_size"], 268435460)  # with its header
        c.send(b"\x30\xff\xff\xff\x7f" + m.text(self.t))
        with self.assertRaises(TimeoutError):
            c.recv(0.05)

    def test_payload__of_many_megabytes(self):
        s, payload = self.subscriber(qos=1), b"0123456789abcdef" * (900 * 1024)
        self.client().publish(self.t, payload, 1)
        s.receive(self.t, payload, 1)


LengthV311, LengthV5 = both(LengthCases)


class OneSession(Case, unittest.TestCase):
    """3.1 has neither empty client ids nor Session Present; ids longer than 23 bytes are taken, as by others."""
    version = m.V31

    def test_client_id__longer_than_23_bytes_is_taken(self):
        for size in (1, 23, 24, 200):
            self.raw().connect("x" * size)

    def test_client_id__empty_is_refused(self):
        c = self.raw()
        c.send(m.connect("", m.V31))
        c.expect_bytes(b"\x20\x02\x00\x02")
        c.expect_closed()

    def test_session__is_kept_and_not_announced(self):
        for _ in range(2):
            c = self.raw()
            c.send(m.connect(self.me, m.V31, clean=False))
            c.expect_bytes(b"\x20\x02\x00\x00")
            c.disconnect()

    def test_messages__of_all_qos_and_a_will(self):
        s, p = self.subscriber(qos=2), self.client()
        for qos in range(3):
            p.publish(self.t, b"x", qos)
            s.receive(self.t, b"x", qos)
        self.client(will=m.Will(self.t, b"gone", 1)).close()
        s.receive(self.t, b"gone", 1)


class Goodbye(unittest.TestCase):
    def test_stop__clients_are_told_and_wills_stay(self):
        with Broker() as broker:
            with Client(broker.port, m.V5) as c, Client(broker.port) as old, Client(broker.port, m.V5) as s:
                s.connect("s")
                s.subscribe("w")
                c.connect("c", will=m.Will("w"))
                old.connect("old", will=m.Will("w"))
                broker.stop()
                for left in (c, s):  # nothing else before it: the broker goes, not the clients
                    left.expect(m.DISCONNECT, code=0x8B)
                    left.expect_closed()
                old.expect_closed()
