"""`sluice tap`: what it writes is a test file, and `sluice test` passes it."""
import json
import subprocess
import unittest

from harness import packet as m
from harness.broker import BIN, Broker, run_program, sanitizer_env, temp_folder
from harness.client import Client

RULES = {
    "hot": {"sql": "SELECT payload.t AS t, topic FROM 'room/+' WHERE payload.t > 28", "tags": ["heat"],
            "actions": [{"republish": {"topic": "hot/${topic}", "payload": "${.}", "qos": 1}}]},
    "each": {"sql": "FOREACH payload.list AS e DO e AS e FROM 'list'", "actions": [{"console": {}}]},
    "last": {"sql": "SELECT payload.t AS t, lag(payload.t) AS before FROM 'room/+'"},
    "made": {"sql": "SELECT uuid_v4() AS id FROM 'room/+'"},
    "who": {"sql": "SELECT clientid FROM '$events/client_connected'"},
}
PAYLOADS = (b'{"t":31.5}', b'{"t":20}', b"not json", b"\xff\x00", b'{"t":30,"text":"\xc3\xa9\xe2\x80\xa8\\n\\u0007"}', b"")


class Tap(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.cases = self.folder / "cases.yaml"

    def tap(self, publish, *args):
        with Broker({"rules": RULES}, folder=self.folder) as broker:
            command = [BIN, "tap", "-c", str(broker.config_path), "-W", "120", "-o", str(self.cases), *args]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=sanitizer_env())
            self.assertEqual(process.stderr.readline(), "tapping\n")
            with Client(broker.port, m.V5) as c:
                c.connect("c")
                publish(c)
            self.said = process.communicate(timeout=180)[1]
            self.assertEqual(process.returncode, 0, self.said)
        return self.run_cases()

    def run_cases(self, *args):
        done = run_program("test", str(self.cases), "--verbose", *args)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr + self.cases.read_text())
        return done.stdout

    def rooms(self, c):
        for payload in PAYLOADS:
            c.publish("room/7", payload, qos=1)

    def test_tap__cases_pass(self):
        said = self.tap(self.rooms, "hot", "-n", str(len(PAYLOADS)))
        self.assertIn("6 passed, 0 failed", said)
        text = self.cases.read_text()
        self.assertIn('rows: [{"t":31.5,"topic":"room/7"}], actions: [[{"republish":{"topic":"hot/room/7"', text)
        self.assertIn("match: where", text)
        self.assertIn("not JSON", text)
        self.assertIn('config: "sluice.yaml"', text)

    def test_tap__a_changed_rule_fails_them(self):
        self.tap(self.rooms, "hot", "-n", "2")
        changed = json.loads((self.folder / "sluice.yaml").read_text())
        changed["rules"]["hot"]["sql"] = RULES["hot"]["sql"].replace("28", "32")
        (self.folder / "sluice.yaml").write_text(json.dumps(changed))
        self.assertEqual(run_program("test", str(self.cases)).returncode, 1)

    def test_tap__rules_that_remember_get_one_case(self):
        said = self.tap(lambda c: [c.publish("room/1", b'{"t":%d}' % t, qos=1) for t in range(3)], "last", "-n", "3")
        self.assertIn("1 passed", said)
        self.assertIn('{"t":2,"before":1}', self.cases.read_text())

    def test_tap__several_rows_and_none(self):
        self.assertIn("2 passed", self.tap(lambda c: [c.publish("list", p, qos=1) for p in (b'{"list":[1,2]}', b'{"list":[]}')],
                                           "each", "-n", "2"))

    def test_tap__what_is_made_up_is_not_expected(self):
        self.tap(self.rooms, "made", "-n", "1")
        self.assertIn("expect: {match: true}", self.cases.read_text())

    def test_tap__topics_without_a_rule__which_rules_match(self):
        self.tap(lambda c: c.publish("room/7", b'{"t":31.5}', qos=1), "-t", "room/#", "-n", "1")
        self.assertIn('{matched: ["hot", "last", "made"]}', self.cases.read_text())

    def test_tap__tags_choose_cases(self):
        self.tap(self.rooms, "hot", "-n", "1")
        self.assertIn("1 passed", self.run_cases("--tag", "heat"))
        self.assertEqual(run_program("test", str(self.cases), "--tag", "cold").returncode, 1)

    def test_tap__refuses_with_advice(self):
        with Broker({"rules": RULES}, folder=self.folder) as broker:
            def tap(*args):
                done = run_program("tap", "-c", str(broker.config_path), "-p", str(broker.port), *args)
                self.assertNotEqual(done.returncode, 0)
                return done.stderr
            self.assertIn("did you mean 'hot'", tap("hat"))
            self.assertIn("events", tap("who"))
            self.assertIn("name a rule", tap())
            self.assertIn("no message came", tap("hot", "-W", "1"))

    def test_tap__writes_over_no_file_and_leaves_no_empty_one(self):
        with Broker({"rules": RULES}, folder=self.folder) as broker:
            command = ["tap", "-c", str(broker.config_path), "-p", str(broker.port), "hot", "-W", "1", "-o", str(self.cases)]
            self.assertIn("no message came", run_program(*command).stderr)
            self.assertFalse(self.cases.exists())
            self.cases.write_text("mine")
            self.assertIn("File exists", run_program(*command).stderr)
            self.assertEqual(self.cases.read_text(), "mine")


if __name__ == "__main__":
    unittest.main()
