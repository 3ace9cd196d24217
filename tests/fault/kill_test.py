"""The broker is killed with SIGKILL in the middle of the work: nothing that was acknowledged is missing."""
import os
import random
import time
import unittest

import load
from harness.broker import BIN, Broker, temp_folder, wait_until
from harness.scrape import Scraper, settle

FAST = os.path.abspath(os.environ.get("SLUICE_FAST_BIN") or BIN)
MESSAGES, PUBLISHERS, RUNS = 200_000, 2, 10


class Kill(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"
        load.make_table(self.db, "CREATE TABLE readings (id INTEGER, v INTEGER)")

    def kill_at(self, fraction):
        """Ends the broker once this part of the messages is acknowledged, and starts it again."""
        share = MESSAGES // PUBLISHERS
        with Broker(load.into_table(self.folder), program=FAST, folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                publishers = [load.Publisher(broker.port, f"load/{i}", share, first=i * share) for i in range(PUBLISHERS)]
                for p in publishers:
                    p.start()
                wait_until(lambda: sum(len(p.acked) for p in publishers) >= fraction * MESSAGES, 120,
                           lambda: f"the publishers do not get on: {[len(p.acked) for p in publishers]}")
                acked_before = sum(len(p.acked) for p in publishers)
                broker.kill()
                scraper.restarted()
                broker.start()
                for p in publishers:
                    p.finish(120)
                status = settle(broker)
            scraper.check()
        acked = set().union(*(p.acked for p in publishers))
        self.assertEqual(len(acked), MESSAGES)
        self.assertEqual([a["queued"] for a in status["actions"]], [0])
        missing = acked - load.ids(self.db)
        self.assertEqual(missing, set(), f"{len(missing)} acknowledged messages are not in the table; killed after "
                                         f"{acked_before} acknowledgements")
        # One publisher may have been done before the other; the kill has met at least one of them.
        self.assertTrue(any(p.connections >= 2 for p in publishers), "the kill came too late to matter")


def kill_test(run):
    def test(self):
        # A tenth of the whole for each run, and a random moment inside it.
        seed = int(os.environ.get("KILL_SEED", time.time_ns() % 1_000_000)) + run
        fraction = (run + random.Random(seed).random()) / RUNS * 0.8
        print(f" run {run + 1}: at {fraction:.3f} (KILL_SEED={seed - run})", end=" ", flush=True)
        self.kill_at(fraction)
    return test


for number in range(RUNS):
    setattr(Kill, f"test_kill__moment_{number:02d}_of_ten_loses_nothing_acknowledged", kill_test(number))
