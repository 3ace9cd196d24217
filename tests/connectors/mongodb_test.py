"""The mongodb connector against servers that speak its protocol: what a rule sends is what a collection holds, typed, and
nothing is lost on the way. FerretDB has logins and TLS and keeps what it acknowledged; mongo-java-server has decimal128, NaN and
nested lists; what neither shows (a changing primary, retried writes, partial errors) a script plays."""
import json
import time
import unittest

from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.servers import FerretDB, MongoJava, Net, TestCa, shared
from harness.servers.mongo_wire import Binary, Date, Decimal128, ObjectId

SELECT = 'SELECT payload.id AS id, payload.v AS v, payload.t AS t FROM "in/#"'
ROW = 'SELECT payload.a AS a, payload.b AS b FROM "in/#"'
WINDOW = 20


class MongoTest(unittest.TestCase):
    """One broker of ours per test, one rule `r`, one connector `docs`, one database `iot`, mostly one collection `c`."""
    server_kind = FerretDB

    def setUp(self):
        self.server = shared(self.server_kind)
        with self.server.client() as c:
            c.drop("iot", "c")

    def config(self, action=None, sql=SELECT, **connector):
        connector = {"type": "mongodb", "url": self.server.url(), "database": "iot",
                     "reconnect": {"first": "50ms", "max": "500ms"}, **connector}
        connector = {k: v for k, v in connector.items() if v is not None}
        return {"connectors": {"docs": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "docs", "collection": "c", "retry": {"first": "50ms", "max": "500ms"}, **(action or {})}]}}}

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

    def documents(self, where=None, **options):
        return self.server.find("iot", "c", where, **options)

    def state(self, broker):
        return next(c for c in broker.status()["connectors"] if c["name"] == "docs")

    def wait_state(self, broker, state, timeout=30):
        wait_until(lambda: self.state(broker)["state"] == state, timeout, lambda: f"not {state}: {self.state(broker)}\n{broker.log()}")
        return self.state(broker).get("reason")


class Writing(MongoTest):
    def test_insert__the_whole_row_is_the_document(self):
        self.deliver([{"a": i, "b": {"c": [1, 2.5, "x", None, True]}} for i in range(500)], sql=ROW)
        found = self.documents(sort={"a": 1})
        self.assertEqual([d["a"] for d in found], list(range(500)))
        self.assertEqual(found[0]["b"], {"c": [1, 2.5, "x", None, True]})
        self.assertEqual(len({d["_id"] for d in found}), 500)
        self.assertIsInstance(found[0]["_id"], ObjectId)

    def test_insert__a_template_as_yaml_and_as_json_text(self):
        yaml = {"who": "${id}", "in": {"v": "${v}", "text": "from ${topic}", "n": 7}, "at": {"$date": "${t}"}}
        text = '{"who": ${id}, "in": {"v": ${v}, "text": "from ${topic}", "n": 7}, "at": {"$date": ${t}}, "q": "${v}"}'
        for document in (yaml, text):
            with self.subTest(document=document):
                self.setUp()
                self.deliver([{"id": "d\"1", "v": 2.5, "t": 1700000000123}], {"document": document})
                (found,) = self.documents()
                self.assertEqual(found["who"], "d\"1")
                self.assertEqual(found["in"], {"v": 2.5, "text": "from in/a", "n": 7})
                self.assertEqual(found["at"], Date(1700000000123))
                self.assertEqual(found.get("q"), "2.5" if document is text else None)


if __name__ == "__main__":
    unittest.main()
