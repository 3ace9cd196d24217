"""The outage drill: a steady stream of QoS 1 messages while a connector's server fails in every way we know, and while
we are killed ourselves. Afterwards the far side must hold everything that was acknowledged.

    at   8 s   the server is killed; 4 s later it starts again
    at  17 s   the broker is killed, and starts again at once
    at  20 s   the network drops every packet between the two, for 20 s, without a word
    at  43 s   the server is killed once more; 4 s later it starts again
    at  50 s   the last message is published; from here on there is no traffic

A kind takes part by its Sink (sinks.py). DRILL_MESSAGES and DRILL_RATE change the size; the times stay.
"""
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness.broker import BIN, Broker, temp_folder
from harness.memory import limit_mb
from harness.scrape import Scraper, settle

FAST = os.path.abspath(os.environ.get("SLUICE_FAST_BIN") or BIN)
MESSAGES = int(os.environ.get("DRILL_MESSAGES", 500_000))
RATE = int(os.environ.get("DRILL_RATE", 10_000))
CLIENTS = 8
LAST_S = 50.0
STEPS = ((8, "kill"), (12, "restart"), (17, "own"), (20, "cut"), (40, "mend"), (43, "kill"), (47, "restart"))
# Seconds whose latencies count as normal, and as those of an outage: after the moment itself, before the recovery.
NORMAL, OUTAGES = ((2, 8),), ((9, 12), (21, 40), (44, 47))


def settings(sink):
    return {
        "connectors": {"far": {**sink.connector(), "reconnect": {"first": "200ms", "max": "2s"}}},
        "rules": {"drill": {"sql": sink.sql, "actions": [{"connector": "far", **sink.action()}]}},
    }


def made_errors(status):
    """What the rule made since the start, and what the log and dead letters gave back, is what the action got."""
    (action,), (rule,) = status["actions"], status["rules"]
    made = rule["produced"] + action["recovered"] + action["replayed"]
    return [] if made == action["received"] else [f"{rule} made, {action} received"]


def first_occurrences_in_order(arrivals, share):
    """What is missing and what came before its time: ({client: how many}, [complaints])."""
    seen, highest, wrong = [set() for _ in range(CLIENTS)], [-1] * CLIENTS, []
    for client, number in arrivals:
        if number not in seen[client]:
            seen[client].add(number)
            if number < highest[client]:
                wrong.append(f"client {client}: {number} came first after {highest[client]}")
            highest[client] = max(highest[client], number)
    missing = {c: share - len(s) for c, s in enumerate(seen) if len(s) != share}
    return missing, wrong


def typical_p99(seconds, began, windows):
    """The median, over the whole seconds of the windows, of each second's p99: one hiccup of the machine is no trend."""
    values = sorted(v[1] for s, v in seconds.items() if any(a <= int(s) - began and int(s) + 1 - began <= b for a, b in windows))
    assert values, f"nothing was measured in {windows}"
    return values[len(values) // 2]


class Drill:
    """One run; the test asks afterwards."""

    def __init__(self, sink):
        self.sink, self.report, self.arrivals, self.status = sink, {}, [], {}
        self.recovered_s, self.peak_mb, self.idle_mb = 0.0, 0, 0

    def run(self):
        self.sink.set_up()
        rate = min(RATE, int(MESSAGES / LAST_S))
        with Broker(settings(self.sink), program=FAST, folder=temp_folder()) as broker, \
                Broker(program=FAST, folder=temp_folder()) as control:
            def look(status):
                with contextlib.suppress(OSError, AttributeError):  # it may have been killed just now
                    self.peak_mb = max(self.peak_mb, broker.rss_kb() // 1024)
                return made_errors(status)
            self.idle_mb = broker.rss_kb() // 1024
            with Scraper(broker, every_s=0.25, also=look) as scraper:
                self._publish(broker, control, scraper, rate)
                began = time.monotonic()
                self.status = settle(broker, 120)
                self.recovered_s = time.monotonic() - began
            scraper.check(at_least=50)
        self.arrivals = list(self.sink.arrivals())
        return self

    def _publish(self, broker, control, scraper, rate):
        command = [sys.executable, str(Path(__file__).with_name("drill_load.py")),
                   *(str(n) for n in (broker.port, control.port, CLIENTS, MESSAGES, rate))]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load:
            try:
                began = json.loads(load.stdout.readline())["began"]
                for at, step in STEPS:
                    time.sleep(max(began + at - time.monotonic(), 0))
                    if step == "own":
                        broker.kill()
                        scraper.restarted()
                        broker.start()
                    else:
                        getattr(self.sink, step)()
                last = load.stdout.readline()
            finally:
                load.kill()
        assert last, "the publishers ended without a word"
        self.report = {**json.loads(last), "began": began}

    # ---- What must hold ----

    def check(self, test):
        share = self.report["share"]
        test.assertEqual(self.report["acked"], share * CLIENTS)
        (action,) = self.status["actions"]
        test.assertEqual(action["queued"], 0, f"the backlog does not drain: {action}")
        missing, wrong = first_occurrences_in_order(self.arrivals, share)
        test.assertEqual(missing, {}, "acknowledged messages are not there")
        test.assertEqual(wrong[:5], [], f"{len(wrong)} messages out of order")
        self._check_counters(test, action)
        self._check_latencies(test)
        test.assertLess(self.peak_mb - self.idle_mb, limit_mb(self.sink.name, CLIENTS + 1, pool=4))

    @staticmethod
    def _check_counters(test, action):
        dropped = action["dropped"]
        lost = sum(dropped.values()) if isinstance(dropped, dict) else dropped
        test.assertEqual(lost, 0, action)
        test.assertEqual(action["rejected"], 0, action)
        test.assertEqual(action["received"], action["delivered"] + action["rejected"] + lost + action["queued"])

    def latencies(self):
        """{what: (normal, in an outage)}: the p99 of a typical second, in ms."""
        began = self.report["began"]
        return {what: tuple(typical_p99(self.report[what], began, w) for w in (NORMAL, OUTAGES))
                for what in ("publish", "ping", "control")}

    def _check_latencies(self, test):
        """Twice the normal value at most; what even an idle broker beside it needs at that time, or needs more than before, is the
        machine's doing."""
        found = self.latencies()
        before, now = found["control"]
        for what in ("publish", "ping"):
            normal, outage = found[what]
            limit = 2 * max(normal * max(now / before, 1), now)
            test.assertLessEqual(outage, limit, f"{what} at p99, normal and in an outage: {found}")

    def __str__(self):
        share = self.report["share"]
        latencies = ", ".join(f"{what} {normal} -> {outage} ms" for what, (normal, outage) in self.latencies().items())
        return f"{share * CLIENTS} messages, {len(self.arrivals) - share * CLIENTS} of them more than once, drained in " \
               f"{self.recovered_s:.1f} s, {self.idle_mb} to {self.peak_mb} MB, p99: {latencies}"
