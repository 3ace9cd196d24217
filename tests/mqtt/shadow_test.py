"""A changed rule beside the one in force: what is compared, and that nothing of it gets out. And tags."""
import json
import unittest

from harness import packet as m
from harness.broker import Broker, run_program, temp_folder
from harness.client import Client
from harness.scrape import Scraper


class Shadow(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def run_rules(self, rules, messages, then=None):
        """Publishes (topic, payload) and gives the status of each rule."""
        if isinstance(rules, tuple):
            rules = {"r": {"sql": rules[0], "shadow": rules[1], "actions": [{"republish": {"topic": "out", "payload": "${.}"}}]}}
        with Broker({"rules": rules, "node": {"workers": 2}}, folder=self.folder) as broker:
            with Scraper(broker) as scraper, Client(broker.port) as c, Client(broker.port) as watcher:
                watcher.connect("watcher")
                watcher.subscribe("out")
                c.connect("c")
                for topic, payload in messages:
                    c.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), qos=1)
                if then:
                    then(broker, c, watcher)
                status = {r["id"]: r for r in broker.status()["rules"]}
                self.page = broker.get("/metrics")[1]
            scraper.check()
        return status

    def counts(self, rule):
        shadow = rule["shadow"]
        return shadow["same"], shadow["different"], shadow["failed"]

    def test_shadow__same_rows_written_differently(self):
        rule = self.run_rules(("SELECT payload.t AS t FROM 'in' WHERE payload.t > 5", "select payload.t as t from 'in' where not (payload.t <= 5)"),
                              [("in", {"t": t}) for t in range(10)])["r"]
        self.assertEqual(self.counts(rule), (10, 0, 0))
        self.assertEqual((rule["matched"], rule["filtered"], rule["rows"]), (10, 6, 4))
        self.assertIn('sluice_rule_shadow_total{rule="r",result="same"} 10', self.page)

    def test_shadow__other_threshold__differs_between_the_two(self):
        def nothing_gets_out(broker, c, watcher):
            for t in (6, 7, 8, 9):
                self.assertEqual(json.loads(watcher.expect(m.PUBLISH, topic="out").payload), {"t": t})
            watcher.expect_silence()
        rule = self.run_rules(("SELECT payload.t AS t FROM 'in' WHERE payload.t > 5", "SELECT payload.t AS t FROM 'in' WHERE payload.t > 3"),
                              [("in", {"t": t}) for t in range(10)], nothing_gets_out)["r"]
        self.assertEqual(self.counts(rule), (8, 2, 0))
        last = rule["shadow"]["differences"]
        self.assertEqual([(d["topic"], d["rule"], d["shadow"]) for d in last], [("in", "", '{"t":5}\n'), ("in", "", '{"t":4}\n')])

    def test_shadow__the_bytes_of_rows_count(self):
        rule = self.run_rules(("SELECT payload.t AS t FROM 'in'", "SELECT payload.t + 0 AS t FROM 'in'"),
                              [("in", b'{"t":1}'), ("in", b'{"t":1.50}')])["r"]
        self.assertEqual(self.counts(rule), (1, 1, 0))
        self.assertEqual(rule["shadow"]["differences"][0]["rule"], '{"t":1.50}\n')

    def test_shadow__reads_every_message_of_its_own_from(self):
        rule = self.run_rules(("SELECT 1 AS x FROM 'a/+'", "SELECT 1 AS x FROM 'a/#', 'b'"),
                              [("a/1", b"{}"), ("a/1/2", b"{}"), ("b", b"{}"), ("c", b"{}")])["r"]
        self.assertEqual(self.counts(rule), (1, 2, 0))
        self.assertEqual(rule["matched"], 1)

    def test_shadow__failures_are_counted_and_say_why(self):
        rules = ("SELECT payload.t AS t FROM 'in'", "SELECT abs(payload.t) AS t FROM 'in'")
        rule = self.run_rules(rules, [("in", {"t": 1}), ("in", {"t": "x"}), ("in", b"{")])["r"]
        self.assertEqual(self.counts(rule), (2, 0, 1))
        self.assertIn("failed: line 1", rule["shadow"]["differences"][0]["shadow"])
        self.assertEqual((rule["failed"], len(rule["failures"])), (1, 1))

    def test_shadow__remembers_for_itself(self):
        rules = {"r": {"sql": "SELECT lag(payload.t) AS before, kv_store_get('k') AS k, kv_store_put('k', 1) AS p FROM 'in'",
                       "shadow": "SELECT lag(payload.t) AS before, kv_store_get('k') AS k, kv_store_put('k', 2) AS p FROM 'in'"},
                 "look": {"sql": "SELECT kv_store_get('k') AS k FROM 'look'", "actions": [{"republish": {"topic": "out", "payload": "${.}"}}]}}

        def look(broker, c, watcher):
            c.publish("look", b"{}", qos=1)
            self.assertEqual(json.loads(watcher.expect(m.PUBLISH, topic="out").payload), {"k": 1})
        last = self.run_rules(rules, [("in", {"t": t}) for t in range(3)], look)["r"]["shadow"]["differences"][0]
        self.assertIn('"before":1,"k":1,', last["rule"])
        self.assertIn('"before":1,"k":2,', last["shadow"])

    def test_shadow__among_many_guarded_rules(self):
        rules = {f"r{i}": {"sql": f"SELECT payload.v AS v FROM 'in' WHERE payload.id = 'd{i}'"} for i in range(200)}
        rules["r7"]["shadow"] = "SELECT payload.v AS v FROM 'in' WHERE payload.id = 'd8'"
        rules["r9"]["shadow"] = "SELECT payload.v AS v FROM 'in' WHERE payload.id = 'd9'"
        status = self.run_rules(rules, [("in", {"id": f"d{i % 20}", "v": i}) for i in range(100)])
        self.assertEqual(self.counts(status["r7"]), (90, 10, 0))
        self.assertEqual(self.counts(status["r9"]), (100, 0, 0))
        self.assertEqual((status["r7"]["produced"], status["r8"]["produced"]), (5, 5))

    def test_shadow__basic_ingest_and_events(self):
        rules = {"r": {"sql": "SELECT payload.t AS t FROM 'in'", "shadow": "SELECT payload.t AS t FROM 'in' WHERE payload.t > 1"},
                 "who": {"sql": "SELECT clientid FROM '$events/client_connected'", "shadow": "SELECT username FROM '$events/client_connected'"}}
        status = self.run_rules(rules, [("$aws/rules/r/in", {"t": t}) for t in range(4)])
        self.assertEqual(self.counts(status["r"]), (2, 2, 0))
        self.assertEqual(self.counts(status["who"])[1], 2)

    def test_shadow__counts_on_over_a_reload_that_leaves_it_alone(self):
        rules = {"r": {"sql": "SELECT 1 AS x FROM 'in'", "shadow": "SELECT 2 AS x FROM 'in'"}}

        def reload(broker, c, watcher):
            broker.write_config({"rules": {**rules, "other": {"sql": "SELECT 1 FROM 'x'"}}})
            broker.reload()
            broker.wait_log("reloaded")
            c.publish("in", b"{}", qos=1)
        self.assertEqual(self.counts(self.run_rules(rules, [("in", b"{}")], reload)["r"]), (0, 2, 0))

        def other(broker, c, watcher):
            rules["r"]["shadow"] = "SELECT 1 AS x FROM 'in'"
            broker.write_config({"rules": rules})
            broker.reload()
            broker.wait_log("reloaded")
            c.publish("in", b"{}", qos=1)
        self.folder = temp_folder()
        self.assertEqual(self.counts(self.run_rules(rules, [("in", b"{}")], other)["r"]), (1, 0, 0))

    def check(self, rules):
        path = self.folder / "check.yaml"
        path.write_text(json.dumps({"rules": rules}, indent=1))
        return run_program("check", "-c", str(path)).stderr

    def test_shadow__mistakes_are_told_with_their_place(self):
        self.assertIn("rules.r.shadow", self.check({"r": {"sql": "SELECT 1 FROM 'in'", "shadow": "SELECT FROM"}}))
        grouped = "SELECT count(*) AS n FROM 'in' GROUP BY tumbling('1m')"
        self.assertIn("GROUP BY", self.check({"r": {"sql": grouped, "shadow": grouped}}))

    def test_tags__are_on_the_status_page_and_bounded(self):
        rules = {"r": {"sql": "SELECT 1 AS x FROM 'in'", "tags": ["heating", "site-7"]}, "s": {"sql": "SELECT 1 AS x FROM 'in'"}}
        status = self.run_rules(rules, [])
        self.assertEqual((status["r"]["tags"], status["s"]["tags"]), (["heating", "site-7"], []))
        self.assertIn("1 to 64 bytes", self.check({"r": {"sql": "SELECT 1 FROM 'in'", "tags": ["x" * 65]}}))
        self.assertIn("tags", self.check({"r": {"sql": "SELECT 1 FROM 'in'", "tags": ["x"] * 17}}))


if __name__ == "__main__":
    unittest.main()
