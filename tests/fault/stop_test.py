"""Asked a second time to stop, the broker does so at once: no delivery is waited for, and what was acknowledged is there later."""
import contextlib
import json
import re
import signal
import sqlite3
import unittest

import load
from harness.broker import SLOW, Broker, temp_folder, wait_until
from harness.client import Client

COUNT = 50


class SecondSignal(unittest.TestCase):
    """The database is locked by somebody else, and whoever waits for it does so for ten minutes."""

    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER)")

    def settings(self, durability):
        return {
            "connectors": {"archive": {"type": "sqlite", "path": str(self.db), "busy_timeout": "10m"}},
            "rules": {"store": {"sql": 'SELECT payload.id AS id FROM "load/#"', "actions": [
                {"connector": "archive", "table": "readings", "columns": {"id": "${id}"}, "timeout": "20m",
                 "buffer": {"durability": durability}, "batch": {"rows": 10}}]}}}

    @contextlib.contextmanager
    def locked(self):
        with contextlib.closing(sqlite3.connect(self.db, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield
            lock.execute("ROLLBACK")

    def stop_twice(self, durability, signals):
        with Broker(self.settings(durability), folder=self.folder) as broker:
            broker.wait_connector("archive", "up")
            with self.locked(), contextlib.closing(Client(broker.port)) as client:
                client.connect("c")
                for i in range(COUNT):
                    client.publish("load/x", json.dumps({"id": i}), qos=1)
                self.assertGreater(broker.action("store")["queued"], 0)
                broker.process.send_signal(signals[0])
                broker.wait_log("msg=stopping|stopping")
                broker.process.send_signal(signals[1])
                line = broker.wait_log("stopping at once")
                self.assertIn("kept in their logs", line)
                self.assertEqual(broker.process.wait(30 * SLOW), 0)
                self.assertIn("did not come back in time", broker.log())
                self.assertRegex(broker.log(), r"rows wait in the log for the next start.*rows=\d+")
                broker.stop()
            broker.start()
            n = broker.wait_settled("store")
            self.assertEqual(n["dropped"]["shutdown"], 0)
        self.assertEqual(load.ids(self.db), set(range(COUNT)))

    def test_stop__second_sigterm_ends_a_stop_that_waits_for_a_client(self):
        self.stop_twice("disk", (signal.SIGTERM, signal.SIGTERM))

    def test_stop__second_signal_keeps_rows_that_are_in_memory_only(self):
        self.stop_twice("memory", (signal.SIGINT, signal.SIGTERM))

    def test_stop__a_server_that_is_slow_is_not_waited_for(self):
        """Nothing hangs: rows wait for their turn, at one a second."""
        settings = self.settings("disk")
        settings["rules"]["store"]["actions"][0] |= {"rate": 1, "batch": {"rows": 1}}
        with Broker(settings, folder=self.folder) as broker, contextlib.closing(Client(broker.port)) as client:
            client.connect("c")
            for i in range(COUNT):
                client.publish("load/x", json.dumps({"id": i}), qos=1)
            broker.process.send_signal(signal.SIGTERM)
            broker.wait_log("msg=stopping|stopping")
            broker.process.send_signal(signal.SIGTERM)
            self.assertEqual(broker.process.wait(30 * SLOW), 0)
            self.assertNotIn("did not come back", broker.log())
            broker.stop()
            self.assertLess(len(load.ids(self.db)), COUNT)
            settings["rules"]["store"]["actions"][0].pop("rate")
            broker.write_config({"rules": settings["rules"]})
            broker.start()
            broker.wait_settled("store")
        self.assertEqual(load.ids(self.db), set(range(COUNT)))


class OnError(unittest.TestCase):
    def test_stop__rows_given_up_when_subscribers_are_gone_are_told_after_the_next_start(self):
        folder = temp_folder()
        db = folder / "archive.db"
        with contextlib.closing(sqlite3.connect(db)) as made:
            made.execute("CREATE TABLE readings (id INTEGER CHECK (id < 0))")
        action = {"connector": "archive", "sql": "INSERT INTO readings VALUES (${id})", "on_error": {"republish": {"topic": "refused", "payload": "${.}"}}}
        settings = {"connectors": {"archive": {"type": "sqlite", "path": str(db)}}, "rules": {"store": {
            "sql": 'SELECT payload.id AS id FROM "load/#"', "actions": [{**action, "rate": 2, "batch": {"rows": 1}}]}}}
        with Broker(settings, folder=folder) as broker:
            with contextlib.closing(Client(broker.port)) as c:
                c.connect("c")
                for i in range(20):
                    c.publish("load/x", json.dumps({"id": i}), qos=1)
                wait_until(lambda: broker.action("store")["on_error"] > 0, 60)
                broker.process.send_signal(signal.SIGTERM)
                self.assertEqual(broker.process.wait(60 * SLOW), 0)
                broker.stop()
            left = int(re.search(r"rows wait in the log for the next start action=store.0 rows=(\d+)", broker.log())[1])
            self.assertGreater(left, 0)
            settings["rules"]["store"]["actions"] = [{**action, "rate": "unlimited"}]
            broker.write_config({"rules": settings["rules"]})
            broker.start()
            n = broker.wait_settled("store", timeout=120 * SLOW)
            self.assertEqual((n["recovered"], n["on_error"], n["dead_lettered"]), (left, left, 0))


if __name__ == "__main__":
    unittest.main()
