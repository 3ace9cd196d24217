"""Packets that may not be: flags, lengths, text, properties, reason codes, and what the broker says to them, in 3.1, 3.1.1 and 5.0.

What is refused ends the connection; version 5 says why first. A healthy client is connected all the while and must not notice.
"""
import os
import unittest

from cases import Case
from harness import packet as m
from harness.broker import wait_until
from harness.client import Closed

MALFORMED, PROTOCOL = 0x81, 0x82

# 1.5.4: none of these is text; the last two are cut short.
NO_TEXT = [b"\xed\xa0\x80", b"\xed\xbf\xbf", b"a\x00b", b"\x00", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\x80",
           b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xff", b"\x80", b"\xe2\x82", b"\xf0\x9f\x98"]
# And these are, and come through as they are: the byte order mark, controls, what is no character, the last code point.
TEXT = ["\ufeffa", "a\ufeff", "\x01\x1f\x7f\x9f", "\ufdd0\uffff", "\U0010ffff", "ü ñ 漢字 😀", "\ud7ff\ue000"]

ACKS = (m.PUBACK, m.PUBREC, m.PUBREL, m.PUBCOMP)
# 2.2.2.2: which properties a client's packets may have, and how often.
ALLOWED = {
    m.CONNECT: {"session_expiry", "auth_method", "auth_data", "request_problem_info", "request_response_info",
                "receive_maximum", "topic_alias_maximum", "user", "maximum_packet_size"},
    m.PUBLISH: {"payload_format", "message_expiry", "content_type", "response_topic", "correlation_data", "topic_alias",
                "user"},
    m.SUBSCRIBE: {"subscription_id", "user"},
    m.UNSUBSCRIBE: {"user"},
    m.DISCONNECT: {"session_expiry", "reason_string", "user"},
    **{kind: {"reason_string", "user"} for kind in ACKS},
}
WILL_ALLOWED = {"payload_format", "message_expiry", "content_type", "response_topic", "correlation_data", "will_delay",
                "user"}
SAMPLE = {"byte": 1, "u16": 1, "u32": 1, "varint": 1, "text": "a", "bin": b"a", "pair": ("a", "b")}
# 2.4: reason codes that a client's packets may have.
CODES = {
    m.PUBACK: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    m.PUBREC: {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99},
    m.PUBREL: {0x00, 0x92},
    m.PUBCOMP: {0x00, 0x92},
    m.DISCONNECT: {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99},
}


def sample(name):
    return SAMPLE[m.IDENTIFIERS[name][1]]


def with_properties(kind, block, number=1):
    """A good packet of this kind, but for its property block."""
    if kind == m.CONNECT:
        return m.frame(kind, 0, m.text("MQTT") + b"\x05\x02\x00\x3c" + block + m.text(f"p{number}"))
    if kind == m.PUBLISH:
        return m.frame(kind, 0, m.text("malformed/x") + block + b"x")
    if kind == m.SUBSCRIBE:
        return m.frame(kind, 2, m.u16(number) + block + m.text("none/x") + b"\x00")
    if kind == m.UNSUBSCRIBE:
        return m.frame(kind, 2, m.u16(number) + block + m.text("none/x"))
    if kind == m.DISCONNECT:
        return m.frame(kind, 0, b"\x00" + block)
    return m.frame(kind, 2 if kind == m.PUBREL else 0, m.u16(number) + b"\x00" + block)


class MalformedCases(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.healthy = Case.raw(cls(), cls.version)
        cls.healthy.connect("healthy")
        cls.healthy.subscribe("healthy")

    @classmethod
    def tearDownClass(cls):
        cls.healthy.publish("healthy", b"still here")
        cls.healthy.receive("healthy", b"still here")
        cls.healthy.close()
        super().tearDownClass()

    def runTest(self):
        """For setUpClass, which needs an instance."""

    def refused(self, data, *codes):
        """The packet ends a connection; in version 5 with one of these codes."""
        with self.subTest(packet=data[:60].hex()):
            c = self.raw()
            c.connect(self.me)
            c.send(data)
            c.expect_refusal(*(codes or (MALFORMED,)))
            c.close()

    def refused_connect(self, data, *codes):
        """The same for what comes first: 3.x says nothing, version 5 answers with CONNACK."""
        with self.subTest(packet=data[:60].hex()):
            c = self.raw()
            c.send(data)
            if self.version == m.V5:
                answer = c.expect(m.CONNACK, session_present=False)
                self.assertIn(answer.code, codes or (MALFORMED,))
            c.expect_closed()
            c.close()

    def connect_bytes(self, **fields):
        return m.connect(fields.pop("client_id", self.me), self.version, **fields)

    # ---- flags ----

    def test_flags__every_reserved_value_is_refused(self):
        packets = {m.SUBSCRIBE: m.subscribe(1, (self.t, 0), version=self.version),
                   m.UNSUBSCRIBE: m.unsubscribe(1, self.t, version=self.version),
                   m.PINGREQ: m.PING, m.DISCONNECT: m.disconnect(self.version)}
        packets.update({kind: m.ack(kind, 1, self.version) for kind in ACKS})
        for kind, packet in packets.items():
            for flags in set(range(16)) - {packet[0] & 15}:
                self.refused(bytes([kind << 4 | flags]) + packet[1:], MALFORMED)
        for flags in range(1, 16):
            c = self.raw()  # no CONNECT, as far as can be told
            c.send(bytes([m.CONNECT << 4 | flags]) + self.connect_bytes()[1:])
            c.expect_closed()
            c.close()

    def test_flags__qos_3_and_dup_of_qos_0_are_refused(self):
        for flags in (6, 7, 14, 15, 8, 9):
            self.refused(m.frame(m.PUBLISH, flags, m.publish(self.t, b"x", 1, 1, self.version)[2:]), MALFORMED)

    def test_type__0_and_those_of_servers_are_refused(self):
        self.refused(b"\x00\x00", MALFORMED)
        suback = m.u16(1) + (b"\x00" if self.version == m.V5 else b"") + b"\x00"
        for kind, body in ((m.CONNACK, b"\x00\x00"), (m.SUBACK, suback), (m.UNSUBACK, suback), (m.PINGRESP, b"")):
            self.refused(m.frame(kind, 0, body), PROTOCOL, MALFORMED)

    def test_type__auth_without_method_is_refused(self):
        self.refused(m.frame(m.AUTH, 0, b""), PROTOCOL)
        self.refused(m.frame(m.AUTH, 0, b"\x18\x00"), PROTOCOL)
        for flags in range(1, 16):
            self.refused(m.frame(m.AUTH, flags, b"\x18\x00"), MALFORMED)

    # ---- lengths ----

    def test_length__longer_than_needed_or_than_four_bytes_is_refused(self):
        for length in (b"\x80\x00", b"\x80\x80\x00", b"\x80\x80\x80\x00", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x7f"):
            self.refused(bytes([m.PINGREQ << 4]) + length, MALFORMED)

    def test_length__shorter_than_the_packet_s_fields_is_refused(self):
        whole = {m.PUBLISH: m.publish(self.t, b"", 1, 1, self.version),
                 m.SUBSCRIBE: m.subscribe(1, (self.t, 0), version=self.version),
                 m.UNSUBSCRIBE: m.unsubscribe(1, self.t, version=self.version)}
        for packet in whole.values():
            for n in range(len(packet) - 2):
                self.refused(packet[:1] + m.varint(n) + packet[2:2 + n], MALFORMED, PROTOCOL)
        for kind in ACKS:
            for n in range(2):
                self.refused(m.frame(kind, 2 if kind == m.PUBREL else 0, b"\x00" * n), MALFORMED)

    def test_length__bytes_behind_the_last_field_are_refused(self):
        self.refused(m.frame(m.PINGREQ, 0, b"x"), MALFORMED)
        for kind in ACKS:
            body = m.u16(1) + (b"\x00\x00" if self.version == m.V5 else b"")
            self.refused(m.frame(kind, 2 if kind == m.PUBREL else 0, body + b"x"), MALFORMED, PROTOCOL)
        self.refused(m.frame(m.DISCONNECT, 0, b"\x00\x00x" if self.version == m.V5 else b"\x00"), MALFORMED)
        self.refused_connect(m.frame(m.CONNECT, 0, self.connect_bytes()[2:] + b"x"))

    def test_connect__cut_short_anywhere_is_refused(self):
        body = self.connect_bytes(username="u", password=b"p", will=m.Will("w", b"x"))[2:]
        for n in range(2, len(body)):
            if self.version != m.V5 or n > 6:  # before its level nobody knows what it speaks
                self.refused_connect(m.frame(m.CONNECT, 0, body[:n]))
            else:
                c = self.raw()
                c.send(m.frame(m.CONNECT, 0, body[:n]))
                c.expect_closed()

    # ---- packet ids ----

    def test_packet_id__zero_is_refused(self):
        self.refused(m.publish(self.t, b"x", 1, 0, self.version), PROTOCOL, MALFORMED)
        self.refused(m.publish(self.t, b"x", 2, 0, self.version), PROTOCOL, MALFORMED)
        self.refused(m.subscribe(0, (self.t, 0), version=self.version), PROTOCOL, MALFORMED)
        self.refused(m.unsubscribe(0, self.t, version=self.version), PROTOCOL, MALFORMED)
        for kind in ACKS:
            self.refused(m.ack(kind, 0, self.version), PROTOCOL, MALFORMED)

    # ---- CONNECT ----

    def test_connect__protocol_name_of_another_kind_is_refused(self):
        names = ["mqtt", "MQTT ", "MQT", "", "MQIsdp" if self.version != m.V31 else "MQTT", "MQTT-SN", "HTTP"]
        for name in names:
            with self.subTest(name=name):
                c = self.raw(m.V311)
                body = m.text(name) + self.connect_bytes()[2 + (8 if self.version == m.V31 else 6):]
                c.send(m.frame(m.CONNECT, 0, body))
                c.expect(m.CONNACK, code=1)
                c.expect_closed()

    def test_connect__level_of_another_version_is_answered_with_code_1(self):
        for level in (0, 1, 2, 6, 7, 127, 3 if self.version != m.V31 else 5):
            with self.subTest(level=level):
                c = self.raw(m.V311)
                c.send(self.connect_bytes(level=level))
                c.expect_bytes(b"\x20\x02\x00\x01")
                c.expect_closed()

    def test_connect__flags_that_contradict_each_other_are_refused(self):
        plain, will = self.connect_bytes(), self.connect_bytes(will=m.Will("w"))
        at = 2 + (8 if self.version == m.V31 else 6) + 1  # of the flags
        for packet, flags in [(plain, f) for f in (0x03, 0x01, 0x0A, 0x12, 0x22, 0x1A, 0x3A)] + [(will, 0x1E)]:
            self.refused_connect(packet[:at] + bytes([flags]) + packet[at + 1:])

    def test_connect__flag_without_its_field_and_field_without_its_flag(self):
        for flags in (0x82, 0x06, 0xC2):
            self.refused_connect(self.connect_bytes(flags=flags), MALFORMED, PROTOCOL)
        for given in ({"username": "u"}, {"will": m.Will("w")}, {"username": "u", "password": b"p"}):
            self.refused_connect(self.connect_bytes(flags=0x02, **given))

    def test_connect__password_without_user_name(self):
        packet = self.connect_bytes(password=b"p")
        if self.version != m.V5:
            self.refused_connect(packet)
            return
        c = self.raw()
        c.send(packet)
        c.expect(m.CONNACK, code=0)

    def test_connect__will_topic_that_is_none_is_refused(self):
        for topic in ("", "a/#", "+/a", "#"):
            self.refused_connect(self.connect_bytes(will=m.Will(topic)), 0x90, MALFORMED, PROTOCOL)

    # ---- text ----

    def test_text__that_is_none_is_refused_in_connect(self):
        for bad in NO_TEXT:
            for given in ({"client_id": bad}, {"username": bad}, {"will": m.Will(bad)}):
                self.refused_connect(self.connect_bytes(**given))

    def test_text__that_is_none_is_refused_in_topics_and_filters(self):
        for bad in NO_TEXT:
            self.refused(m.publish(bad, b"x", version=self.version))
            self.refused(m.subscribe(1, (bad, 0), version=self.version))
            self.refused(m.unsubscribe(1, bad, version=self.version))

    def test_text__of_every_other_kind_passes_unchanged(self):
        c = self.raw()
        c.connect("\ufeff" + self.me, username="\ufeffu")
        for n, text in enumerate(TEXT):
            topic = f"{self.t}/{text}/{n}"
            c.subscribe(topic)
            c.publish(topic, b"x")
            c.receive(topic, b"x")
        c.subscribe(f"{self.t}/+")
        c.publish(f"{self.t}/\ufeff", b"mark")
        c.receive(f"{self.t}/\ufeff", b"mark")
        c.publish(f"{self.t}/A\u030a", b"apart")  # not made one with U+00C5
        c.receive(f"{self.t}/A\u030a", b"apart")

    def test_client_id__byte_order_mark_makes_another_client(self):
        first = self.client(self.me)
        self.client("\ufeff" + self.me)
        first.expect_silence(0.02)

    # ---- topics and filters ----

    def test_topic__empty_or_with_wildcards_is_refused(self):
        for topic in ("", "#", "+", "a/#", "a/+/b", "a+", "a#b"):
            self.refused(m.publish(topic, b"x", version=self.version), 0x90, PROTOCOL, MALFORMED)

    def test_filter__options_with_reserved_bits_or_qos_3_are_refused(self):
        bad = {3, 0x40, 0x80, 0xC0, 0x43} | ({0x30} if self.version == m.V5 else {4, 8, 0x10, 0x20})
        for options in bad:
            self.refused(m.subscribe(1, (self.t, options), version=self.version), MALFORMED, PROTOCOL)

    def test_filter__without_any_is_refused(self):
        self.refused(m.subscribe(1, version=self.version), PROTOCOL, MALFORMED)
        self.refused(m.unsubscribe(1, version=self.version), PROTOCOL, MALFORMED)

    def test_order__packets_behind_a_bad_one_are_not_looked_at(self):
        s, c = self.subscriber(), self.client()
        c.send(b"\x00\x00" + m.publish(self.t, b"too late", version=self.version))
        c.expect_refusal(MALFORMED)
        s.expect_silence(0.02)

    def test_order__packets_behind_disconnect_are_not_looked_at(self):
        s, c = self.subscriber(), self.client()
        c.send(m.publish(self.t, b"before", version=self.version), m.disconnect(self.version),
               m.publish(self.t, b"behind", version=self.version))
        c.expect_closed()
        s.receive(self.t, b"before")
        s.expect_silence(0.02)

    def test_order__nothing_behind_a_refused_connect_is_looked_at(self):
        s = self.subscriber()
        c = self.raw()
        c.send(self.connect_bytes(client_id=b"\xff"), m.publish(self.t, b"no", version=self.version))
        with self.assertRaises(Closed):
            c.recv()
            c.recv()
        s.expect_silence(0.02)

    def test_order__other_packets_before_connect_end_the_connection(self):
        for packet in (m.PING, m.publish(self.t, b"x", version=self.version), m.disconnect(self.version), b"\xf0\x00", b"\x00\x00",
                       m.subscribe(1, (self.t, 0), version=self.version), m.ack(m.PUBREL, 1, self.version)):
            c = self.raw()
            c.send(packet)
            c.expect_closed()

    def test_order__second_connect_ends_the_connection(self):
        self.refused(self.connect_bytes(), PROTOCOL)


class MalformedV31(MalformedCases, unittest.TestCase):
    version = m.V31


class MalformedV311(MalformedCases, unittest.TestCase):
    version = m.V311


class MalformedV5(MalformedCases, unittest.TestCase):
    version = m.V5

    # ---- properties ----

    def judged(self, kind, block, *codes):
        data = with_properties(kind, block)
        if kind == m.CONNECT:
            self.refused_connect(data, *codes)
        else:
            self.refused(data, *codes)

    def test_properties__of_another_packet_are_refused(self):
        for kind, allowed in ALLOWED.items():
            for name in set(m.IDENTIFIERS) - allowed:
                self.judged(kind, m.props(**{name: sample(name)}), MALFORMED, PROTOCOL)

    def test_properties__twice_are_refused_but_for_user_properties(self):
        for kind, allowed in ALLOWED.items():
            for name in allowed - {"user"}:
                value = sample(name)
                more = {"auth_method": "a"} if name == "auth_data" else {}
                self.judged(kind, m.props(**{name: [value, value]}, **more), PROTOCOL)

    def test_properties__that_may_be_are_taken(self):
        for kind, allowed in ALLOWED.items():
            c = self.raw()
            given = {name: sample(name) for name in allowed - {"auth_method", "auth_data"}}
            given["user"] = [("a", "b"), ("a", "b"), ("", "")]
            if kind == m.CONNECT:
                given["maximum_packet_size"] = 1000
                c.send(with_properties(kind, m.props(**given)))
                c.expect(m.CONNACK, code=0)
                continue
            c.connect(self.me, properties={"session_expiry": 1})
            c.send(with_properties(kind, m.props(**given)))
            if kind == m.DISCONNECT:
                c.expect_closed()
            else:
                c.send(m.PING)
                while c.recv().kind != m.PINGRESP:
                    pass
            c.close()

    def test_properties__unknown_or_cut_short_are_refused(self):
        blocks = [m.varint(2) + bytes([n, 0]) for n in (0, 4, 5, 6, 7, 0x0A, 0x0C, 0x10, 0x14, 0x1B, 0x20, 0x2B, 0x7F)]
        blocks += [m.varint(3) + b"\xa6\x00\x00", b"\x80\x00", b"\x7f\x26", b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x01"]
        whole = m.props(user=("name", "value"))[1:]
        blocks += [m.varint(n) + whole[:n] for n in range(1, len(whole))]
        for kind in ALLOWED:
            for block in blocks:
                self.judged(kind, block, MALFORMED)

    def test_properties__text_that_is_none_is_refused(self):
        for bad in NO_TEXT[:6]:
            for kind, allowed in ALLOWED.items():
                for name in allowed & {"content_type", "response_topic", "reason_string", "auth_method"}:
                    self.judged(kind, m.props(**{name: bad}), MALFORMED, PROTOCOL)
                for pair in ((bad, "x"), ("x", bad)):
                    self.judged(kind, m.props(user=pair), MALFORMED)

    def test_properties__values_that_may_not_be_are_refused(self):
        for name in ("request_problem_info", "request_response_info"):
            for value in (2, 255):
                self.judged(m.CONNECT, m.props(**{name: value}), PROTOCOL)
        for name in ("receive_maximum", "maximum_packet_size"):
            self.judged(m.CONNECT, m.props(**{name: 0}), PROTOCOL)
        self.judged(m.CONNECT, m.props(auth_data=b"x"), PROTOCOL)
        self.judged(m.PUBLISH, m.props(payload_format=2), PROTOCOL, MALFORMED, 0x99)
        self.judged(m.PUBLISH, m.props(topic_alias=0), 0x94)
        self.judged(m.PUBLISH, m.props(topic_alias=65535), 0x94)
        for topic in ("", "a/#", "+"):
            self.judged(m.PUBLISH, m.props(response_topic=topic), PROTOCOL, 0x90, MALFORMED)
        self.judged(m.SUBSCRIBE, m.props(subscription_id=0), PROTOCOL)
        for number in (b"\x81\x00", b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff"):
            self.judged(m.SUBSCRIBE, m.varint(1 + len(number)) + b"\x0b" + number, MALFORMED)

    def test_properties__of_a_will(self):
        for name in set(m.IDENTIFIERS) - WILL_ALLOWED:
            self.refused_connect(self.connect_bytes(will=m.Will("w", properties={name: sample(name)})), MALFORMED, PROTOCOL)
        for name in WILL_ALLOWED - {"user"}:
            self.refused_connect(self.connect_bytes(will=m.Will("w", properties={name: [sample(name)] * 2})), PROTOCOL)
        c = self.raw()
        c.send(self.connect_bytes(will=m.Will("w", properties={name: sample(name) for name in WILL_ALLOWED})))
        c.expect(m.CONNACK, code=0)
        c.disconnect()

    # ---- reason codes ----

    def test_codes__that_may_be_are_taken(self):
        c = self.client()
        for kind in (m.PUBACK, m.PUBCOMP):
            for code in CODES[kind]:
                c.send(m.ack(kind, 9, m.V5, code))
        for code in CODES[m.PUBREC]:
            c.send(m.ack(m.PUBREC, 9, m.V5, code))
            c.expect(m.PUBREL, code=0x92)
        for code in CODES[m.PUBREL]:
            c.send(m.ack(m.PUBREL, 9, m.V5, code))
            c.expect(m.PUBCOMP, code=0x92)
        c.expect_silence(0.02)
        for code in CODES[m.DISCONNECT]:
            c = self.client()
            c.send(m.disconnect(m.V5, code))
            c.expect_closed()

    def test_codes__that_may_not_be_are_refused(self):
        for kind, allowed in CODES.items():
            for code in {0x01, 0x02, 0x03, 0x11, 0x18, 0x7F, 0x81, 0x84, 0x86, 0x8B, 0x8D, 0x8F, 0x94, 0xA2, 0xA3, 0xFF} - allowed:
                body = (b"" if kind == m.DISCONNECT else m.u16(1)) + bytes([code])
                self.refused(m.frame(kind, 2 if kind == m.PUBREL else 0, body), PROTOCOL, MALFORMED)

    def test_codes__property_length_may_be_left_out(self):
        c = self.client()
        for kind in (m.PUBACK, m.PUBCOMP):
            for tail in (b"", b"\x00", b"\x00\x00"):
                c.send(m.frame(kind, 0, m.u16(9) + tail))
        c.expect_silence(0.02)
        for body in (b"", b"\x00", b"\x00\x00"):
            c = self.client()
            c.send(m.frame(m.DISCONNECT, 0, body))
            c.expect_closed()


class Staying(Case, unittest.TestCase):
    """Who is refused may go on talking until it has read why; but not hold on to the broker's descriptors."""
    version = m.V5

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.broker.process.pid}/fd"))

    def test_refused__who_goes_on_sending_reads_why(self):
        c = self.client()
        c.send(b"\x00\x00")
        for _ in range(200):
            c.send(m.PING * 100)
        c.expect(m.DISCONNECT, code=MALFORMED)
        c.expect_closed()

    def test_refused__those_who_stay_are_left(self):
        before = self.descriptors()
        stayers = [self.raw() for _ in range(600)]
        for c in stayers:
            c.send(b"garbage")
        for c in stayers:
            c.expect_closed()
        wait_until(lambda: self.descriptors() <= before + 2, 10, lambda: f"{self.descriptors()} descriptors, {before} before")
