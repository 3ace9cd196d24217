"""Rules of the aws dialect in a running broker: the message's own facts, templates, basic ingest, `a/#`."""
import json
import unittest

from cases import ours_only
from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client

RULES = {
    "all": {"sql": "SELECT *, topic(2) AS device, clientid() AS c, get_user_properties('k') AS k, principal() AS p, accountid() AS a, length(traceid()) AS t "
                   "FROM 'dev/#' WHERE NOT isUndefined(v)"},
    "values": {"sql": "SELECT VALUE (SELECT VALUE x * 2 FROM l AS x WHERE x > 1) FROM 'list'"},
    "named": {"sql": "SELECT v, topic() AS t"},
    "shadow": {"sql": "SET @id = topic(2) SELECT v AS state.reported.v FROM 'report/+'",
               "actions": [{"republish": {"topic": "$$aws/things/${@id}/${v}", "payload": "${.}"}}]},
    "bytes": {"sql": "SELECT *, topic() AS t FROM 'bytes'",
              "actions": [{"republish": {"topic": "bytes/passed", "payload": "${.}"}},
                          {"connector": "files", "file": "bytes.jsonl"}]},
    "old": {"sql": "SELECT a + a AS s, 5 / 2 AS h, sql_version() AS v FROM 'old'", "sql_version": "2015-10-08",
            "int_division": "decimal"},
}


@ours_only("rules")
class Aws(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(start=False)
        cls.out = cls.broker.folder / "out"
        cls.out.mkdir()
        rules = {name: {"dialect": "aws", "actions": [{"connector": "files", "file": f"{name}.jsonl"}], **rule}
                 for name, rule in RULES.items()}
        cls.broker.write_config({"node": {"account_id": "123456789012"},
                                  "connectors": {"files": {"type": "file", "dir": str(cls.out)}}, "rules": rules})
        cls.broker.start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def rows(self, name, count):
        path = self.out / f"{name}.jsonl"

        def read():
            return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        wait_until(lambda: len(read()) >= count, 20, lambda: f"{name}: {read()}\n{self.broker.log()[-2000:]}")
        self.assertEqual(len(read()), count)
        return read()

    def client(self, name):
        c = Client(self.broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(name)
        return c

    def test_bytes__pass_as_they_are_or_in_base64(self):
        c = self.client("raw1")
        c.subscribe("bytes/passed")
        sent = b"\x00\xff{raw"
        c.publish("bytes", sent)
        c.receive("bytes/passed", sent)
        self.assertEqual(self.rows("bytes", 1), [{"payload": "AP97cmF3", "t": "bytes"}])
        c.publish("bytes", b'[1, 2]')
        c.receive("bytes/passed", b'{"payload":[1,2],"t":"bytes"}')

    def test_rows__have_the_message_s_own_facts(self):
        c = self.client("c7")
        c.publish("dev", b'{"v":1}', qos=1)  # dev/# is not about dev
        c.publish("dev/d1", b"not json", qos=1)
        c.publish("dev/d1", b'{"w":1}', qos=1)
        c.publish("dev/d1", b'{"v":1.50}', qos=1, properties={"user": [("k", "1"), ("x", "y"), ("k", "2")]})
        self.assertEqual(self.rows("all", 1), [{"v": 1.5, "device": "d1", "c": "c7", "k": ["1", "2"], "a": "123456789012", "t": 36}])
        self.assertIn('"v":1.50', (self.out / "all.jsonl").read_text())

    def test_rows__may_be_bare_values(self):
        self.client("c1").publish("list", b'{"l":[1,2,3]}', qos=1)
        self.assertEqual(self.rows("values", 1), [[4, 6]])

    def test_basic_ingest__reaches_a_rule_without_from(self):
        c = self.client("c1")
        c.publish("$aws/rules/named/plant/x", b'{"v":4}', qos=1)
        c.publish("plant/x", b'{"v":5}', qos=1)
        self.assertEqual(self.rows("named", 1), [{"v": 4, "t": "plant/x"}])

    def test_templates__read_the_message_and_variables(self):
        c = self.client("c1")
        c.subscribe("$aws/things/#")
        c.publish("report/d9", b'{"v":3}')
        c.receive("$aws/things/d9/3", b'{"state":{"reported":{"v":3}}}')

    def test_versions__and_division_are_the_rule_s(self):
        self.client("c1").publish("old", b'{"a":2.5}', qos=1)
        self.assertEqual(self.rows("old", 1), [{"s": 5.0, "h": 2.5, "v": "2015-10-08"}])
        self.assertIn('"s":5.0', (self.out / "old.jsonl").read_text())


if __name__ == "__main__":
    unittest.main()
