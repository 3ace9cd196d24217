"""What waited: rows tell so when they are sent, and may be sent another way than live ones."""
import json
import unittest

import load
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client

META = {"id": "${id}", "again": "${meta.replayed}", "delay": "${meta.delay_ms}"}
QUICK = {"first": "1ms", "max": "50ms"}


class Backlog(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"

    def config(self, actions, **rules):
        return {"connectors": {"archive": {"type": "sqlite", "path": str(self.db)}, "mem": {"type": "null"}},
                "rules": {"r": {"sql": 'SELECT payload.id AS id FROM "t"', "actions": actions}, **rules}}

    def publish(self, broker, *ids):
        with Client(broker.port) as c:
            c.connect("c")
            for n in ids:
                c.publish("t", json.dumps({"id": n}).encode(), qos=1)

    def waits_longer_than(self, broker, ms):
        wait_until(lambda: broker.action("r")["oldest_ms"] > ms, 30)

    def test_meta__rows_that_wait_for_their_table_say_so(self):
        table = {"connector": "archive", "table": "seen", "create": False, "columns": META, "retry": QUICK}
        with Broker(self.config([table]), folder=self.folder) as broker:
            self.publish(broker, 1, 2)
            self.waits_longer_than(broker, 100)
            load.make_table(self.db, "CREATE TABLE seen (id, again, delay)")
            broker.wait_settled("r")
            self.publish(broker, 3)
            broker.wait_settled("r")
            rows = load.query(self.db, "SELECT id, again, delay FROM seen ORDER BY id")
            self.assertEqual([row[:2] for row in rows], [(1, 1), (2, 1), (3, 0)])
            self.assertGreater(rows[0][2], 100)
            self.assertGreaterEqual(rows[2][2], 0)

    def test_meta__rows_that_wait_for_their_connection_and_for_a_restart_say_so(self):
        trace = self.folder / "trace"
        action = {"connector": "mem", "columns": META, "trace": str(trace)}
        away = {"connectors": {"archive": {"type": "null"}, "mem": {"type": "null", "connect_fails": 1000000}}}
        with Broker({**self.config([action]), **away}, folder=self.folder) as broker:
            self.publish(broker, 1)
            broker.kill()
            broker.start()
            self.publish(broker, 2)
            self.waits_longer_than(broker, 100)
            broker.write_config(self.config([action]))
            broker.reload()
            broker.wait_settled("r")
            self.publish(broker, 3)
            broker.wait_settled("r")
            rows = [line.split() for line in trace.read_text().splitlines()]
            self.assertEqual([row[:2] for row in rows], [["1", "true"], ["2", "true"], ["3", "false"]])
            self.assertGreater(int(rows[0][2]), 100)

    def test_meta__a_column_of_the_rule_comes_first(self):
        action = {"connector": "mem", "columns": {"a": "${meta.delay_ms}"}}
        rule = {"sql": 'SELECT payload.meta AS meta FROM "t"', "actions": [action]}
        (self.folder / "own.yaml").write_text(json.dumps(self.config([action], own=rule)))
        said = run_program("sql", "--rule", "own", "-c", "own.yaml", "--topic", "t", "--payload", '{"meta": {"delay_ms": 7}}', "--actions", cwd=self.folder)
        self.assertIn('{"a":7}', said.stdout, said)
        said = run_program("sql", "--rule", "r", "-c", "own.yaml", "--topic", "t", "--payload", '{"meta": {"delay_ms": 7}}', "--actions", cwd=self.folder)
        self.assertIn('{"a":0}', said.stdout, said)

    def test_meta__with_text_around_it_is_refused_with_advice(self):
        (self.folder / "a.yaml").write_text(json.dumps(self.config([{"connector": "mem", "value": "late by ${meta.delay_ms} ms"}])))
        said = run_program("check", "-c", "a.yaml", cwd=self.folder)
        self.assertEqual(said.returncode, 1)
        self.assertRegex(said.stderr + said.stdout, "meta.delay_ms are known when a row is sent, so each stands alone in a value")

    def test_expired__rows_make_way_for_live_ones_and_are_given_back(self):
        action = {"connector": "archive", "table": "live", "create": False, "columns": {"id": "${id}"},
                  "retry": {**QUICK, "ttl": "10s", "expired": "dead_letter"}}
        with Broker(self.config([action]), folder=self.folder) as broker:
            self.publish(broker, 1, 2)
            wait_until(lambda: broker.action("r")["rejected"] == 2, 30)
            load.make_table(self.db, "CREATE TABLE live (id)")
            letter = json.loads((self.folder / "data/dead/r.0.jsonl").read_text().splitlines()[0])
            self.publish(broker, 3)
            wait_until(lambda: load.query(self.db, "SELECT id FROM live") == [(3,)], 30)
            self.assertEqual((letter["reason"], letter["attempts"]), ("older than retry.ttl", 1))
            self.assertEqual(broker.action("r")["dropped"]["expired"], 0)
            self.assertIn("2 rows given back", run_program("replay", "-c", str(broker.config_path), cwd=self.folder).stdout)
            wait_until(lambda: load.query(self.db, "SELECT id FROM live") == [(3,), (1,), (2,)], 30)


if __name__ == "__main__":
    unittest.main()
