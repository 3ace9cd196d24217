"""CONNECT, CONNACK, DISCONNECT, PINGREQ: sections 3.1, 3.2, 3.12, 3.14 of MQTT 5.0."""
import time

from cases import Case, both, ours_only, v5
from harness import packet as m


class ConnectCases(Case):
    config = {"mqtt": {"max_packet_size": "64KB"}}

    def test_connect__clean_start_is_accepted(self):
        self.raw().connect(self.me, session_present=False)

    def test_connect__empty_client_id_with_clean_start_is_accepted(self):
        answer = self.raw().connect("")
        if self.version == m.V5:
            self.assertTrue(answer.props["assigned_client_id"])

    def test_connect__client_ids_of_all_allowed_letters_and_lengths(self):
        letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"  # [MQTT-3.1.3-5]
        for client_id in [letters[at:at + 23] for at in range(0, len(letters), 13)] + list("09azAZ"):
            self.raw().connect(client_id)

    @ours_only("how long a client id may be")
    def test_connect__client_id_that_is_too_long_is_refused(self):
        c = self.raw()  # [MQTT-3.1.3-8], [MQTT-3.1.3-9] of 3.1.1
        c.send(m.connect("x" * 257, self.version))
        c.expect(m.CONNACK, code=0x85 if self.version == m.V5 else 2)
        c.expect_closed()

    def test_connect__two_empty_client_ids_are_two_clients(self):
        a, b = self.raw(), self.raw()
        a.connect("")
        b.connect("")
        a.expect_silence()

    def test_connect__client_id_of_200_bytes_is_accepted(self):
        self.raw().connect("x" * 200)

    def test_connect__user_name_and_password_are_taken_when_anonymous_is_allowed(self):
        self.raw().connect(self.me, username="alice", password=b"secret")

    def test_connect__arrives_byte_by_byte(self):
        c = self.raw()
        for byte in m.connect(self.me, self.version):
            c.send(bytes([byte]))
        c.expect(m.CONNACK, code=0)

    def test_connect__followed_by_publish_in_one_segment(self):
        c = self.raw()
        c.send(m.connect(self.me, self.version) + m.publish(self.t, b"x", 1, 7, self.version))
        c.expect(m.CONNACK, code=0)
        c.expect(m.PUBACK, pid=7)

    def test_connect__second_one_ends_the_connection(self):
        c = self.client()
        c.send(m.connect("again", self.version))
        c.expect_refusal(0x82)

    def test_connect__first_packet_of_another_kind_ends_the_connection(self):
        c = self.raw()
        c.send(m.publish(self.t, b"x", version=self.version))
        c.expect_closed()

    def test_connect__ping_before_connect_ends_the_connection(self):
        c = self.raw()
        c.send(m.PING)
        c.expect_closed()

    def test_connect__wrong_protocol_name_ends_the_connection(self):
        c = self.raw()
        c.send(m.connect(self.me, self.version, name="MQTX"))
        try:
            answer = c.recv()
        except Exception:  # pylint: disable=broad-except
            return  # closing without an answer is allowed
        self.assertEqual(answer.kind, m.CONNACK)
        self.assertNotEqual(answer.code, 0)

    def test_connect__reserved_flag_ends_the_connection(self):
        c = self.raw()  # [MQTT-3.1.2-3]
        c.send(m.connect(self.me, self.version, flags=0x03))
        self.refused_or_closed(c)

    def test_connect__will_qos_3_ends_the_connection(self):
        c = self.raw()  # [MQTT-3.1.2-12]
        c.send(m.connect(self.me, self.version, will=m.Will(self.t, qos=3)))
        self.refused_or_closed(c)

    def test_connect__will_flags_without_will_end_the_connection(self):
        c = self.raw()  # [MQTT-3.1.2-11]
        c.send(m.connect(self.me, self.version, flags=0x02 | 0x08))
        self.refused_or_closed(c)

    def test_connect__truncated_body_ends_the_connection(self):
        c = self.raw()
        c.send(m.frame(m.CONNECT, 0, m.connect(self.me, self.version)[2:-3]))
        self.refused_or_closed(c)

    def refused_or_closed(self, c):
        """The broker may close at once or say why in a CONNACK first [MQTT-4.13.1-1]."""
        try:
            answer = c.recv()
            self.assertEqual(answer.kind, m.CONNACK)
            self.assertIn(answer.code, (0x81, 0x82))
            c.expect_closed()
        except Exception as e:  # pylint: disable=broad-except
            if type(e).__name__ != "Closed":
                raise

    def test_ping__is_answered(self):
        c = self.client()
        c.send(m.PING)
        c.expect_bytes(b"\xd0\x00")

    def test_disconnect__closes_the_connection(self):
        c = self.client()
        c.send(m.disconnect(self.version))
        c.expect_closed()

    def test_takeover__same_client_id_ends_the_older_connection(self):
        old = self.client(self.me)
        new = self.client(self.me)
        old.expect_refusal(0x8E)
        new.expect_silence()

    def test_takeover__twenty_in_a_row_leave_the_last_one_working(self):
        clients = [self.client(self.me) for _ in range(20)]
        clients[-1].subscribe(self.t)
        clients[-1].publish(self.t, b"x")
        clients[-1].receive(self.t, b"x")

    def test_keep_alive__silent_client_is_dropped_after_one_and_a_half_times(self):
        c = self.client(keepalive=1)
        began = time.monotonic()
        c.expect_refusal(0x8D, timeout=5)
        self.assertGreater(time.monotonic() - began, 1.0)

    def test_keep_alive__pings_keep_the_connection(self):
        c = self.client(keepalive=3)
        for _ in range(4):
            time.sleep(1.2)
            c.send(m.PING)
            c.expect(m.PINGRESP)

    def test_keep_alive__publishes_keep_the_connection(self):
        c = self.client(keepalive=3)
        for _ in range(4):
            time.sleep(1.2)
            c.publish(self.t, b"x", qos=1)
        c.expect_silence()

    def test_keep_alive__zero_means_never(self):
        c = self.client(keepalive=0)
        time.sleep(0.5)
        c.expect_silence()


ConnectV311, ConnectV5 = both(ConnectCases)


class ConnectOldCases(Case):
    """What only 3.1.1 says."""

    def test_connack__is_byte_exact(self):
        c = self.raw()
        c.send(m.connect(self.me))
        c.expect_bytes(b"\x20\x02\x00\x00")

    def test_connect__empty_client_id_without_clean_session_is_refused(self):
        c = self.raw()  # [MQTT-3.1.3-8]
        c.send(m.connect("", clean=False))
        c.expect_bytes(b"\x20\x02\x00\x02")
        c.expect_closed()

    def test_connect__unknown_protocol_level_is_answered_with_code_1(self):
        c = self.raw()  # [MQTT-3.1.2-2]
        c.send(m.connect(self.me, level=9))
        answer = c.recv()
        self.assertEqual(answer.kind, m.CONNACK)
        self.assertIn(answer.code, (1, 0x84))
        c.expect_closed()

    def test_connect__password_without_user_name_ends_the_connection(self):
        c = self.raw()  # [MQTT-3.1.2-22]
        c.send(m.connect(self.me, password=b"secret"))
        try:
            self.assertNotEqual(c.recv().code, 0)
        except Exception as e:  # pylint: disable=broad-except
            self.assertEqual(type(e).__name__, "Closed")

    def test_connect__version_3_1_is_understood(self):
        c = self.raw(version=m.V31)
        c.connect(self.me)
        c.subscribe(self.t)
        c.publish(self.t, b"old")
        c.receive(self.t, b"old")


ConnectOldV311 = both(ConnectOldCases)[0]


class ConnectNewCases(Case):
    """What only 5.0 says."""

    def test_connack__plain_connect_gets_only_properties_of_connack(self):
        answer = self.raw().connect(self.me)
        self.assertLessEqual(set(answer.props), {
            "session_expiry", "receive_maximum", "maximum_qos", "retain_available", "maximum_packet_size",
            "topic_alias_maximum", "wildcard_available", "subscription_ids_available", "shared_available",
            "server_keep_alive"})
        self.assertEqual(answer.props.get("maximum_qos", 2), 2)
        self.assertEqual(answer.props.get("retain_available", 1), 1)

    def test_connect__duplicate_property_is_a_protocol_error(self):
        c = self.raw()  # 3.1.2.11: including Session Expiry Interval more than once
        c.send(m.connect(self.me, m.V5, properties={"session_expiry": [1, 2]}))
        self.refused(c, 0x82)

    def test_connect__property_of_another_packet_is_refused(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5, properties={"topic_alias": 1}))
        self.refused(c, 0x81, 0x82)

    def test_connect__receive_maximum_of_zero_is_a_protocol_error(self):
        c = self.raw()  # 3.1.2.11.3
        c.send(m.connect(self.me, m.V5, properties={"receive_maximum": 0}))
        self.refused(c, 0x82)

    def test_connect__maximum_packet_size_of_zero_is_a_protocol_error(self):
        c = self.raw()  # 3.1.2.11.4
        c.send(m.connect(self.me, m.V5, properties={"maximum_packet_size": 0}))
        self.refused(c, 0x82)

    def refused(self, c, *codes):
        try:
            answer = c.recv()
        except Exception as e:  # pylint: disable=broad-except
            self.assertEqual(type(e).__name__, "Closed")
            return
        self.assertEqual(answer.kind, m.CONNACK)
        self.assertIn(answer.code, codes)
        c.expect_closed()

    @ours_only("an unknown method is answered rather than just closed")
    def test_connect__unknown_authentication_method_is_refused(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5, properties={"auth_method": "dance"}))
        c.expect(m.CONNACK, code=0x8C)
        c.expect_closed()

    def test_disconnect__longer_session_expiry_than_zero_at_connect_is_refused(self):
        c = self.client(self.me)  # 3.14.2.2.2
        c.send(m.disconnect(m.V5, properties={"session_expiry": 60}))
        c.expect_refusal(0x82)

    def test_auth__without_method_is_a_protocol_error(self):
        c = self.client()
        c.send(m.frame(m.AUTH, 0, b"\x18" + m.props()))
        c.expect_refusal(0x82)

    def test_connect__assigned_id_is_unique_and_names_the_session(self):
        first, second = self.raw(), self.raw()  # [MQTT-3.1.3-6], [MQTT-3.1.3-7], [MQTT-3.2.2-16]
        mine = first.connect("").props["assigned_client_id"]
        self.assertNotEqual(mine, second.connect("").props["assigned_client_id"])
        self.raw().connect(mine)
        first.expect_refusal(0x8E)
        second.expect_silence(0.02)

    def test_connect__empty_client_id_with_a_session_to_keep(self):
        c = self.raw()
        answer = c.connect("", clean=False, session_present=False, properties={"session_expiry": 60})
        c.close()
        self.raw().connect(answer.props["assigned_client_id"], clean=False, session_present=True)

    def test_disconnect__of_the_server_has_no_session_expiry(self):
        old = self.client(self.me, properties={"session_expiry": 60})  # [MQTT-3.14.2-2]
        self.client(self.me)
        self.assertNotIn("session_expiry", old.expect(m.DISCONNECT, code=0x8E).props)

    def test_disconnect__can_change_the_session_expiry(self):
        self.client(self.me, properties={"session_expiry": 60}).disconnect(properties={"session_expiry": 0})
        self.raw().connect(self.me, clean=False, session_present=False, properties={"session_expiry": 1}).props
        self.client(self.me, clean=False, properties={"session_expiry": 1}).disconnect(properties={"session_expiry": 60})
        time.sleep(1.2)
        self.raw().connect(self.me, clean=False, session_present=True)

    def test_connect__user_properties_are_accepted(self):
        self.raw().connect(self.me, properties={"user": [("a", "b"), ("a", "b")], "request_problem_info": 1})


ConnectNewV5 = v5(ConnectNewCases)
