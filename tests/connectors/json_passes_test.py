"""A message's JSON is read once, however many rules and databases want something of it.

json_passes.c is the broker with a count of every walk through a payload, by rules, connectors or anybody.
"""
import os
import unittest
from pathlib import Path

import sinks
from harness import broker as harness
from harness.broker import Broker, run_program

KINDS = {"kafka": sinks.ToKafka, "postgres": sinks.ToPostgres, "redis": sinks.ToRedis, "mongodb": sinks.ToFerretDB,
         "sqlite": sinks.ToSqlite}
MESSAGES = 2000
MARK = "read me once"
PAYLOAD = '{"c": 1, "n": 1000000000, "deep": {"a": [1, 2, 3]}, "text": "%s", "more": "%s"}' % (MARK, "x" * 200)
SQL = sinks.Sink.sql


class JsonPasses(unittest.TestCase):
    def passes(self, rules):
        """How often payloads were read while MESSAGES + 1 messages went into all the databases."""
        far = {kind: make() for kind, make in KINDS.items()}
        for sink in far.values():
            sink.set_up()
        counted = harness.temp_folder() / "count"
        os.environ.update(JSON_PASSES_FILE=str(counted), JSON_PASSES_MARK=MARK)
        self.addCleanup(lambda: [os.environ.pop(name, None) for name in ("JSON_PASSES_FILE", "JSON_PASSES_MARK")])
        actions = [{"connector": kind, **sink.action()} for kind, sink in far.items()]
        config = {"connectors": {kind: sink.connector() for kind, sink in far.items()}, "rules": rules(actions)}
        with Broker(config, program=str(Path(harness.BIN).parent / "bin/sluice_json_passes")) as broker:
            done = run_program("bench", "sink", "-q", "1", "-p", str(broker.port), "-n", str(MESSAGES), "--warmup", "1", "--pubs", "4",
                               "--topic", "load/{n}", "--payload-text", PAYLOAD)
            self.assertEqual(done.returncode, 0, done.stderr)
            for action in broker.status()["actions"]:
                n = broker.wait_settled(action["rule"], action["index"])
                self.assertEqual((n["delivered"], n["rejected"]), (MESSAGES + 1, 0), n)
        for kind, sink in far.items():
            self.assertEqual(len(list(sink.arrivals())), MESSAGES + 1, kind)
        return int(counted.read_text())

    def test_passes__one_rule_with_five_databases(self):
        self.assertEqual(self.passes(lambda actions: {"all": {"sql": SQL, "actions": actions}}), MESSAGES + 1)

    def test_passes__five_rules_with_a_database_each(self):
        self.assertEqual(self.passes(lambda actions: {f"r{i}": {"sql": SQL, "actions": [a]} for i, a in enumerate(actions)}), MESSAGES + 1)

    def test_passes__a_rule_that_asks_for_another_is_seen(self):
        again = 'SELECT payload.c AS c, json_decode(payload).n AS n FROM "load/#"'
        self.assertGreater(self.passes(lambda actions: {"all": {"sql": again, "actions": actions}}), MESSAGES + 1)


if __name__ == "__main__":
    unittest.main()
