"""Credentials and targets that change while the broker runs: what waited behind a wrong one goes over the right one, in order;
and `sluice connector test` says of both what they are."""
import json
import unittest

from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.scrape import Scraper
from sinks import ToFerretDB, ToKafka, ToPostgres, ToRedis

ROWS = 500
FAST = {"reconnect": {"first": "50ms", "max": "200ms"}}


class Change(unittest.TestCase):
    def config(self, sink, connector):
        return {"connectors": {"db": {**connector, **FAST}},
                "rules": {"r": {"sql": sink.sql, "actions": [
                    {"connector": "db", "retry": {"first": "20ms", "max": "100ms"}, "stalled_after": "500ms", **sink.action()}]}}}

    def publish(self, broker, first):
        with Client(broker.port) as c:
            c.connect("7")
            for n in range(first, first + ROWS):
                c.send(m.publish("load/7", json.dumps({"c": 7, "n": n}).encode(), 1, n % 60000 + 1))
            for _ in range(ROWS):
                c.expect(m.PUBACK)

    def tried(self, sink, connector, seconds):
        folder = temp_folder()
        (folder / "a.yaml").write_text(json.dumps(self.config(sink, connector)))
        return run_program("connector", "test", "db", "-c", "a.yaml", "--timeout", str(seconds), cwd=folder)

    def changes(self, sink, wrong, secret=None):
        """`wrong` instead of sink's connector; secret must never be shown."""
        sink.set_up()
        right = sink.connector()
        done = self.tried(sink, wrong, 8)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        said = done.stderr
        done = self.tried(sink, right, 60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^db: fine: \w+, connected and answers, in \d+ ms")
        with Broker(self.config(sink, wrong)) as broker:
            with Scraper(broker) as scraper:
                self.publish(broker, 0)
                wait_until(lambda: broker.action("r")["state"] == "stalled", timeout=30)
                self.assertEqual(broker.action("r")["delivered"], 0)
                broker.write_config(self.config(sink, right))
                broker.reload()
                self.publish(broker, ROWS)
                action = broker.wait_settled("r")
                self.assertEqual((action["received"], action["delivered"]), (2 * ROWS, 2 * ROWS))
                # And back: live traffic finds the new settings wrong, nothing is lost, and they are put right again.
                broker.write_config(self.config(sink, wrong))
                broker.reload()
                self.publish(broker, 2 * ROWS)
                broker.write_config(self.config(sink, right))
                broker.reload()
                action = broker.wait_settled("r")
                self.assertEqual((action["received"], action["rejected"]), (3 * ROWS, 0))
                status = json.dumps(broker.status())
            scraper.check()
            shown = said + broker.log() + status
        seen = list(dict.fromkeys(n for _, n in sink.arrivals()))
        self.assertEqual(seen, list(range(3 * ROWS)))
        if secret:
            self.assertNotIn(secret, shown)

    def test_change__of_a_target(self):
        for sink in (ToKafka(), ToPostgres(), ToRedis(), ToFerretDB()):
            with self.subTest(type(sink).__name__):
                sink.set_up()
                self.changes(sink, {**sink.connector(port=9), **sink.hurried_connector})

    def test_change__of_an_action_on_a_connection_that_stays(self):
        for sink in (ToKafka(), ToPostgres(), ToRedis(), ToFerretDB()):
            with self.subTest(type(sink).__name__):
                sink.set_up()
                config = self.config(sink, sink.connector())
                with Broker(config) as broker:
                    with Scraper(broker) as scraper:
                        for i in range(6):
                            self.publish(broker, i * ROWS)
                            config["rules"]["r"]["actions"][0]["batch"] = {"rows": (7, 100, 1000)[i % 3]}
                            broker.write_config(config)
                            broker.reload()
                        action = broker.wait_settled("r")
                    scraper.check()
                self.assertEqual((action["received"], action["delivered"]), (6 * ROWS, 6 * ROWS))
                seen = list(dict.fromkeys(n for _, n in sink.arrivals()))
                self.assertEqual(seen, list(range(6 * ROWS)))

    def test_change__of_a_password(self):
        postgres, redis, mongodb = ToPostgres(), ToRedis(), ToFerretDB()
        for sink in (postgres, redis, mongodb):
            sink.set_up()
        postgres.server.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC")
        good = postgres.connector()["url"]
        for sink, url, wrong in (
                (redis, redis.connector()["url"], ("pw1", "pw-w1de-off")),
                (mongodb, mongodb.connector()["url"], (":pw@", ":pw-w1de-off@")),
                (postgres, good, ("test@", "scramuser:pw-w1de-off@"))):
            with self.subTest(type(sink).__name__):
                changed = url.replace(*wrong)
                self.assertNotEqual(changed, url)
                self.changes(sink, {**sink.connector(), **sink.hurried_connector, "url": changed}, secret="pw-w1de-off")


if __name__ == "__main__":
    unittest.main()
