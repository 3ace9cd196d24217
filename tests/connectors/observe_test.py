"""What is measured while rows go to all four servers at once, through an outage: the pages add up at every look, ages and latencies
are there, promtool has nothing to say, and each row that is dropped is named in the log with where it should have gone and why."""
import json
import re
import shutil
import subprocess
import unittest

from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client
from harness.scrape import Scraper
from sinks import ToFerretDB, ToKafka, ToPostgres, ToRedis

ROWS = 400
QUICK = {"retry": {"first": "10ms", "max": "50ms"}, "stalled_after": "300ms"}
LABELS = re.compile(r'(\w+)="([^"]*)"')


class Page:
    """/metrics as {(name, {label: value}): number}."""

    def __init__(self, broker):
        code, self.text = broker.get("/metrics", timeout=30)
        assert code == 200
        self.samples = [(name, dict(LABELS.findall(labels or "")), float(value)) for name, labels, value in
                        re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", self.text, re.M)]

    def all(self, name, **labels):
        return [(have, value) for n, have, value in self.samples if n == name and labels.items() <= have.items()]

    def one(self, name, **labels):
        ((_, value),) = self.all(name, **labels)
        return value


class Observe(unittest.TestCase):
    def promtool(self, page):
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=page.text, text=True, capture_output=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))

    def publish(self, broker, first, count):
        with Client(broker.port) as c:
            c.connect("7")
            for n in range(first, first + count):
                c.send(m.publish("load/7", json.dumps({"c": 7, "n": n, "pad": "x" * 300}).encode(), 1, n % 60000 + 1))
            for _ in range(count):
                c.expect(m.PUBACK)

    def config(self, sinks, port=None):
        sql = 'SELECT payload.c AS c, payload.n AS n FROM "load/#"'
        late = {**QUICK, "retry": {**QUICK["retry"], "ttl": "500ms"}}
        full = {**QUICK, "buffer": {"memory": "64KB", "disk": 0, "durability": "memory", "overflow": "drop_new"}}
        return {"connectors": {name: {**sink.connector(*[port] if port else []), **sink.hurried_connector, "reconnect": {"first": "20ms", "max": "100ms"}}
                               for name, sink in sinks.items()},
                "rules": {rule: {"sql": sql, "actions": [{"connector": name, **sink.action(), **more} for name, sink in sinks.items()]}
                          for rule, more in (("store", QUICK), ("late", late), ("full", full))}}

    def check_dropped(self, broker, sinks, rule, why, text):
        """Counted with their reason, and named in the log."""
        for i, name in enumerate(sinks):
            wait_until(lambda: Page(broker).one("sluice_action_rows_total", rule=rule, connector=name, result=f"dropped_{why}") > 0, 60,  # pylint: disable=cell-var-from-loop
                       f"{rule} {name}: nothing is dropped")
            line = broker.wait_log(rf"rows dropped: {text} action={rule}\.{i} rule={rule} connector={name} rows=")
            self.assertRegex(line, rf"first_topic=load/7 last_topic=load/7 reason={why} .* do=.")

    def check_outage(self, broker, sinks):
        self.check_dropped(broker, sinks, "full", "overflow", "the buffer is full")
        wait_until(lambda: all(a["state"] == "stalled" for a in broker.status()["actions"] if a["rule"] == "store"), 60, "not stalled")
        first = Page(broker)
        wait_until(lambda: all(Page(broker).one("sluice_action_oldest_seconds", rule="store", connector=name) >
                               first.one("sluice_action_oldest_seconds", rule="store", connector=name) + 0.2 for name in sinks), 30, "nothing ages")
        page = Page(broker)
        self.promtool(page)
        for status in broker.status()["connectors"]:
            self.assertEqual(status["state"], "down")
            self.assertTrue(status["reason"] and status["since_ms"] and status["last_error"] and status["last_error_ms"], status)
            self.assertEqual(page.one("sluice_connector_state", connector=status["name"], state="down"), 1)
        for name in sinks:
            self.assertEqual(page.one("sluice_action_queued_rows", rule="store", connector=name), ROWS)
            self.assertEqual(page.one("sluice_action_stalled", rule="store", connector=name), 1)
            self.assertGreater(page.one("sluice_action_bytes", rule="store", connector=name, place="queued"), ROWS * 16)
            self.assertEqual(page.one("sluice_connector_latency_seconds_count", connector=name), 0)

    def check_end(self, broker, sinks):
        page = Page(broker)
        self.promtool(page)
        for status in broker.status()["connectors"]:
            self.assertEqual((status["state"], status["last_success_ms"] > 0), ("up", True), status)
        for name in sinks:
            delivered = sum(v for _, v in page.all("sluice_action_rows_total", connector=name, result="delivered"))
            self.assertEqual(page.one("sluice_action_rows_total", rule="store", connector=name, result="delivered"), 2 * ROWS)
            self.assertEqual(page.one("sluice_action_oldest_seconds", rule="store", connector=name), 0)
            buckets = [(float(labels["le"]), v) for labels, v in page.all("sluice_connector_latency_seconds_bucket", connector=name)]
            self.assertEqual(buckets, sorted(buckets))
            self.assertEqual([v for _, v in buckets], sorted(v for _, v in buckets))
            self.assertEqual((buckets[-1][0], buckets[-1][1]), (float("inf"), delivered))
            self.assertEqual(page.one("sluice_connector_latency_seconds_count", connector=name), delivered)
            # Half of the rows of `store` waited through the outage.
            self.assertGreater(page.one("sluice_connector_latency_seconds_sum", connector=name), ROWS * 0.5)

    def test_observe__an_outage_of_all_four(self):
        sinks = {"lake": ToKafka(), "pg": ToPostgres(), "cache": ToRedis(), "docs": ToFerretDB()}
        for sink in sinks.values():
            sink.set_up()
        with Broker(self.config(sinks, port=9)) as broker:
            with Scraper(broker, every_s=0.05) as scraper:
                self.publish(broker, 0, ROWS)
                self.check_outage(broker, sinks)
                broker.write_config(self.config(sinks))
                broker.reload()
                for rule in ("store", "late", "full"):
                    for i in range(len(sinks)):
                        broker.wait_settled(rule, i)
                self.check_dropped(broker, sinks, "late", "expired", "older than retry.ttl")
                self.publish(broker, ROWS, ROWS)
                for rule in ("store", "late", "full"):
                    for i in range(len(sinks)):
                        broker.wait_settled(rule, i)
                wait_until(lambda: all(c["state"] == "up" for c in broker.status()["connectors"] if not c.get("retiring")))
                self.check_end(broker, sinks)
            scraper.check(at_least=5)
        for name, sink in sinks.items():
            self.assertGreaterEqual({n for _, n in sink.arrivals()}, set(range(2 * ROWS)), name)


if __name__ == "__main__":
    unittest.main()
