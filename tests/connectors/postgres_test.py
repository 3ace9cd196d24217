"""The postgres connector against real servers: what a rule sends is what a table holds, and nothing is lost on the way."""
import json
import socket
import threading
import time
import unittest

from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.fake import Fake
from harness.proxy import Proxy
from harness.servers import Net, PgBouncer, Postgres, TestCa, shared

SELECT = 'SELECT payload.id AS id, payload.v AS v, payload.t AS t FROM "in/#"'
COLUMNS = {"id": "${id}", "v": "${v}"}
WINDOW = 20


class PostgresTest(unittest.TestCase):
    """One broker of ours per test, one rule `r`, one connector `db`, mostly one table `t`."""

    def setUp(self):
        self.pg = shared(Postgres)
        self.pg.execute("DROP TABLE IF EXISTS t CASCADE")

    def table(self, columns):
        self.pg.execute(f"DROP TABLE IF EXISTS t CASCADE; CREATE TABLE t ({columns}); GRANT ALL ON t TO PUBLIC")

    def config(self, action=None, sql=SELECT, **connector):
        action = {"table": "t", "columns": COLUMNS} if action is None else action
        connector = {"type": "postgres", "url": self.pg.url(), "reconnect": {"first": "50ms", "max": "500ms"}, **connector}
        connector = {k: v for k, v in connector.items() if v is not None}
        return {"connectors": {"db": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "db", "retry": {"first": "50ms", "max": "500ms"}, **action}]}}}

    def broker(self, action=None, sql=SELECT, **connector):
        return Broker(self.config(action, sql, **connector))

    def publish(self, broker, payloads, topic="in/a", client="dev"):
        with Client(broker.port) as c:
            c.connect(client)
            waiting = 0
            for number, payload in enumerate(payloads):
                text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                c.send(m.publish(topic, text, 1, number % 60000 + 1))
                waiting += 1
                if waiting == WINDOW:
                    c.expect(m.PUBACK)
                    waiting -= 1
            for _ in range(waiting):
                c.expect(m.PUBACK)

    def rows(self, what="id, v", order="1"):
        return self.pg.query(f"SELECT {what} FROM t ORDER BY {order}")

    def dead(self, broker):
        path = broker.folder / "data/dead/r.0.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def deliver(self, payloads, action=None, sql=SELECT, rejected=0, **connector):
        """Publishes and waits for the end; afterwards self.letters has the dead letters."""
        payloads = list(payloads)
        with self.broker(action, sql, **connector) as b:
            self.publish(b, payloads)
            n = b.wait_settled("r")
            self.letters = self.dead(b)
            self.assertEqual((n["delivered"], n["rejected"]), (len(payloads) - rejected, rejected), self.letters[:3])
        return n

    def state(self, broker):
        return next(c for c in broker.status()["connectors"] if c["name"] == "db")

    def wait_state(self, broker, state, timeout=30):
        wait_until(lambda: self.state(broker)["state"] == state, timeout, lambda: f"not {state}: {self.state(broker)}\n{broker.log()}")
        return self.state(broker).get("reason")


class Writing(PostgresTest):
    def test_table__rows_are_stored(self):
        self.table("id int, v text")
        self.deliver({"id": i, "v": f"value {i}"} for i in range(100))
        self.assertEqual(self.rows(), [[str(i), f"value {i}"] for i in range(100)])

    def test_sql__parameters_take_the_types_that_the_server_finds(self):
        self.table("id int, v numeric(10,2), at timestamptz")
        self.deliver([{"id": 1, "v": "12.5", "t": 1700000000123}, {"id": "2", "v": 3, "t": 0}],
                     {"sql": "INSERT INTO t(id, v, at) VALUES (${id}, ${v}, to_timestamp(${t} / 1000.0))"})
        self.assertEqual(self.rows("id, v, at AT TIME ZONE 'UTC'"),
                         [["1", "12.50", "2023-11-14 22:13:20.123"], ["2", "3.00", "1970-01-01 00:00:00"]])

    def test_table__on_conflict(self):
        self.table("id int PRIMARY KEY, v text, n int DEFAULT 7")
        self.pg.execute("INSERT INTO t VALUES (1, 'old')")
        twice = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 2, "v": "c"}, {"id": 1, "v": "d"}]
        self.deliver(twice, {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"})
        self.assertEqual(self.rows("id, v, n"), [["1", "old", "7"], ["2", "b", "7"]])
        self.deliver(twice, {"table": "t", "columns": COLUMNS, "on_conflict": {"update": ["v"]}})
        self.assertEqual(self.rows(), [["1", "d"], ["2", "c"]])
        self.deliver(twice, rejected=4)
        self.assertIn("Key (id)=(1) already exists. (SQLSTATE 23505)", self.letters[0]["reason"])


if __name__ == "__main__":
    unittest.main()
