"""Enhanced authentication: section 4.12 of MQTT 5.0, with SCRAM-SHA-256 and SCRAM-SHA-512."""
import unittest

from cases import Case
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder
from scram import Scram

METHODS = ("SCRAM-SHA-256", "SCRAM-SHA-512")
# Python's hashlib made it: a hash as this program and mosquitto_passwd wrote them before there were keys for SCRAM.
OLD_LINE = ("old:$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA==$2IVLzDcUS76iY9+wBooZzkS5Z0mI6ikZPfMieFfR1eV/GJiiRzyvvz4ne"
            "7tBn8OJ1hxZyCz95QPNeLP3ykzMiQ==\n")


class AuthCases(Case):
    version = m.V5
    more = {}

    @classmethod
    def setUpClass(cls):
        cls.users = temp_folder() / "users.pw"
        cls.users.write_text(OLD_LINE)
        for user, password in (("alice", "secret"), ("böb,=x", "pässword")):
            done = run_program("passwd", str(cls.users), user, "--iterations", "1000", stdin=password + "\n")
            assert done.returncode == 0, done
        cls.broker = Broker({"auth": {"password_file": str(cls.users), "anonymous": False, "acl_default": "allow"}, **cls.more})

    def begin(self, scram, data=None, **options):
        """A connection that has sent CONNECT with the method."""
        c = self.raw()
        given = {"auth_method": scram.method}
        data = scram.first() if data is None else data
        if data:
            given["auth_data"] = data
        c.send(m.connect(self.me, m.V5, properties={**given, **options.pop("properties", {})}, **options))
        return c

    def challenged(self, scram, **options):
        c = self.begin(scram, **options)
        asked = c.expect(m.AUTH, code=0x18)
        self.assertEqual(asked.props["auth_method"], scram.method)
        return c, asked.props["auth_data"]

    def login(self, method="SCRAM-SHA-256", user="alice", password="secret", header="n,,", **options):
        scram = Scram(method, user, password, header)
        c, challenge = self.challenged(scram, **options)
        c.send(m.auth(0x18, auth_method=method, auth_data=scram.final(challenge)))
        answer = c.expect(m.CONNACK, code=0)
        self.assertEqual(answer.props["auth_method"], method)
        self.assertEqual(answer.props["auth_data"], scram.verdict)
        return c

    def refused(self, c, *codes):
        answer = c.expect(m.CONNACK)
        self.assertIn(answer.code, codes)
        c.expect_closed()


class Auth(AuthCases, unittest.TestCase):
    def test_scram__logs_in_with_both_methods(self):
        for method in METHODS:
            c = self.login(method)
            c.subscribe(self.t)
            c.publish(self.t, b"x")
            c.receive(self.t, b"x")
            c.disconnect()

    def test_scram__names_are_escaped_and_may_have_accents(self):
        self.login(user="böb,=x", password="pässword").expect_silence()

    def test_scram__old_lines_know_sha_512(self):
        self.login("SCRAM-SHA-512", "old", "secret").expect_silence()
        self.wrong(Scram("SCRAM-SHA-256", "old", "secret"))

    def test_scram__y_says_no_binding_either(self):
        self.login(header="y,,").expect_silence()

    def test_scram__user_name_of_connect_may_be_the_same(self):
        self.login(username="alice").expect_silence()

    def test_password__still_logs_in(self):
        c = self.raw()
        c.connect(self.me, username="alice", password=b"secret")
        c.expect_silence()

    def test_connect__without_anything_is_refused(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5))
        self.refused(c, 0x86)

    def wrong(self, scram):
        c, challenge = self.challenged(scram)
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(challenge)))
        self.refused(c, 0x87)

    def test_scram__wrong_password_is_refused(self):
        for method in METHODS:
            self.wrong(Scram(method, "alice", "Secret"))

    def test_scram__unknown_user_is_asked_like_a_known_one(self):
        asked = []
        for user in ("nobody", "nobody", "alice"):
            scram = Scram("SCRAM-SHA-256", user, "secret")
            c, challenge = self.challenged(scram)
            asked.append(scram.challenge(challenge)[1:])
            c.close()
        self.assertEqual(asked[0], asked[1])  # the same salt each time
        self.assertEqual(asked[0][1], asked[2][1])
        self.assertEqual(len(asked[0][0]), len(asked[2][0]))
        self.wrong(Scram("SCRAM-SHA-256", "nobody", "secret"))

    def test_scram__unknown_user_keeps_its_salt_when_the_broker_starts_again(self):
        salts = []
        for _ in range(2):
            scram = Scram("SCRAM-SHA-256", "nobody", "secret")
            c, challenge = self.challenged(scram)
            salts.append(scram.challenge(challenge)[1])
            c.close()
            self.broker.stop()
            self.broker.start()
        self.assertEqual(salts[0], salts[1])

    def test_scram__empty_data_is_asked_for_the_first_message(self):
        scram = Scram("SCRAM-SHA-256", "alice", "secret")
        c = self.begin(scram, data=b"")
        self.assertNotIn("auth_data", c.expect(m.AUTH, code=0x18).props)
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.first()))
        challenge = c.expect(m.AUTH, code=0x18).props["auth_data"]
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(challenge)))
        c.expect(m.CONNACK, code=0)

    def test_scram__channel_binding_and_garbage_are_refused(self):
        for data in (b"p=tls-unique,,n=alice,r=abc", b"n,,n=alice", b"n,a=bob,n=alice,r=abc", b"\xff", b"n,,n=,r=abc"):
            self.refused(self.begin(Scram("SCRAM-SHA-256", "alice", "secret"), data=data), 0x87)

    def test_method__unknown_is_refused(self):
        for method in ("scram-sha-256", "SCRAM-SHA-1", "PLAIN", ""):
            c = self.raw()
            c.send(m.connect(self.me, m.V5, properties={"auth_method": method}))
            self.refused(c, 0x8C)

    def test_data__without_method_is_a_protocol_error(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5, properties={"auth_data": b"x"}))
        self.refused(c, 0x82)

    def test_user_name__of_another_is_refused(self):
        scram = Scram("SCRAM-SHA-256", "alice", "secret")
        c, challenge = self.challenged(scram, username="mallory")
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(challenge)))
        self.refused(c, 0x87)

    def test_exchange__other_packets_end_it(self):
        for packet in (m.PING, m.publish(self.t, b"x", version=m.V5), m.subscribe(1, (self.t, 0), version=m.V5),
                       m.connect(self.me, m.V5)):
            c, _ = self.challenged(Scram("SCRAM-SHA-256", "alice", "secret"))
            c.send(packet)
            self.refused(c, 0x82)

    def test_exchange__wrong_code_or_method_ends_it(self):
        scram = Scram("SCRAM-SHA-256", "alice", "secret")
        for code, method in ((0x19, scram.method), (0x00, scram.method), (0x18, "SCRAM-SHA-512")):
            c, challenge = self.challenged(scram)
            c.send(m.auth(code, auth_method=method, auth_data=scram.final(challenge)))
            self.refused(c, 0x82)
        c, _ = self.challenged(scram)
        c.send(m.auth(0x18))
        self.refused(c, 0x82)

    def test_exchange__disconnect_ends_it_without_a_word(self):
        c, _ = self.challenged(Scram("SCRAM-SHA-256", "alice", "secret"))
        c.send(m.disconnect(m.V5))
        c.expect_closed()

    def test_exchange__bytes_one_by_one(self):
        scram = Scram("SCRAM-SHA-512", "alice", "secret")
        c, challenge = self.challenged(scram)
        for byte in m.auth(0x18, auth_method=scram.method, auth_data=scram.final(challenge)):
            c.send(bytes([byte]))
        c.expect(m.CONNACK, code=0)

    def test_exchange__session_is_taken_over_only_at_its_end(self):
        old = self.login()
        scram = Scram("SCRAM-SHA-256", "alice", "secret")
        c, challenge = self.challenged(scram)
        old.expect_silence()
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(challenge)))
        c.expect(m.CONNACK, code=0)
        old.expect_refusal(0x8E)


class Again(AuthCases, unittest.TestCase):
    """Re-authentication, 4.12.1."""

    def again(self, c, method="SCRAM-SHA-256", user="alice", password="secret"):
        scram = Scram(method, user, password)
        c.send(m.auth(0x19, auth_method=method, auth_data=scram.first()))
        challenge = c.expect(m.AUTH, code=0x18).props["auth_data"]
        return scram, m.auth(0x18, auth_method=method, auth_data=scram.final(challenge))

    def test_again__goes_on_while_messages_pass(self):
        c = self.login()
        c.subscribe(self.t)
        scram, final = self.again(c)
        c.publish(self.t, b"meanwhile")
        c.receive(self.t, b"meanwhile")
        c.send(final)
        done = c.expect(m.AUTH, code=0)
        self.assertEqual(done.props, {"auth_method": scram.method, "auth_data": scram.verdict})
        c.publish(self.t, b"x")
        c.receive(self.t, b"x")

    def test_again__twice_in_a_row(self):
        c = self.login("SCRAM-SHA-512")
        for _ in range(2):
            c.send(self.again(c, "SCRAM-SHA-512")[1])
            c.expect(m.AUTH, code=0)

    def test_again__wrong_password_ends_the_connection(self):
        c = self.login()
        c.send(self.again(c, password="Secret")[1])
        c.expect_refusal(0x87)

    def test_again__another_user_ends_the_connection(self):
        c = self.login()
        c.send(self.again(c, user="böb,=x", password="pässword")[1])
        c.expect_refusal(0x87)

    def test_again__other_method_or_none_is_a_protocol_error(self):
        c = self.login()
        c.send(m.auth(0x19, auth_method="SCRAM-SHA-512", auth_data=b"n,,n=alice,r=x"))
        c.expect_refusal(0x82)
        c = self.login()
        c.send(m.auth(0x19))
        c.expect_refusal(0x82)

    def test_again__out_of_turn_is_a_protocol_error(self):
        for code in (0x18, 0x00):
            c = self.login()
            c.send(m.auth(code, auth_method="SCRAM-SHA-256", auth_data=b"x"))
            c.expect_refusal(0x82)
        c = self.login()
        self.again(c)
        c.send(m.auth(0x19, auth_method="SCRAM-SHA-256", auth_data=b"n,,n=alice,r=x"))
        c.expect_refusal(0x82)

    def test_again__after_a_plain_connect_is_a_protocol_error(self):
        c = self.raw()
        c.connect(self.me, username="alice", password=b"secret")
        c.send(m.auth(0x19, auth_method="SCRAM-SHA-256", auth_data=b"n,,n=alice,r=x"))
        c.expect_refusal(0x82)


class Guarded(AuthCases, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker.stop()
        cls.broker = Broker({"auth": {"password_file": str(cls.users), "anonymous": False, "acl_default": "allow",
                                      "ban": [{"user": "böb,=x"}], "auth_failures": {"max_user": 3, "max": 1000}}})

    def attempt(self, user, password):
        scram = Scram("SCRAM-SHA-256", user, password)
        c = self.begin(scram)
        answer = c.recv()
        if answer.kind == m.AUTH:
            c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(answer.props["auth_data"])))
            answer = c.recv()
        return answer.code

    def test_ban__holds_for_the_name_that_was_proved(self):
        self.assertEqual(self.attempt("böb,=x", "pässword"), 0x8A)

    def test_guesses__count_for_the_name_that_is_guessed_at(self):
        """Three before CONNACK or after it; then the right password is not taken either."""
        c = self.login()
        scram = Scram("SCRAM-SHA-256", "böb,=x", "wrong")
        c.send(m.auth(0x19, auth_method=scram.method, auth_data=scram.first()))
        c.send(m.auth(0x18, auth_method=scram.method, auth_data=scram.final(c.expect(m.AUTH).props["auth_data"])))
        self.assertEqual(c.expect(m.DISCONNECT).code, 0x87)
        for _ in range(3):
            self.assertIn(self.attempt("alice", "wrong"), (0x86, 0x87))
        self.assertNotEqual(self.attempt("alice", "secret"), 0)


class Slow(AuthCases, unittest.TestCase):
    more = {"mqtt": {"connect_timeout": "300ms"}}

    def test_exchange__that_does_not_end_is_cut_off_in_time(self):
        c, _ = self.challenged(Scram("SCRAM-SHA-256", "alice", "secret"))
        c.expect_closed()


class BehindAnother(AuthCases, unittest.TestCase):
    """A link before the file would have been asked first, and may say no."""
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker.stop()
        chain = [{"type": "jwt", "secret": "a secret that is long enough for it"}, {"type": "file", "path": str(cls.users)}]
        cls.broker = Broker({"auth": {"chain": chain, "anonymous": False, "acl_default": "allow"}})

    def test_method__is_not_offered_behind_a_link_that_keeps_no_keys(self):
        self.refused(self.begin(Scram("SCRAM-SHA-256", "alice", "secret")), 0x8C)


class NotOffered(Case, unittest.TestCase):
    version = m.V5

    def test_method__without_a_password_file_is_refused(self):
        c = self.raw()
        c.send(m.connect(self.me, m.V5, properties={"auth_method": "SCRAM-SHA-256"}))
        c.expect(m.CONNACK, code=0x8C)
        c.expect_closed()
