"""What the tests of the redis connector share: one broker of ours per test, one rule `r`, one connector `cache`."""
import json
import unittest

from connectors import stream
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.servers import Redis, shared

SELECT = 'SELECT payload.k AS k, payload.v AS v FROM "in/#"'
ORDERED = stream.ORDERED


class RedisCase(unittest.TestCase):
    def setUp(self):
        self.redis = shared(Redis)
        self.redis.execute("FLUSHALL")

    def connector(self):
        return {"url": self.redis.url()}

    def config(self, action=None, sql=SELECT, **connector):
        own = {k: v for k, v in self.connector().items() if k != "url" or "servers" not in connector}
        connector = {"type": "redis", "reconnect": {"first": "50ms", "max": "500ms"}, **own, **connector}
        connector = {k: v for k, v in connector.items() if v is not None}
        return {"connectors": {"cache": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "cache", "retry": {"first": "50ms", "max": "500ms"},
                     **(action or {"command": ["SET", "${k}", "${v}"]})}]}}}

    def broker(self, action=None, sql=SELECT, **connector):
        return Broker(self.config(action, sql, **connector))

    def publish(self, broker, *payloads, topic="in/a", client="dev"):
        with Client(broker.port) as c:
            c.connect(client)
            c.publish_all(topic, payloads, window=100)

    def deliver(self, *payloads, action=None, sql=SELECT, rejected=0, **connector):
        """The counters after these messages; self.reasons holds why rows were rejected."""
        with self.broker(action, sql, **connector) as b:
            self.publish(b, *payloads)
            n = b.wait_settled("r")
            self.reasons = [d["reason"] for d in self.dead(b)]
            self.assertEqual((n["rejected"], n["delivered"]), (rejected, len(payloads) - rejected), self.reasons)
        return n

    def publish_until(self, broker, rejected, payload):
        """Good rows, one by one, between which refused ones show whose fault it is; the counters when so many are rejected and the
        rest is stored."""
        def one_more():
            self.publish(broker, payload)
            return broker.action("r")["rejected"] >= rejected
        wait_until(one_more, 60, lambda: str(broker.action("r")))
        n = broker.wait_settled("r")
        self.assertEqual((n["rejected"], n["delivered"]), (rejected, n["received"] - rejected))
        return n

    def dead(self, broker):
        path = broker.folder / "data/dead/r.0.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def state(self, broker):
        return broker.connector("cache")

    def wait_state(self, broker, state, timeout=30):
        return broker.wait_connector("cache", state, timeout)

    def check(self, action=None, sql=SELECT, **connector):
        folder = temp_folder()
        config = self.config(action, sql, **connector)
        config["node"] = {"data_dir": str(folder)}
        (folder / "c.yaml").write_text(json.dumps(config))
        done = run_program("check", "-c", str(folder / "c.yaml"))
        return done.returncode, done.stderr + done.stdout


class Stream(stream.Stream):
    """Each client's numbers go to a list of its own."""
    ACTION = {"command": ["RPUSH", "l:${c}", "${n}"], "timeout": "4s"}
