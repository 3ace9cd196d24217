"""The outage drill of every connector; drill.py says what happens."""
import sqlite3
import unittest

import drill
from harness.broker import temp_folder


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


class Outage(unittest.TestCase):
    def drill(self, sink):
        done = drill.Drill(sink).run()
        print(f" {type(sink).__name__}: {done}", end="", flush=True)
        done.check(self)

    def test_drill__sqlite(self):
        self.drill(Sqlite())
