"""Who is held off at CONNECT: ban list, flapping, connect rate, wrong logins."""
import unittest

from cases import ours_only
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder
from harness.client import Client


@ours_only("ban list and limits around CONNECT")
class GuardTest(unittest.TestCase):
    def broker(self, **auth):
        b = Broker({"auth": {"anonymous": True, **auth}})
        self.addCleanup(b.stop, check=False)
        return b

    def connect(self, b, client_id, version=m.V5, **options):
        c = Client(b.port, version)
        self.addCleanup(c.close)
        c.connect(client_id, **options)
        return c

    def count(self, b, reason):
        line, = [x for x in b.get("/metrics")[1].splitlines()
                 if x.startswith(f'sluice_connects_held_off_total{{reason="{reason}"}}')]
        return int(line.rsplit(" ", 1)[1])

    def test_bans__hold_for_new_clients_and_after_a_reload_for_connected_ones(self):
        b = self.broker(ban=[{"clientid": "bad-*", "reason": "stolen"}, {"user": "mallory", "until": "2000-01-01"}])
        self.connect(b, "bad-1", code=0x8a)
        self.connect(b, "bad-1", version=m.V311, code=5)
        self.assertIn("stolen", b.wait_log("connection refused"))
        good = self.connect(b, "good", username="mallory")
        old = self.connect(b, "old", version=m.V311, username="mallory")
        other = self.connect(b, "other")
        bans = b.folder / "bans.yaml"
        bans.write_text("- {user: mallory}\n- {until: 2000-01-01}\n")
        b.write_config({"auth": {"ban_file": str(bans)}})
        after = len(b.log())
        b.reload()
        self.assertIn("bans.yaml:2", b.wait_log("reload refused", after=after))
        bans.write_text("- {user: mallory}\n")
        b.reload()
        self.assertEqual(good.expect(m.DISCONNECT).code, 0x98)
        good.expect_closed()
        old.expect_closed()
        other.publish("a", b"x", qos=1)
        self.connect(b, "good", username="mallory", code=0x8a)
        self.assertGreaterEqual(self.count(b, "banned"), 5)
        self.assertEqual(b.stop(), 0)

    def test_flapping__bans_a_client_id_for_a_while(self):
        b = self.broker(flapping={"max": 3, "window": "1h", "ban": "1h"})
        for _ in range(5):
            self.connect(b, "calm").disconnect()
        for _ in range(2):
            self.connect(b, "flap").close()
        self.connect(b, "flap")
        self.connect(b, "flap")  # by a take-over, too
        b.wait_log("banned for a while.*clientid=flap")
        self.connect(b, "flap", code=0x8a)
        self.connect(b, "flap", version=m.V311, code=5)
        self.connect(b, "calm")
        self.assertEqual(self.count(b, "flapping"), 2)
        self.assertEqual(b.stop(), 0)

    def test_connect_rate__of_an_address(self):
        b = self.broker(connect_rate={"per_second": 1, "burst": 3})
        codes = []
        for i in range(20):
            c = Client(b.port, m.V5)
            c.send(m.connect(f"c{i}", version=m.V5))
            codes.append(c.expect(m.CONNACK).code)
            c.close()
        self.assertEqual(codes[:3], [0, 0, 0])
        self.assertIn(0x9f, codes)
        b.write_config({"auth": {"exempt": ["127.0.0.0/8"]}})
        after = len(b.log())
        b.reload()
        b.wait_log("reloaded", after=after)
        for i in range(10):
            self.connect(b, f"d{i}")
        self.assertEqual(b.stop(), 0)

    def test_wrong_logins__are_refused_without_a_look(self):
        users = temp_folder() / "users"
        self.assertEqual(run_program("passwd", str(users), "alice", stdin="secret\n").returncode, 0)
        b = self.broker(anonymous=False, password_file=str(users), auth_failures={"max": 3})
        for _ in range(3):
            self.connect(b, "c", username="alice", password=b"wrong", code=0x86)
        self.connect(b, "c", username="alice", password=b"secret", code=0x9f)
        self.connect(b, "c", version=m.V311, username="alice", password=b"secret", code=3)
        self.assertEqual(self.count(b, "wrong_logins"), 2)
        b.write_config({"auth": {"exempt": ["127.0.0.1"]}})
        after = len(b.log())
        b.reload()
        b.wait_log("reloaded", after=after)
        self.connect(b, "c", username="alice", password=b"secret")
        self.assertEqual(b.stop(), 0)
