"""Rows that cannot be written, a broker that is told to stop, rules that change while messages flow."""
import json
import re
import unittest

import load
from harness import packet as m
from harness.broker import ROOT, Broker, temp_folder, wait_until
from harness.client import Client
from harness.scrape import Scraper, settle


class Rows(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"

    def publish(self, broker, count, **options):
        p = load.Publisher(broker.port, "load/x", count, **options)
        p.start()
        p.finish(60)
        return p

    def test_poison_row__99_are_stored_and_1_is_in_the_dead_letter_file(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v <> 57))")
        batch = {"batch": {"rows": 100, "linger": "500ms"}}
        with Broker(load.into_table(self.folder, **batch), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                self.publish(broker, 100, window=100)
                action = broker.wait_settled("store")
            scraper.check()
        self.assertEqual((action["received"], action["delivered"], action["rejected"]), (100, 99, 1))
        self.assertEqual(load.ids(self.db), set(range(100)) - {57})
        self.assertEqual(load.query(self.db, "SELECT count(*) FROM readings"), [(99,)])
        lines = (self.folder / "data/dead/store.0.jsonl").read_text().splitlines()
        self.assertEqual(len(lines), 1)
        letter = json.loads(lines[0])
        self.assertEqual(letter["row"], {"id": 57, "v": 57})
        self.assertIn("CHECK", letter["reason"])

    def test_poison_rows__every_tenth_of_1000_is_singled_out(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v % 10 <> 3))")
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                self.publish(broker, 1000)
                action = broker.wait_settled("store")
            scraper.check()
        self.assertEqual((action["delivered"], action["rejected"]), (900, 100))
        self.assertEqual(load.ids(self.db), {i for i in range(1000) if i % 10 != 3})

    def test_dead_letters__half_a_line_of_a_crash_does_not_spoil_the_next(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v <> 5))")
        dead = self.folder / "data/dead/store.0.jsonl"
        dead.parent.mkdir(parents=True)
        dead.write_text('{"at":"2026-')
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
        self.assertEqual(json.loads(dead.read_text().splitlines()[1])["row"], {"id": 5, "v": 5})

    def test_on_error__refused_row_is_published_with_its_reason(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v <> 5))")
        told = {"on_error": {"republish": {"topic": "dead/${rule}", "payload": "${.}", "correlation_data": "${id}",
                                           "user_properties": {"reason": "${reason}"}}}}
        with Broker(load.into_table(self.folder, **told), folder=self.folder) as broker:
            with Client(broker.port, m.V5) as watcher:
                watcher.connect("watcher")
                watcher.subscribe("dead/#")
                self.publish(broker, 10)
                letter = watcher.expect(m.PUBLISH, topic="dead/store")
        self.assertEqual(json.loads(letter.payload)["id"], 5)
        self.assertEqual(letter.props["correlation_data"], b"5")
        self.assertIn("CHECK", dict(letter.props["user"])["reason"])
        self.assertIn("CHECK", json.loads(letter.payload)["reason"])

    def test_on_error__columns_are_those_of_the_reference(self):
        """Every column that rules/reference.md names is there, with its kind, and there is no other beside the parameters."""
        table = (ROOT / "rules/reference.md").read_text().split("### Columns of `on_error`")[1].split("\n## ")[0]
        told = dict(re.findall(r"^\| `([a-z_.0-9]+)` \| (\w+) \|", table, re.M))
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v < 0))")
        action = {"on_error": {"republish": {"topic": "dead", "payload": "${.}"}}, "dead_letter": {"payload": "20B"}}
        letters = []
        with Broker(load.into_table(self.folder, **action), folder=self.folder) as broker:
            broker.write_config({"rules": {"store": {**broker.config["rules"]["store"], "sql": 'SELECT 1 AS id, 2 AS v FROM "load/#"'}}})
            broker.reload()
            broker.wait_log("reloaded")
            with Client(broker.port) as watcher:
                watcher.connect("watcher")
                watcher.subscribe("dead")
                for payload in (b"short", b"x" * 100, b"\xff" * 100):
                    watcher.publish("load/x", payload, qos=1)
                    letters.append(json.loads(watcher.expect(m.PUBLISH, topic="dead").payload))
        kinds, seen = {"string": str, "object": dict, "integer": int}, {}
        for letter in letters:
            self.assertEqual((letter.pop("id"), letter.pop("v")), (1, 2))
            self.assertEqual(letter["metadata"], {"rule_id": "store", "matched": "", "trigger": None})
            seen.update(letter)
            seen.update({f"message.{name}": value for name, value in letter["message"].items()})
        self.assertEqual({name: kinds[kind] for name, kind in told.items()}, {name: type(value) for name, value in seen.items()})
        self.assertEqual([x["message"].get("payload_bytes") for x in letters], [None, 100, 100])

    def test_on_error__row_of_which_no_message_can_be_made_is_in_the_dead_letter_file(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v <> 5))")
        told = {"on_error": {"republish": {"topic": "dead/${concat(id, '/+')}", "payload": "${.}"}}}
        with Broker(load.into_table(self.folder, **told), folder=self.folder) as broker:
            self.publish(broker, 10)
            action = broker.wait_settled("store")
        self.assertEqual((action["delivered"], action["rejected"]), (9, 1))
        letter = json.loads((self.folder / "data/dead/store.0.jsonl").read_text())
        self.assertEqual(letter["row"], {"id": 5, "v": 5})

    def test_failed_rules__malformed_payloads_are_counted_and_the_rest_is_stored(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER)")
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                for i, payload in enumerate((b'{"id": 1, "v": 1}', b"not json", b'{"id": 2,', b"", b'{"id": 3, "v": 3}')):
                    c.publish(f"load/{i}", payload, qos=1)
                broker.wait_settled("store")
                rule = broker.rule("store")
        self.assertEqual((rule["matched"], rule["produced"], rule["failed"]), (5, 2, 3))
        self.assertEqual(load.ids(self.db), {1, 3})

    def test_sigterm__everything_acknowledged_is_in_the_table_when_the_broker_has_ended(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER)")
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            p = self.publish(broker, 20_000)
            self.assertEqual(broker.stop(), 0)
        self.assertEqual(p.acked - load.ids(self.db), set())

    def test_sigterm__rows_of_qos0_messages_are_delivered_too(self):
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER)")
        lingering = {"batch": {"rows": 10_000, "linger": "30s"}}
        with Broker(load.into_table(self.folder, **lingering), folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                c.send(*[m.publish("load/x", b'{"id": %d, "v": 1}' % i) for i in range(1000)])
                c.send(m.PING)
                c.expect(m.PINGRESP)
            self.assertEqual(broker.stop(), 0)
        self.assertEqual(load.ids(self.db), set(range(1000)))

    def test_sigterm__clients_are_told(self):
        with Broker(folder=self.folder) as broker:
            with Client(broker.port, m.V5) as c:
                c.connect("c")
                broker.stop()
                c.expect(m.DISCONNECT, code=0x8B)

    def test_table_missing__rows_wait_until_it_is_there(self):
        load.make_table(self.db)
        with Broker(load.into_table(self.folder, table="late", create=False), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                self.publish(broker, 50)
                load.make_table(self.db, "CREATE TABLE IF NOT EXISTS late (id INTEGER, v INTEGER)")
                action = broker.wait_settled("store")
            scraper.check()
        self.assertEqual(action["rejected"], 0)
        self.assertEqual(load.ids(self.db, "late"), set(range(50)))


class Reload(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER)")

    def echo(self, c, topic):
        """A message goes in, its echo and its acknowledgement come out, in either order."""
        c.send(m.publish("load/1", b'{"id": 1, "v": 1}', 1, 9))
        kinds = {p.kind: p for p in (c.recv(), c.recv())}
        self.assertEqual(set(kinds), {m.PUBACK, m.PUBLISH})
        self.assertEqual(kinds[m.PUBLISH].topic, topic)

    def test_sighup__new_rule_works_and_the_old_ones_go_on(self):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                c.subscribe("echo/#")
                c.publish("load/1", b'{"id": 7, "v": 1}', qos=1)
                rules = {**broker.config["rules"], "echo": {
                    "sql": 'SELECT payload.id AS id FROM "load/#"',
                    "actions": [{"republish": {"topic": "echo/${id}", "payload": "${.}"}}]}}
                broker.write_config({"rules": rules})
                broker.reload()
                wait_until(lambda: len(broker.status()["rules"]) == 2, 10, "the new rule is not there")
                self.echo(c, "echo/1")
                broker.wait_settled("store")
                self.assertEqual(broker.rule("store")["matched"], 2)
        self.assertEqual(load.ids(self.db), {1, 7})

    def bad_reload(self, changes, *words):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                mark = len(broker.log())
                broker.write_config(changes)
                broker.reload()
                line = broker.wait_log(r"sluice\.yaml:\d+:\d+", after=mark)
                for word in words:
                    self.assertIn(word, line)
                c.publish("load/1", b'{"id": 9, "v": 1}', qos=1)
                broker.wait_settled("store")
        self.assertEqual(load.ids(self.db), {9})

    def test_sighup__file_with_an_unknown_key_leaves_everything_running(self):
        self.bad_reload({"rulez": {}}, "rulez", "rules")

    def test_sighup__file_with_bad_sql_leaves_everything_running(self):
        self.bad_reload({"rules": {"store": {"sql": 'SELECT FROM "load/#"', "actions": [{"console": {}}]}}}, "store")

    def test_sighup__file_that_is_no_yaml_leaves_everything_running(self):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                mark = len(broker.log())
                broker.config_path.write_text("rules: {a: [1,\n")
                broker.reload()
                broker.wait_log(r"sluice\.yaml:\d+", after=mark)
                c.publish("load/1", b'{"id": 9, "v": 1}', qos=1)
                broker.wait_settled("store")

    def test_sighup__empty_file_leaves_everything_running(self):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            mark = len(broker.log())
            broker.config_path.write_text("")
            broker.reload()
            broker.wait_log("the file is empty", after=mark)
            self.assertEqual(len(broker.status()["rules"]), 1)

    def test_sighup__removed_rule_stops_and_its_rows_are_delivered(self):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            p = load.Publisher(broker.port, "load/x", 5000)
            p.start()
            p.finish(60)
            broker.write_config({"rules": {}})
            broker.reload()
            wait_until(lambda: not broker.status()["rules"], 10, "the rule is still there")
            wait_until(lambda: len(load.ids(self.db)) == 5000, 30, "rows of the removed rule are missing")


class Load(unittest.TestCase):
    """Everything at once; this is also what runs under the thread sanitizer."""

    def test_threads__rules_reloads_scrapes_and_take_overs_under_load(self):
        folder = temp_folder()
        db = folder / "archive.db"
        load.make_table(db, "CREATE TABLE readings (id INTEGER, v INTEGER)")
        config = load.into_table(folder)
        config["connectors"]["lines"] = {"type": "file", "dir": str(folder)}
        config["rules"]["copy"] = {
            "sql": 'SELECT payload.id AS id FROM "load/#" WHERE payload.v mod 2 = 0',
            "actions": [{"connector": "lines", "file": "lines.jsonl"},
                        {"republish": {"topic": "copy/${id}", "payload": "${.}", "qos": 1}}]}
        share, count = 3000, 4
        with Broker(config, folder=folder) as broker:
            with Scraper(broker, every_s=0.05) as scraper:
                publishers = [load.Publisher(broker.port, f"load/{i}", share, first=i * share, window=200)
                              for i in range(count)]
                with Client(broker.port) as watcher:
                    watcher.connect("watcher")
                    watcher.subscribe("copy/#", "$share/g/load/#")
                    for p in publishers:
                        p.start()
                    for i in range(6):
                        broker.reload()
                        with Client(broker.port, m.V5) as c:
                            c.connect("same", clean=False, properties={"session_expiry": 60})
                            c.send(m.subscribe(1, ("load/#", 1), (f"other/{i}", 0), version=m.V5))
                            for _ in range(20):
                                watcher.recv()
                    for p in publishers:
                        p.finish(240)
                status = settle(broker)
            scraper.check(at_least=3)
        self.assertEqual(load.ids(db), set(range(share * count)))
        rules = {r["id"]: r for r in status["rules"]}
        self.assertEqual(rules["store"]["matched"], share * count)
        self.assertEqual((rules["copy"]["produced"], rules["copy"]["filtered"]), (share * count // 2, share * count // 2))
        lines = (folder / "lines.jsonl").read_text().splitlines()
        self.assertEqual(len({json.loads(line)["id"] for line in lines}), share * count // 2)
        self.assertFalse(re.search(r"\bERROR\b", broker.log()), broker.log()[-2000:])
