"""Settings of connectors and actions that change while rows wait and messages flow: nothing is lost, everything adds up."""
import random
import sqlite3
import unittest

import load
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.scrape import Scraper


class Change(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"

    def config(self, path=None, table="readings", columns=None, **action):
        return {
            "connectors": {"db": {"type": "sqlite", "path": str(path or self.db), "reconnect": {"first": "20ms", "max": "50ms"}}},
            "rules": {"store": {
                "sql": 'SELECT payload.id AS id, payload.v AS v FROM "load/#"',
                "actions": [{"connector": "db", "table": table, "columns": columns or {"id": "${id}", "v": "${v}"}, **action}]}}}

    def reload(self, broker, config):
        broker.write_config(config)
        before = len(broker.log())
        broker.reload()
        broker.wait_log(r" reloaded ", after=before)

    def publish(self, broker, count, first=0):
        p = load.Publisher(broker.port, "load/x", count, first=first)
        p.start()
        return p

    def test_change__backlog_of_a_wrong_connection_drains_after_a_reload(self):
        with Broker(self.config(path="/dev/null/a.db", stalled_after="300ms"), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                p = self.publish(broker, 3000)
                p.finish(60)
                self.assertEqual(len(p.acked), 3000)
                wait_until(lambda: broker.action("store")["state"] == "stalled")
                broker.wait_log(r"WARN  conn  stalled name=db actions=1 rows=[1-9]\d* .*unable to open")
                self.assertEqual(broker.action("store")["delivered"], 0)
                self.reload(broker, self.config(stalled_after="300ms"))
                action = broker.wait_settled("store")
                self.assertEqual((action["received"], action["delivered"], action["state"]), (3000, 3000, "running"))
            scraper.check()
        self.assertEqual(load.ids(self.db), set(range(3000)))

    def test_change__a_column_that_is_corrected_keeps_the_values_of_waiting_rows(self):
        with sqlite3.connect(self.db) as db:
            db.execute("CREATE TABLE temps (id, temperature)")
        with Broker(self.config(table="temps", columns={"id": "${id}", "temprature": "${v}"}), folder=self.folder) as broker:
            self.publish(broker, 100).finish(60)
            broker.wait_log("no column .*temprature")
            self.reload(broker, self.config(table="temps", columns={"id": "${id}", "temperature": "${v}"}))
            self.assertEqual(broker.wait_settled("store")["delivered"], 100)
            said = broker.wait_log("rows queued before the change have their values under a new name")
            self.assertIn("was=temprature now=temperature", said)
            self.assertNotIn("stored as NULL", broker.log())
            with sqlite3.connect(self.db) as db:
                self.assertEqual(db.execute("SELECT count(*) FROM temps WHERE temperature IS NOT NULL").fetchone(), (100,))
            self.reload(broker, self.config(table="none", columns={"id": "${id}", "v": "${v}"}, path="/dev/null/a.db"))
            self.publish(broker, 10, first=100).finish(60)
            self.reload(broker, self.config(table="other", columns={"id": "${id}", "site": "at ${v}", "place": "in ${v}"}))
            self.assertEqual(broker.wait_settled("store")["delivered"], 110)
            said = broker.wait_log("rows queued before the change have no value for columns; they are stored as NULL")
            self.assertIn('columns="site, place"', said)
            self.assertEqual(broker.log().count("stored as NULL"), 1)

    def test_change__a_log_that_cannot_be_opened_refuses_the_start_and_the_reload_in_words(self):
        def foreign(action):
            log = self.folder / "data/actions" / action / "00000000000000000001.log"
            log.parent.mkdir(parents=True)
            log.write_bytes(b"SLSEG999" + bytes(32))
            return log

        log = foreign("store.0")
        broker = Broker(self.config(), folder=self.folder, start=False)
        said = run_program("run", "-c", str(broker.config_path), cwd=self.folder)
        self.assertEqual(said.returncode, 3, said.stderr)
        self.assertIn("store.0: ", said.stderr)
        self.assertIn("written by another version of Sluice", said.stderr)
        log.unlink()
        config = self.config()
        with broker.start():
            foreign("more.0")
            rules = config["rules"]
            broker.write_config({"rules": {"before": rules["store"], **rules, "more": rules["store"]}})
            broker.reload()
            broker.wait_log("reload refused, the running state is unchanged.*more.0.*another version of Sluice")
            self.publish(broker, 10).finish(60)
            self.assertEqual(broker.wait_settled("store")["delivered"], 10)

    def test_change__an_action_that_is_not_enabled_gets_no_rows(self):
        def config(enabled, **more):
            made = self.config(**more)
            rule = made["rules"]["store"]
            off = {} if enabled else {"enabled": False}
            rule["actions"] = [{**a, **off} for a in rule["actions"]] + [{"republish": {"topic": "out", "payload": "${id}"}, **off},
                                                                         {"console": {}, **off}]
            rule["actions"].append({"republish": {"topic": "always", "payload": "${id}"}})
            return made

        def numbers():
            actions = broker.rule("store")["actions"]
            self.assertEqual([a["enabled"] for a in actions if "enabled" in a], [] if on else [False] * 3)
            return [a["taken"] for a in actions]
        on = False
        with Broker(config(False), folder=self.folder) as broker, Client(broker.port) as seen:
            seen.connect("seen")
            seen.subscribe("always")
            self.publish(broker, 10).finish(60)
            for n in range(10):
                seen.receive("always", str(n))
            self.assertEqual(numbers(), [0, 0, 0, 10])
            self.assertEqual((broker.action("store")["state"], broker.action("store")["received"]), ("disabled", 0))
            on = True
            self.reload(broker, config(True, path="/dev/null/a.db"))
            self.publish(broker, 10, first=10).finish(60)
            self.assertEqual((numbers(), broker.action("store")["queued"]), ([10, 10, 10, 20], 10))
            on = False  # what waits is sent all the same
            self.reload(broker, config(False))
            self.publish(broker, 10, first=20).finish(60)
            n = broker.wait_settled("store")
            self.assertEqual((n["received"], n["delivered"], n["state"]), (10, 10, "disabled"))
            self.assertEqual(numbers(), [10, 10, 10, 30])
        self.assertEqual(load.ids(self.db), set(range(10, 20)))

    def test_change__of_the_target_under_load_loses_nothing_and_keeps_the_order(self):
        other = self.folder / "other.db"
        with Broker(self.config(), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                p = self.publish(broker, 20000)
                for i in range(6):
                    wait_until(lambda: len(p.acked) >= 3000 * (i + 1) or p.error, timeout=60)
                    self.reload(broker, self.config(path=other if i % 2 == 0 else self.db))
                p.finish(120)
                action = broker.wait_settled("store")
                self.assertEqual(action["received"], action["delivered"])
            scraper.check()
        self.assertEqual(load.ids(self.db) | load.ids(other), set(range(20000)))
        for db in (self.db, other):
            rows = [id for id, in load.query(db, "SELECT id FROM readings ORDER BY rowid")]
            self.assertEqual(rows, sorted(rows))

    def test_change__of_columns_and_batches_under_load_and_kills_loses_nothing(self):
        rng = random.Random(5)
        shapes = [{"id": "${id}", "v": "${v}"}, {"v": "${v}", "id": "${id}"}, {"id": "${id}", "v": "${v}", "w": "${id * 2}"}]
        with sqlite3.connect(self.db) as db:
            db.execute("CREATE TABLE readings (id INTEGER, v INTEGER, w INTEGER)")
        with Broker(self.config(), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                p = self.publish(broker, 20000)
                for i in range(10):
                    wait_until(lambda: len(p.acked) >= 1900 * (i + 1) or p.error, timeout=60)
                    path = "/dev/null/a.db" if i % 3 == 1 else self.db
                    config = self.config(path=path, columns=rng.choice(shapes),
                                         batch={"rows": rng.choice((10, 100, 1000))},
                                         buffer={"memory": rng.choice(("64KB", "64MB")), "sync": rng.choice(("none", "tick"))})
                    if i % 4 == 3:
                        broker.write_config(config)
                        broker.kill()
                        scraper.restarted()
                        broker.start()
                    else:
                        self.reload(broker, config)
                self.reload(broker, self.config())
                p.finish(120)
                broker.wait_settled("store")
            scraper.check()
        self.assertEqual(load.ids(self.db), set(range(20000)))
        self.assertEqual(load.query(self.db, "SELECT count(*) FROM readings WHERE w IS NOT NULL AND w <> id * 2"), [(0,)])


if __name__ == "__main__":
    unittest.main()
