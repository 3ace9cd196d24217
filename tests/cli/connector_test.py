"""`sluice connector`: one line says whether a connection of a configuration works, or why not."""
import socket
import time
import unittest

from harness.broker import run_program, temp_folder

CONFIG = """\
connectors:
  good: {type: sqlite, path: ./good.db}
  wrong: {type: sqlite, path: /dev/null/a.db}
  nowhere: {type: "null"}
  silent: {type: postgres, url: "postgres://plant:s3cret@127.0.0.1:%(port)d/db", connect_timeout: 30s}
rules:
  r: {sql: 'SELECT * FROM "t"', actions: [{connector: good, table: never, columns: {a: "${a}"}}]}
"""


class Connector(unittest.TestCase):
    def setUp(self):
        self.listener = socket.socket()
        self.addCleanup(self.listener.close)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.folder = temp_folder()
        (self.folder / "a.yaml").write_text(CONFIG % {"port": self.listener.getsockname()[1]})

    def run_it(self, *words):
        return run_program("connector", *words, "-c", "a.yaml", cwd=self.folder)

    def test_connector__that_works_is_one_line(self):
        done = self.run_it("test", "good")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^good: fine: sqlite, connected.*\n$")
        self.assertEqual(done.stderr, "")

    def test_connector__runs_no_rule_and_needs_no_data_folder(self):
        self.assertEqual(self.run_it("test", "nowhere").returncode, 0)
        self.assertEqual([p.name for p in self.folder.iterdir()], ["a.yaml"])

    def test_connector__that_does_not_work_says_why(self):
        done = self.run_it("test", "wrong")
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertRegex(done.stderr, r"^wrong: does not work: sqlite: cannot open /dev/null/a\.db: .*check the path.*\n$")

    def test_connector__whose_server_is_silent_ends_at_the_deadline(self):
        began = time.monotonic()
        done = self.run_it("test", "silent", "--timeout", "1")
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertLess(time.monotonic() - began, 8)
        self.assertIn("no answer within 1 s", done.stderr)
        self.assertNotIn("s3cret", done.stdout + done.stderr)

    def test_connector__that_is_not_there_is_told_with_those_that_are(self):
        done = self.run_it("test", "godo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no connector 'godo'; it has: good, wrong, nowhere, silent", done.stderr)

    def test_connector__list_masks_secrets(self):
        done = self.run_it("list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("good type=sqlite path=./good.db", done.stdout)
        self.assertIn("plant:***@", done.stdout)
        self.assertNotIn("s3cret", done.stdout)

    def test_connector__wrong_use_says_what_would_be_right(self):
        for words in ([], ["test"], ["nonsense"], ["test", "good", "--timeout", "0"]):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("sluice connector", done.stderr)

    def test_connector__a_configuration_with_mistakes_is_refused(self):
        (self.folder / "a.yaml").write_text("connectors: {x: {type: sqlite, pth: a}}\n")
        done = self.run_it("test", "x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a.yaml:1:", done.stderr)


if __name__ == "__main__":
    unittest.main()
