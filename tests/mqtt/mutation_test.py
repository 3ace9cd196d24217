"""Every kind of packet cut short at every byte, and with every byte changed, in 3.1, 3.1.1 and 5.0, while another client's
messages go round: what a client sends costs its own connection at most.

MUTATION_VALUES says how many values each byte is tried with (255 tries them all), MUTATION_SEED which.
"""
import os
import random
import re
import unittest

from cases import Case
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Closed

VALUES = int(os.environ.get("MUTATION_VALUES", "6"))
SEED = int(os.environ.get("MUTATION_SEED", "1"))
EVERY = 50  # so many bad packets between two round trips


def packets(v):
    """One of each, with as much in it as there can be."""
    v5 = v == m.V5
    some = {"user": [("a", "b")]} if v5 else None
    will = m.Will("mut/will", b"gone", 1, True, {"will_delay": 1, **some} if v5 else None)
    yield m.connect("mut-other", v, username="user", password=b"pw", will=will,
                    properties={"session_expiry": 5, "receive_maximum": 9, **some} if v5 else None)
    yield m.connect("mut-auth", v, properties={"auth_method": "SCRAM-SHA-256", "auth_data": b"n,,n=a,r=b"} if v5 else None)
    yield m.publish("mut/0", b"payload", 0, None, v, properties={"content_type": "t", **some} if v5 else None)
    yield m.publish("mut/1", b"payload", 1, 7, v, True, properties={"topic_alias": 1, "message_expiry": 9} if v5 else None)
    yield m.publish("mut/2", b"payload", 2, 8, v, properties={"response_topic": "r", "correlation_data": b"c"} if v5 else None)
    for kind in (m.PUBACK, m.PUBREC, m.PUBREL, m.PUBCOMP):
        yield m.ack(kind, 1, v)
        yield m.frame(kind, 2 if kind == m.PUBREL else 0, m.u16(1) + (b"\x00" + m.props(reason_string="r") if v5 else b""))
    yield m.subscribe(9, ("mut/+/a", 1), ("$share/g/mut/#", 2), version=v, properties={"subscription_id": 300} if v5 else None)
    yield m.unsubscribe(10, "mut/+/a", "$share/g/mut/#", version=v)
    yield m.PING
    yield m.disconnect(v, 4 if v5 else 0, {"session_expiry": 5, "reason_string": "r"} if v5 else None)
    yield m.auth(0x18, auth_method="SCRAM-SHA-256", auth_data=b"x")
    yield m.frame(m.CONNACK, 0, b"\x00\x00" + (b"\x00" if v5 else b""))
    yield m.frame(m.SUBACK, 0, m.u16(1) + (b"\x00" if v5 else b"") + b"\x00")
    yield m.frame(m.UNSUBACK, 0, m.u16(1) + (b"\x00\x00" if v5 else b""))
    yield m.PONG


def mutants(packet, rng):
    for n in range(1, len(packet)):
        yield packet[:n]
    for at in range(len(packet)):
        for value in rng.sample(sorted(set(range(256)) - {packet[at]}), min(VALUES, 255)):
            yield packet[:at] + bytes([value]) + packet[at + 1:]


class MutationCases(Case):
    def setUp(self):
        super().setUp()
        self.watched = self.subscriber("watched")
        self.rounds = 0

    def go_round(self):
        self.rounds += 1
        self.watched.publish("watched", b"%d" % self.rounds)
        self.watched.receive("watched", b"%d" % self.rounds)

    def suffer(self, data):
        """All of it read, as far as it goes: the broker ends the connection at the end of our side, if not before."""
        c = self.raw()
        try:
            c.send(data)
            c.sock.shutdown(1)
            c.sock.settimeout(60)
            while c.sock.recv(1 << 16):
                pass
        except (Closed, ConnectionError, OSError) as e:
            self.assertNotIsInstance(e, TimeoutError, f"the connection stays: {data.hex()}")
        c.close()

    def scenes(self, rng):
        """What is sent first, and the packet that is changed then."""
        for packet in packets(self.version):
            yield b"" if packet[0] >> 4 == m.CONNECT else m.connect(f"mut-{rng.random()}", self.version), packet

    def test_mutants__cost_their_own_connection_only(self):
        rng, n = random.Random(SEED), 0
        for before, packet in self.scenes(rng):
            for mutant in mutants(packet, rng):
                self.suffer(before + mutant)
                n += 1
                if n % EVERY == 0:
                    self.go_round()
        self.go_round()
        wait_until(lambda: re.search(r"^sluice_connections 1$", self.broker.get("/metrics")[1], re.M), 10,
                   "connections are left over")


class MutationV31(MutationCases, unittest.TestCase):
    version = m.V31


class MutationV311(MutationCases, unittest.TestCase):
    version = m.V311


class MutationV5(MutationCases, unittest.TestCase):
    version = m.V5


class MutationAuth(MutationCases, unittest.TestCase):
    """The packets of an exchange, where the broker offers one."""
    version = m.V5

    @classmethod
    def setUpClass(cls):
        users = temp_folder() / "users.pw"
        done = run_program("passwd", str(users), "alice", "--iterations", "1000", stdin="secret\n")
        assert done.returncode == 0, done
        cls.broker = Broker({"auth": {"password_file": str(users), "anonymous": True, "acl_default": "allow"}})

    def scenes(self, rng):
        method = "SCRAM-SHA-512"
        first = {"auth_method": method, "auth_data": b"n,,n=alice,r=abc"}
        connect = m.connect("mut-auth", m.V5, properties=first)
        yield b"", connect
        yield connect, m.auth(0x18, auth_method=method, auth_data=b"c=biws,r=abc,p=AAAA", reason_string="r", user=("a", "b"))
        yield m.connect("mut-auth", m.V5, properties={"auth_method": method}), m.auth(0x18, **first)
        yield connect, m.disconnect(m.V5, 4)
