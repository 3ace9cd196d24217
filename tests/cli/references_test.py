"""Secrets of a configuration that programs and files give: used, taken anew at a reload, never shown."""
import json
import re
import unittest

from harness.broker import SLOW, Broker, run_program, temp_folder, wait_until
from harness.fake import Fake

VAULT = """#!/bin/sh
[ "$1 $2" = "kv get" ] || { echo "usage: vault kv get" >&2; echo not-for-eyes; exit 2; }
[ -e secrets/"$4" ] || { echo "No value found at secret/data/$4" >&2; echo "second line" >&2; echo not-for-eyes; exit 2; }
cat secrets/"$4"
"""


class Secrets(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        (self.folder / "secrets").mkdir()
        self.write("vault", VAULT)
        (self.folder / "vault").chmod(0o755)
        self.logins, self.refuse = [], False

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def redis(self, conn):
        """Takes every login, and answers what Redis would answer to little else."""
        while True:
            words = []
            for _ in range(int(conn.line()[1:])):
                words.append(conn.read(int(conn.line()[1:]) + 2)[:-2].decode())
            if words[0].upper() == "AUTH":
                self.logins.append(tuple(words[1:]))
            if words[0].upper() == "AUTH" and self.refuse:
                conn.send(f"-WRONGPASS nobody is called {words[1]}\r\n".encode())
            elif words[0].upper() == "HELLO":
                conn.send(b"-ERR unknown command 'HELLO'\r\n")
            else:
                conn.send(b"+PONG\r\n" if words[0].upper() == "PING" else b"+OK\r\n")

    def config(self, port, **settings):
        return {"connectors": {"cache": {"type": "redis", "servers": [f"127.0.0.1:{port}"], "username": "plant", "pool": 1,
                                         "reconnect": {"first": "10ms", "max": "100ms"}, **settings}}}

    def test_exec__a_secret_is_used_rotated_and_never_shown(self):
        with Fake(self.redis) as server:
            self.write("secrets/user", "plant-7\n")
            self.write("secrets/db", "hunter2-first\n")
            config = self.config(server.port, username="${exec:./vault kv get -field=user user}",
                                 password="${exec:./vault kv get -field=password 'db'}")
            with Broker(config, folder=self.folder) as b:
                wait_until(lambda: self.logins, 30 * SLOW)
                self.assertEqual(self.logins[-1], ("plant-7", "hunter2-first"))
                b.wait_connector("cache", "up")
                before = len(self.logins)
                b.reload()  # the same secret: the connection stays
                b.wait_log("reloaded")
                self.assertEqual(len(self.logins), before)
                self.write("secrets/db", "hunter2-second\n")
                b.reload()
                wait_until(lambda: self.logins[-1] == ("plant-7", "hunter2-second"), 30 * SLOW)
                (self.folder / "secrets/db").unlink()
                b.reload()  # the vault is sealed: what runs goes on
                b.wait_log("reload refused")
                b.wait_connector("cache", "up")
                shown = json.dumps(b.status()) + b.log()
                self.assertIn("No value found at secret/data/db", shown)
                for secret in ("hunter2", "plant-7", "not-for-eyes", "second line"):
                    self.assertNotIn(secret, shown)
                settings = b.connector("cache")["settings"]
                self.assertEqual((settings["username"], settings["password"]), ("***", "***"))
        self.assertEqual(server.errors, [])

    def test_exec__a_server_that_repeats_it_is_quoted_without_it(self):
        self.refuse = True
        with Fake(self.redis) as server:
            self.write("secrets/user", "plant-7\n")
            config = self.config(server.port, username="${exec:./vault kv get -field=user user}", password="x")
            with Broker(config, folder=self.folder) as b:
                self.assertIn("nobody is called ***", b.wait_connector("cache", "down"))
                b.wait_log("nobody is called ")
                self.assertNotIn("plant-7", json.dumps(b.status()) + b.log())

    def check(self, **settings):
        self.write("a.yaml", json.dumps(self.config(1, **settings), indent=1))
        return run_program("check", "-c", "a.yaml", cwd=self.folder)

    def test_exec__check_runs_it_and_says_where_and_why_it_failed(self):
        done = self.check(password="${exec:./vault kv get -field=password db}")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^a\.yaml:\d+:\d+: connectors\.cache\.password: \$\{exec:\./vault kv get -field=password db\} "
                                      r"failed with status 2: No value found at secret/data/db\n$")
        self.write("secrets/db", "s3cret\n")
        self.assertEqual(self.check(password="${exec:./vault kv get -field=password db}").returncode, 0)
        done = self.check(password="${exec:no-such-vault kv}")
        self.assertIn("connectors.cache.password: ${exec:no-such-vault kv} names a program that is not there", done.stderr)

    def test_exec__a_mistake_in_what_it_printed_is_told_without_it(self):
        self.write("secrets/host", "hunter2@example\n")
        done = self.check(servers=["${exec:./vault kv get -field=x host}"])
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, re.escape("connectors.cache: servers[0]: this is no address but more"))
        self.assertNotIn("hunter2", done.stderr)

    def test_exec__the_connector_list_hides_it(self):
        self.write("secrets/user", "plant-7\n")
        self.check(username="${exec:./vault kv get -field=x user}", password="x")
        done = run_program("connector", "list", "-c", "a.yaml", cwd=self.folder)
        self.assertIn(" username=*** password=***", done.stdout)
        self.assertNotIn("plant-7", done.stdout)

    def test_file_url__stands_for_the_file_where_a_secret_is_wanted(self):
        with Fake(self.redis) as server:
            self.write("secrets/db", "hunter2-file\n")
            config = self.config(server.port, password=f"file://{self.folder}/secrets/db")
            with Broker(config, folder=self.folder) as b:
                wait_until(lambda: self.logins, 30 * SLOW)
                self.assertEqual(self.logins[-1], ("plant", "hunter2-file"))
                self.write("secrets/db", "hunter2-next\n")
                b.reload()
                wait_until(lambda: self.logins[-1] == ("plant", "hunter2-next"), 30 * SLOW)
                self.assertNotIn("hunter2", json.dumps(b.status()) + b.log())
