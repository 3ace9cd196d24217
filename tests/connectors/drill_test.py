"""The outage drill of every connector; drill.py says what happens."""
import sqlite3
import unittest

import drill
from harness.broker import temp_folder
from harness.servers import Kafka, shared


class Sqlite(drill.Sink):
    """No server: somebody else's lock is its outage."""

    def set_up(self):
        self.path = temp_folder() / "far.db"
        self.lock = None

    def connector(self):
        return {"type": "sqlite", "path": str(self.path), "busy_timeout": "100ms"}

    def action(self):
        return {"table": "readings", "columns": {"c": "${c}", "n": "${n}"}}

    def kill(self):
        self.lock = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        self.lock.execute("BEGIN EXCLUSIVE")

    def restart(self):
        self.lock.execute("ROLLBACK")
        self.lock.close()

    cut, mend = kill, restart

    def arrivals(self):
        with sqlite3.connect(self.path) as db:
            yield from db.execute("SELECT c, n FROM readings ORDER BY rowid")


class ToKafka(drill.Sink):
    def set_up(self):
        self.server = shared(Kafka)
        self.server.warm_up()
        self.server.fresh_topic("drill", 4)

    def connector(self):
        return {"type": "kafka", "brokers": f"127.0.0.1:{self.server.port}"}

    def action(self):
        return {"topic": "drill", "key": "${clientid}", "value": "${c} ${n}"}

    def arrivals(self):
        """All of a client is in one partition, by its key."""
        for record in self.server.records("drill"):
            client, number = record.value.split()
            yield int(client), int(number)


class Judgement(unittest.TestCase):
    """The drill's own eyes: it must be able to complain."""

    def test_order__loss_and_disorder_are_seen_and_repetition_is_not(self):
        whole = [(c, n) for n in range(5) for c in range(drill.CLIENTS)]
        self.assertEqual(drill.first_occurrences_in_order(whole, 5), ({}, []))
        self.assertEqual(drill.first_occurrences_in_order(whole + whole[3:], 5), ({}, []))
        self.assertEqual(drill.first_occurrences_in_order(whole[1:], 5)[0], {0: 1})
        swapped = [(0, 1), (0, 0)] + [w for w in whole if w not in ((0, 0), (0, 1))]
        self.assertEqual(len(drill.first_occurrences_in_order(swapped, 5)[1]), 1)

    def test_latency__one_bad_second_is_no_trend(self):
        seconds = {100 + s: [1.0, 900.0 if s == 3 else 2.0, 50] for s in range(10)}
        self.assertEqual(drill.typical_p99(seconds, 100.0, ((0, 10),)), 2.0)


class Outage(unittest.TestCase):
    def drill(self, sink):
        done = drill.Drill(sink).run()
        print(f" {type(sink).__name__}: {done}", end="", flush=True)
        done.check(self)

    def test_drill__kafka(self):
        self.drill(ToKafka())

    def test_drill__sqlite(self):
        self.drill(Sqlite())
