"""`node.outbound`: addresses that no connector may reach are refused by `check` where they stand in the file, and whenever one is
connected to."""
import json
import socket
import unittest

from harness.broker import run_program, temp_folder

METADATA = ("169.254.169.254 is a link-local address, where cloud machines keep their metadata: not connected; if this is meant, "
            "set node.outbound.allow: [169.254.169.254/32]")


def connectors(host, port):
    return {
        "kafka": {"type": "kafka", "brokers": [f"{host}:{port}"], "connect_timeout": "1s"},
        "postgres": {"type": "postgres", "hosts": [f"{host}:{port}"], "database": "d", "user": "u", "connect_timeout": "1s"},
        "redis": {"type": "redis", "url": f"redis://{host}:{port}", "connect_timeout": "1s"},
        "mongodb": {"type": "mongodb", "url": f"mongodb://{host}:{port}", "database": "d", "connect_timeout": "1s",
                    "server_selection_timeout": "1s"},
    }


class Outbound(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def write(self, conns, **outbound):
        node = {"outbound": outbound} if outbound else {}
        (self.folder / "a.yaml").write_text(json.dumps({"node": node, "connectors": conns}, indent=1))

    def check(self, code):
        done = run_program("check", "-c", "a.yaml", cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def trial(self, name, code):
        done = run_program("connector", "test", name, "-c", "a.yaml", cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_outbound__metadata_are_out_of_reach_unless_allowed(self):
        self.write(connectors("169.254.169.254", 80))
        text = self.check(1)
        for name in connectors("x", 1):
            self.assertRegex(text, rf"(?m)^a\.yaml:\d+:\d+: connectors\.{name}: {METADATA}$".replace("[1", r"\[1").replace("]$", r"\]$"))
            with self.subTest(name):
                said = self.trial(name, 3)
                self.assertTrue(said.startswith(f"{name}: does not work: "), said)
                self.assertIn(METADATA, said)
                self.assertEqual(said.count("\n"), 1)
        self.write(connectors("169.254.169.254", 80), allow=["169.254.169.254/32"])
        self.check(0)

    def test_outbound__the_question_of_mongodbs_library_for_a_login(self):
        url = "mongodb://127.0.0.1:9/?authMechanism=MONGODB-AWS"
        conn = {"type": "mongodb", "url": url, "database": "d", "connect_timeout": "1s", "server_selection_timeout": "1s"}
        self.write({"c": conn})
        self.assertIn("connectors.c: 169.254.169.254 is a link-local address", self.check(1))
        self.assertIn("MONGODB-AWS without a user asks the machine for its login: 169.254.169.254 is", self.trial("c", 3))
        self.write({"c": {**conn, "url": url.replace("//", "//key:secret@")}})
        self.check(0)
        self.write({"c": conn}, allow=["169.254.169.254"])
        self.check(0)

    def test_outbound__every_spelling_of_an_address(self):
        for host in ("[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe", "[fe80::1]", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]",
                     "0.0.0.0", "255.255.255.255", "100.100.100.200"):
            with self.subTest(host):
                self.write({"c": connectors(host, 80)["redis"]})
                self.assertIn("connectors.c: ", self.check(1))
        self.write({"c": {"type": "kafka", "brokers": "db.example:1, PLAINTEXT://169.254.169.254:2"}})
        self.assertIn(f"connectors.c: {METADATA}", self.check(1))
        self.write({"c": {"type": "postgres", "url": "postgresql://u@a.example,[fe80::1]:5/d"}})
        self.assertIn("connectors.c: fe80::1 is a link-local address", self.check(1))
        self.write({"c": {"type": "postgres", "url": "host=a.example hostaddr=169.254.169.254 dbname=d"}})
        self.assertIn(f"connectors.c: {METADATA}", self.check(1))
        self.write({"c": {"type": "redis", "mode": "cluster", "servers": ["a:1", "[fe80::1]:2"]}})
        self.assertIn("connectors.c: fe80::1 is a link-local address", self.check(1))
        self.write({"c": {"type": "mongodb", "url": "mongodb://a,169.254.169.254:1/?replicaSet=r", "database": "d"}})
        self.assertIn(f"connectors.c: {METADATA}", self.check(1))

    def test_outbound__loopback_and_private_networks_are_fine(self):
        for host in ("127.0.0.1", "10.0.0.1", "192.168.0.1", "172.16.0.1", "[fd00::1]", "db.example"):
            self.write(connectors(host, 1))
            self.check(0)

    def test_outbound__nothing_reaches_a_server_that_is_denied(self):
        for name in connectors("x", 1):
            with self.subTest(name), socket.create_server(("127.0.0.2", 0)) as server:
                port = server.getsockname()[1]
                self.write(connectors("127.0.0.2", port), deny=["127.0.0.2"])
                self.assertIn("127.0.0.2 is in node.outbound.deny (127.0.0.2/32): not connected", self.trial(name, 3))
                server.setblocking(False)
                with self.assertRaises(BlockingIOError):
                    server.accept()
                server.settimeout(60)  # it would be heard
                self.write(connectors("127.0.0.2", port), deny=["127.0.0.0/24"], allow=["127.0.0.2/31"])
                done = run_program("connector", "test", name, "-c", "a.yaml", "--timeout", "2", cwd=self.folder)
                self.assertEqual(done.returncode, 3)
                self.assertNotIn("outbound", done.stderr)
                server.accept()[0].close()

    def test_outbound__what_is_no_network_is_refused_with_its_place(self):
        (self.folder / "a.yaml").write_text("node:\n  outbound:\n    allow: [10.1.2.3/8]\n    deny: [db.example]\n")
        self.assertEqual(self.check(1), "a.yaml:3:13: node.outbound.allow[0]: it has bits behind its first 8; did you mean "
                                        "10.0.0.0/8, or 10.1.2.3 alone?\n"
                                        "a.yaml:4:12: node.outbound.deny[0]: this is no network: write it as 10.0.0.0/8 or "
                                        "fd00::/8, or one address alone; names are not taken\n")
