"""What is seen when something is wrong: each reason in the log and on the status pages, connectors and sources alike."""
import contextlib
import json
import re
import sqlite3
import unittest

from harness import packet as m
from harness.client import Client
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.fake import Fake

QUICK = {"first": "1ms", "max": "5ms"}


def command(conn):
    """One command in RESP, as a list of words."""
    return [conn.read(int(conn.line()[1:]) + 2)[:-2].decode() for _ in range(int(conn.line()[1:]))]


def refused_later(conn):
    """Closes the first connections; then it has an answer, the same again and again."""
    if conn.number < 3:
        return
    command(conn)
    conn.send(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")


def publish(broker):
    done = run_program("pub", "-p", str(broker.port), "-t", "t", "-m", "x", "-q", "1")
    assert done.returncode == 0, done.stderr


class Trouble(unittest.TestCase):
    def health(self, broker):
        code, body = broker.get("/health")
        self.assertEqual(code, 200)
        return json.loads(body)

    def test_outage__whose_reason_changes_says_the_new_one_once(self):
        with Fake(refused_later) as fake:
            cache = {"type": "redis", "url": f"redis://:s3cret@127.0.0.1:{fake.port}", "reconnect": QUICK}
            with Broker({"connectors": {"cache": cache}}, folder=temp_folder()) as broker:
                broker.wait_log("still down, for another reason name=cache reason=.*WRONGPASS")
                seen = fake.connections
                wait_until(lambda: fake.connections > seen + 20)
                self.assertIn("WRONGPASS", self.health(broker)["connectors"][0]["reason"])
                lines = [line for line in broker.log().splitlines() if " down" in line and "name=cache" in line]
                self.assertEqual(len([line for line in lines if "WRONGPASS" in line]), 1, lines)
                self.assertNotIn("WRONGPASS", lines[0])
                self.assertLess(len(lines), 6, lines)

    def problem(self, broker, name):
        """What /health, the status page and /metrics say of the one action once it has this problem."""
        wait_until(lambda: any(a["problem"] == name for a in self.health(broker).get("actions", [])), 30,
                   lambda: f"no problem {name!r}: {self.health(broker)}\n{broker.log()[-3000:]}")
        told = self.health(broker)
        self.assertEqual(told["status"], "degraded")
        one = next(a for a in told["actions"] if a["problem"] == name)
        self.assertEqual((one["rule"], one["index"], one["connector"]), ("r", 0, "far"))
        self.assertIn(name, [p["problem"] for p in broker.action("r")["problems"]])
        self.assertRegex(broker.get("/metrics")[1], f'sluice_action_problem{{rule="r",action="0",connector="far",problem="{name}"}} 1\n')
        return one

    def well_again(self, broker):
        wait_until(lambda: self.health(broker) == {"status": "ok"}, 30, lambda: str(self.health(broker)))
        self.assertNotIn("problems", broker.action("r"))
        self.assertNotRegex(broker.get("/metrics")[1], r"sluice_action_problem\{.*\} 1\n")

    def waiting(self, broker):
        return int(re.search(r"^sluice_publishers_waiting (\d+)$", broker.get("/metrics")[1], re.M)[1])

    def test_health__names_a_log_that_cannot_be_written_and_who_waits_for_it(self):
        folder = temp_folder()
        with Broker({"connectors": {"far": {"type": "null"}}, "rules": {"r": {"sql": 'SELECT * FROM "t"', "actions": [
                {"connector": "far", "columns": {"a": "${topic}"}, "buffer": {"durability": "disk"}}]}}}, folder=folder) as broker:
            self.assertEqual(self.waiting(broker), 0)
            actions = folder / "data" / "actions"
            if actions.exists():
                actions.rmdir()
            actions.write_text("in the way")
            with Client(broker.port) as c:
                c.connect("c")
                c.send(m.publish("t", b"x", 1, 1))
                one = self.problem(broker, "log")
                self.assertIn("check the disk", one["do"])
                self.assertIn("actions", one["path"])
                wait_until(lambda: self.waiting(broker) == 1, 30, "nobody is said to wait")
                actions.unlink()
                c.expect(m.PUBACK, pid=1)
            self.well_again(broker)
            self.assertEqual(self.waiting(broker), 0)

    def test_health__names_dead_letters_that_cannot_be_written(self):
        folder = temp_folder()
        dead = folder / "data" / "dead"
        with Broker({"connectors": {"far": {"type": "sqlite", "path": str(folder / "far.db")}},
                     "rules": {"r": {"sql": 'SELECT * FROM "t"', "actions": [
                         {"connector": "far", "sql": "INSERT INTO got VALUES (${topic})"}]}}}, folder=folder) as broker:
            with contextlib.closing(sqlite3.connect(folder / "far.db")) as db:
                db.execute("CREATE TABLE got (a TEXT CHECK (a <> 't'))")
            dead.write_text("in the way")
            publish(broker)
            one = self.problem(broker, "dead_letter")
            self.assertTrue(one["path"].endswith(".jsonl"), one)
            self.assertEqual(broker.action("r")["queued"], 1)
            dead.unlink()
            wait_until(lambda: broker.action("r")["dead_lettered"] == 1, 30)
            self.well_again(broker)

    def test_health__names_sources_that_are_not_up(self):
        connectors = {"cache": {"type": "redis", "url": "redis://127.0.0.1:1"}, "mem": {"type": "null"}}
        sources = {"orders": {"connector": "cache", "streams": ["s"]},
                   "fine": {"connector": "mem", "messages": 1}}
        with Broker({"connectors": connectors, "sources": sources}, folder=temp_folder()) as broker:
            wait_until(lambda: [s["state"] for s in self.health(broker)["sources"]] == ["down"])
            told = self.health(broker)
            self.assertEqual(told["status"], "degraded")
            source = told["sources"][0]
            self.assertEqual((source["name"], source["connector"]), ("orders", "cache"))
            self.assertEqual(source["reason"], "the connector is down")  # whose own reason stands beside it
            self.assertGreater(source["since_ms"], 0)
            broker.write_config({"sources": {}})
            broker.reload()
            wait_until(lambda: "sources" not in self.health(broker))

    def test_action__whose_connection_is_down_says_why_rows_wait(self):
        rules = {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [{"connector": "cache", "command": ["SET", "a", "${a}"]}]}}
        connectors = {"cache": {"type": "redis", "url": "redis://127.0.0.1:1", "reconnect": QUICK}}
        with Broker({"connectors": connectors, "rules": rules}, folder=temp_folder()) as broker:
            self.assertNotIn("reason", broker.status()["actions"][0], "nothing waits")
            publish(broker)
            wait_until(lambda: "refused" in broker.status()["actions"][0].get("reason", ""))
            self.assertRegex(broker.status()["actions"][0]["reason"], "^the connection is down: ")

    def test_action__state_tells_that_its_connection_is_not_there(self):
        rules = {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [{"connector": "x", "value": "${a}"}]}}
        connectors = {"x": {"type": "null", "connect_fails": 1000000, "reconnect": QUICK}}
        with Broker({"connectors": connectors, "rules": rules}, folder=temp_folder()) as broker:
            wait_until(lambda: broker.action("r")["state"] == "disconnected")
            broker.write_config({"connectors": {"x": {"type": "null"}}})
            broker.reload()
            wait_until(lambda: broker.action("r")["state"] == "running")

    def test_action__that_one_client_holds_up_says_which(self):
        rules = {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [{"connector": "x", "value": "${a}"}]}}
        connectors = {"x": {"type": "null", "connect_fails": 1000000, "reconnect": QUICK}}
        with Broker({"connectors": connectors, "rules": rules}, folder=temp_folder()) as broker:
            for client, count in (("calm", 20), ("hot", 180)):
                with Client(broker.port) as c:
                    c.connect(client)
                    for _ in range(count):
                        c.publish("t", b"x", qos=1)
            wait_until(lambda: "busiest_lane" in broker.action("r"), 30)
            lane = broker.action("r")["busiest_lane"]
            self.assertEqual(lane["clientid"], "hot")
            self.assertGreater(lane["percent"], 50)
            ratio = re.search(r"^sluice_action_busiest_lane_ratio\{.*\} (\S+)$", broker.get("/metrics")[1], re.MULTILINE)
            self.assertGreater(float(ratio.group(1)), 0.5)
            broker.write_config({"connectors": {"x": {"type": "null"}}})
            broker.reload()
            wait_until(lambda: "busiest_lane" not in broker.action("r"), 30)

    def test_reload__tries_at_once_what_waits_for_its_pause(self):
        slow = {"first": "1h", "max": "1h"}
        folder = temp_folder()
        actions = [{"connector": "db", "table": "late", "create": False, "columns": {"a": "${a}"}, "retry": slow}]
        rules = {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": actions}}
        with Fake(lambda conn: None) as fake:
            connectors = {"db": {"type": "sqlite", "path": str(folder / "a.db")},
                          "cache": {"type": "redis", "url": f"redis://127.0.0.1:{fake.port}", "reconnect": slow}}
            with Broker({"connectors": connectors, "rules": rules}, folder=folder) as broker:
                broker.wait_connector("cache", "down")
                publish(broker)
                wait_until(lambda: broker.action("r")["state"] == "not ready")
                seen = fake.connections
                with contextlib.closing(sqlite3.connect(folder / "a.db")) as db, db:
                    db.execute("CREATE TABLE late (a)")
                broker.reload()
                wait_until(lambda: broker.action("r")["delivered"] == 1, 30)
                wait_until(lambda: fake.connections > seen, 30)

    def test_health__names_the_action_that_is_not_ready_and_counts_the_others(self):
        actions = [{"connector": "db", "table": "nosuch", "create": False, "columns": {"a": "${a}"}, "retry": QUICK}] * 3
        rules = {"telemetry": {"sql": 'SELECT 1 AS a FROM "t"', "actions": actions}}
        folder = temp_folder()
        connectors = {"db": {"type": "sqlite", "path": str(folder / "a.db")}}
        with Broker({"connectors": connectors, "rules": rules}, folder=folder) as broker:
            publish(broker)
            wait_until(lambda: "and 2 more" in self.health(broker).get("connectors", [{}])[0].get("reason", ""))
            self.assertIn("action telemetry.0 and 2 more are not ready: no such table: nosuch",
                          self.health(broker)["connectors"][0]["reason"])


if __name__ == "__main__":
    unittest.main()
