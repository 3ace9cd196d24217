"""What tests of sources share: messages of the source `in` go through the rule `r` into a table `got` of a SQLite file."""
import contextlib
import shutil
import sqlite3
import unittest
from pathlib import Path

from harness.broker import temp_folder, wait_until


class SourceCase(unittest.TestCase):
    limit_s = 40  # a test of a slower server says more

    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "far.db"

    def tearDown(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def far(self):
        return {"type": "sqlite", "path": str(self.db), "busy_timeout": "50ms"}

    def action(self, names, **more):
        return {"connector": "far", "table": "got", "columns": {c: "${%s}" % c for c in names},
                "retry": {"first": "20ms", "max": "200ms"}, **more}

    def source(self, b, name="in"):
        return next((s for s in b.status()["sources"] if s["name"] == name), {})

    def wait_source(self, b, timeout=None, name="in", **wanted):
        """Until these members of its status are so: a value, or a function that says whether one is."""
        last = {}

        def look():
            last.update(self.source(b, name))
            return last and all(v(last.get(k)) if callable(v) else last.get(k) == v for k, v in wanted.items())
        wait_until(look, timeout or self.limit_s, lambda: f"not {wanted}: {last}\n{b.log()[-3000:]}")
        return last

    def got(self, columns="n"):
        if not self.db.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.db, timeout=10)) as db:  # Python itself would close it some time later
            try:
                return list(db.execute(f"SELECT {columns} FROM got ORDER BY rowid"))
            except sqlite3.OperationalError:
                return []

    def forget(self):
        """The far side begins again, with nothing left of the file that it had."""
        for tail in ("", "-wal", "-shm"):
            Path(f"{self.db}{tail}").unlink(missing_ok=True)

    def numbers(self):
        return [n for (n,) in self.got()]

    def wait_numbers(self, count, timeout=None):
        wait_until(lambda: len(set(self.numbers())) >= count, timeout or self.limit_s,
                   lambda: f"{len(set(self.numbers()))} of {count}")

    @contextlib.contextmanager
    def locked(self):
        """The table takes nothing meanwhile."""
        lock = sqlite3.connect(self.db, timeout=30, isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            lock.execute("ROLLBACK")
            lock.close()
