"""A full disk: a clear error, publishers that wait, nothing acknowledged lost, and it goes on when room returns."""
import json
import os
import re
import subprocess
import time
import unittest

import load
from harness import packet as m
from harness.broker import Broker, temp_folder, wait_until
from harness.scrape import Scraper

SIZE_MB, ROOM_MB = 48, 2


class SmallDisk:
    """A tmpfs; fill() leaves little room, clear() gives it back."""

    def __init__(self, case):
        self.path = temp_folder()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", str(self.path)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            case.skipTest(f"a small tmpfs cannot be mounted here ({done.stderr.strip()}); needs root and a kernel "
                          "that lets it mount")
        case.addCleanup(subprocess.run, ["umount", "-l", str(self.path)], check=False)
        self.filler = self.path / "filler"

    def free(self):
        s = os.statvfs(self.path)
        return s.f_bavail * s.f_frsize

    def fill(self, leave):
        with open(self.filler, "ab") as f:
            f.write(b"\0" * max(0, self.free() - leave))

    def clear(self):
        self.filler.unlink()


class FullDisk(unittest.TestCase):
    def setUp(self):
        self.disk = SmallDisk(self)
        self.folder = temp_folder()

    def settings(self, db):
        load.make_table(db, "CREATE TABLE readings (id INTEGER, v INTEGER, pad TEXT)")
        return {
            "node": {"data_dir": str(self.disk.path / "data")},
            "connectors": {"archive": {"type": "sqlite", "path": str(db)}},
            "rules": {"store": {
                "sql": 'SELECT payload.id AS id, payload.v AS v, payload.pad AS pad FROM "load/#"',
                "actions": [{"connector": "archive", "table": "readings",
                             "columns": {"id": "${id}", "v": "${v}", "pad": "${pad}"},
                             "retry": {"first": "100ms", "max": "500ms"}}]}}}

    def meets_full_disk(self, broker, version):
        """8 MB of messages meet 2 MB of room; returns once the log says so."""
        self.disk.fill(ROOM_MB << 20)
        mark = len(broker.log())
        p = load.Publisher(broker.port, "load/x", 4000, pad=2000, window=100, version=version)
        p.start()
        line = broker.wait_log(r"(?i)no space left|disk is full", 60, after=mark)
        self.assertRegex(line, "WARN|ERROR")
        return p

    def check(self, p, db):
        self.assertEqual(len(p.acked), p.count)
        self.assertEqual(p.acked - load.ids(db), set(), "acknowledged messages are not in the table")

    def database_on_it(self, version):
        """Neither the log nor the database can grow: publishers wait until there is room again."""
        db = self.disk.path / "archive.db"
        with Broker(self.settings(db), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                p = self.meets_full_disk(broker, version)
                self.stalls(p)
                told = json.loads(broker.get("/health")[1])
                self.assertEqual(told["status"], "degraded")
                problem = next(a for a in told["actions"] if a["problem"] == "log")
                self.assertEqual((problem["rule"], problem["reason"], problem["do"]), ("store", "no space left on device", "make room on this disk"))
                if version != m.V5:  # which is told 0x97, and does not wait
                    waits = re.compile(r"^sluice_publishers_waiting 1$", re.M)
                    wait_until(lambda: waits.search(broker.get("/metrics")[1]), 30, "nobody is said to wait")
                scrapes = scraper.count
                wait_until(lambda: scraper.count > scrapes, 30, "the status page is stuck while the disk is full")
                self.disk.clear()
                p.finish(120)
                broker.wait_settled("store")
            scraper.check()
        self.check(p, db)

    def stalls(self, p):
        """With the disk full the publisher comes to a halt, or is told 0x97; it is not acknowledged without end."""
        def held():
            before = len(p.acked)
            time.sleep(1)
            return p.refused > 0 or len(p.acked) == before
        wait_until(held, 60, "the publisher goes on as if nothing were wrong")
        self.assertLess(len(p.acked), p.count)

    def test_full_disk__old_publishers_wait_and_nothing_is_lost(self):
        self.database_on_it(m.V311)

    def test_full_disk__new_publishers_wait_and_nothing_is_lost(self):
        self.database_on_it(m.V5)

    def test_full_disk__of_the_log_alone_does_not_stop_the_database(self):
        db = self.folder / "archive.db"
        with Broker(self.settings(db), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                p = self.meets_full_disk(broker, m.V311)
                p.finish(120)
                self.disk.clear()
                broker.wait_settled("store")
            scraper.check()
        self.check(p, db)

    def test_full_disk__and_killed_loses_nothing_acknowledged(self):
        db = self.folder / "archive.db"
        with Broker(self.settings(db), folder=self.folder) as broker:
            p = self.meets_full_disk(broker, m.V311)
            broker.kill()
            broker.start()
            time.sleep(0.3)
            self.disk.clear()
            p.finish(120)
            broker.wait_settled("store")
        self.check(p, db)
