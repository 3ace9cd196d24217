"""What the tests of the redis connector share: one broker of ours per test, one rule `r`, one connector `cache`."""
import json
import threading
import time
import unittest

from harness.broker import Broker, run_program, temp_folder
from harness.client import Client, Closed
from harness.servers import Redis, shared

SELECT = 'SELECT payload.k AS k, payload.v AS v FROM "in/#"'
ORDERED = 'SELECT clientid AS c, payload.n AS n FROM "in/#"'


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


class Stream:
    """Clients that publish numbers, one after the other, until told to stop; each writes to a list of its own."""
    ACTION = {"command": ["RPUSH", "l:${c}", "${n}"], "timeout": "4s"}

    def __init__(self, test, broker, clients=4, pause=0.002):
        self.test, self.broker, self.pause = test, broker, pause
        self.sent, self.stopping = {}, threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(f"c{i}",)) for i in range(clients)]
        for t in self.threads:
            t.start()

    def send(self, name):
        while not self.stopping.is_set():
            try:
                with Client(self.broker.port) as c:
                    c.connect(name)
                    while not self.stopping.is_set():
                        n = self.sent.get(name, 0) + 1
                        c.publish("in/" + name, b'{"n":%d}' % n, qos=1)
                        self.sent[name] = n
                        time.sleep(self.pause)
            except (OSError, AssertionError, Closed):
                time.sleep(0.1)

    def finish(self, read, timeout=60, duplicates=True):
        """Everything acknowledged is there, in order of its first appearance. read(name): the list."""
        self.stopping.set()
        for t in self.threads:
            t.join()
        n = self.broker.wait_settled("r", timeout=timeout)
        self.test.assertEqual(n["rejected"], 0)
        twice = 0
        for name, last in self.sent.items():
            numbers = [int(x) for x in read(name)]
            first = list(dict.fromkeys(numbers))
            missing = sorted(set(range(1, last + 1)) - set(numbers))
            self.test.assertFalse(missing, f"{name}: {len(missing)} of {last} rows are missing")
            self.test.assertEqual(first, sorted(first), f"{name}: out of order")
            twice += len(numbers) - len(first)
        if not duplicates:
            self.test.assertEqual(twice, 0)
        return sum(self.sent.values()), twice
