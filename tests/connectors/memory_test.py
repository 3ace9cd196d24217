"""Memory stays within what the settings say (connectors/README.md, "Memory"), with each kind's server away or slow while ten
times as much is published, and with sources whose actions are slow.

What is compared is the process' peak above what it had when it was connected and had done nothing yet. Nothing here depends on
time: publishers wait as long as it takes.
"""
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import sinks
from harness.broker import BIN, Broker, temp_folder, wait_until
from harness.memory import Peak, limit_mb
from harness.proxy import Proxy
from harness.servers import Kafka, Redis, shared

FAST = os.path.abspath(os.environ.get("SLUICE_FAST_BIN") or BIN)
SANITIZED = any(word in FAST for word in ("asan", "tsan", "dev")) and not os.environ.get("SLUICE_FAST_BIN")
MB = 1 << 20
BUDGET_MB, BATCH_MB, CLIENTS, PAD = 8, 0.25, 16, 2000
SQL = 'SELECT payload.c AS c, payload.n AS n, payload.p AS p FROM "load/#"'


class Publishers:
    """COUNT messages of QoS 1 by CLIENTS clients, as fast as they are acknowledged."""

    def __init__(self, broker, count):
        command = [sys.executable, str(Path(__file__).with_name("drill_load.py")),
                   *(str(n) for n in (broker.port, 1, CLIENTS, count, 1_000_000, PAD))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # pylint: disable=consider-using-with
        self.out = []
        self.thread = threading.Thread(target=lambda: self.out.extend(self.process.stdout), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()

    def acked(self, timeout=300):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "the publishers do not get through"
        return json.loads(self.out[-1])["acked"]


class ToKafka(sinks.ToKafka):
    def action(self):
        return {"topic": "drill", "key": "${clientid}", "value": "${c} ${n} ${p}"}


class ToPostgres(sinks.ToPostgres):
    def set_up(self):
        super().set_up()
        self.server.execute("ALTER TABLE drill ADD p text")

    def action(self):
        return {"table": "drill", "columns": {"c": "${c}", "n": "${n}", "p": "${p}"}}


class ToPostgresBySql(ToPostgres):
    def action(self):
        return {"sql": "INSERT INTO drill (c, n, p) VALUES (${c}, ${n}, ${p})"}


class ToRedis(sinks.ToRedis):
    def action(self):
        return {"command": ["XADD", "drill", "MAXLEN", "100", "*", "c", "${c}", "n", "${n}", "p", "${p}"]}


class ToFerretDB(sinks.ToFerretDB):
    def action(self):
        return {"collection": "drill", "document": {"c": "${c}", "n": "${n}", "p": "${p}"}}


class MemoryTest(unittest.TestCase):
    def setUp(self):
        if SANITIZED:
            self.skipTest("a sanitizer's memory is its own; SLUICE_FAST_BIN names a program without")

    def config(self, connector, action, **more):
        return {"node": {"buffer_memory": f"{BUDGET_MB}MB", "data_dir": str(self.folder / "data")},
                "connectors": {"far": {**connector, "reconnect": {"first": "20ms", "max": "200ms"}}},
                "rules": {"r": {"sql": SQL, "actions": [{"connector": "far", "batch": {"bytes": f"{int(BATCH_MB * 1024)}KB"},
                                                         "timeout": "2s", "retry": {"first": "5ms", "max": "100ms"},
                                                         **action}]}}, **more}

    def start(self, config):
        broker = Broker(config, program=FAST, folder=self.folder)
        self.addCleanup(broker.stop, check=False)
        wait_until(lambda: all(c["state"] in ("up", "degraded") for c in broker.status()["connectors"]), 60,
                   lambda: f"not connected: {broker.status()['connectors']}\n{broker.log()[-2000:]}")
        return broker

    def within(self, peak, most, what):
        print(f" {what}: {peak.mb():.1f} of {most:.1f} MB", end="", flush=True)
        self.assertLess(peak.mb(), most, what)


class Outage(MemoryTest):
    """Ten times the budget is published while nothing is answered."""

    def outage(self, sink, **buffer):
        self.folder = temp_folder()
        sink.set_up()
        server_port, port = sink.proxied()
        count = int(10 * BUDGET_MB * MB / PAD)
        with Proxy(server_port, port) as proxy:
            broker = self.start(self.config({**sink.connector(proxy.port), **sink.hurried_connector},
                                            {**sink.action(), **({"buffer": buffer} if buffer else {})}))
            most = limit_mb(sink.name, CLIENTS + 2, node_mb=BUDGET_MB, batch_mb=BATCH_MB, message_mb=PAD / MB)
            peak = Peak(broker)
            proxy.fault("silence")
            with Publishers(broker, count) as publishers:
                if buffer:
                    wait_until(lambda: broker.action("r")["state"] == "hold" and self.waiting(broker) > 0, 120,
                               "publishers do not wait")
                    self.within(peak, most, "held")
                    self.shown(broker)
                else:
                    self.assertEqual(publishers.acked(), count // CLIENTS * CLIENTS)
                    self.within(peak, most, "away")
                    self.shown(broker)
                proxy.fault("forward")
                proxy.end_connections()
                self.assertEqual(publishers.acked(), count // CLIENTS * CLIENTS)
            n = broker.wait_settled("r", timeout=300)
            self.assertEqual((n["delivered"], n["rejected"]), (n["received"], 0))
            self.within(peak, most, "and back")
            self.assertEqual(self.waiting(broker), 0)
            broker.stop()

    @staticmethod
    def waiting(broker):
        return int(re.search(r"^sluice_publishers_waiting (\d+)$", broker.get("/metrics")[1], re.M)[1])

    def shown(self, broker):
        """A page says who holds what, and it adds up to no more than the budget and what each action may have besides."""
        memory = broker.status()["memory"]
        held = sum(memory[k] for k in ("rows", "held", "clients", "on_way", "idle"))
        self.assertGreater(memory["rows"], 0)
        self.assertEqual(memory["limit"], BUDGET_MB * MB)
        self.assertLess(held, BUDGET_MB * MB + MB)

    def test_memory__kafka_away(self):
        self.outage(ToKafka())

    def test_memory__postgres_table_away(self):
        self.outage(ToPostgres())

    def test_memory__postgres_sql_away(self):
        self.outage(ToPostgresBySql())

    def test_memory__redis_away(self):
        self.outage(ToRedis())

    def test_memory__mongodb_away(self):
        self.outage(ToFerretDB())

    def test_memory__publishers_that_are_held(self):
        self.outage(ToRedis(), disk="8MB", memory="4MB")


class Sources(MemoryTest):
    """Twenty times what may be under way lies there, and the action does nothing for now."""
    PENDING_MB = 2

    def source(self, connector, source, kind):
        self.folder = temp_folder()
        far = self.folder / "far.db"
        rules = {"r": {"sql": f'SELECT value.n AS n, value.p AS p FROM "$sources/{kind}:in"',
                       "actions": [{"connector": "far", "table": "got", "create": False, "columns": {"n": "${n}", "p": "${p}"},
                                    "buffer": {"durability": "memory"}, "retry": {"first": "5ms", "max": "100ms"}}]}}
        broker = Broker({"node": {"buffer_memory": f"{BUDGET_MB}MB", "data_dir": str(self.folder / "data")},
                         "connectors": {"far": {"type": "sqlite", "path": str(far)}, "near": connector},
                         "sources": {"in": {"connector": "near", "max_pending": {"bytes": f"{self.PENDING_MB}MB"}, **source}},
                         "rules": rules}, program=FAST, folder=self.folder)
        self.addCleanup(broker.stop, check=False)
        peak = Peak(broker)
        return broker, far, peak

    def settle(self, broker, far, count, most, peak):
        state = {}

        def look():
            state.update(broker.status()["sources"][0])
            return state["paused"] and state["pauses"] > 0
        wait_until(look, 120, lambda: f"never paused: {state}\n{broker.log()[-2000:]}")
        with sqlite3.connect(far) as db:
            db.execute("CREATE TABLE got (n, p)")

        def through():
            state.update(broker.status()["sources"][0])
            return state["acknowledged"] >= count
        wait_until(through, 300, lambda: f"not through: {state}")
        self.within(peak, most, "read")
        broker.stop()

    def most(self, times):
        """times: what a source of this kind may take, in its max_pending.bytes; README.md."""
        return limit_mb("sqlite", node_mb=BUDGET_MB, sources_mb=times * self.PENDING_MB)

    def messages(self, size):
        count = 20 * self.PENDING_MB * MB // size
        return [json.dumps({"n": n, "p": "x" * (size - 30)}) for n in range(count)]

    def test_memory__kafka_source(self):
        kafka = shared(Kafka)
        for size in (200, 2000):
            with self.subTest(size=size):
                topic = f"memory{size}"
                kafka.fresh_topic(topic, 2)
                values = self.messages(size)
                kafka.produce(topic, *values)
                broker, far, peak = self.source({"type": "kafka", "brokers": f"127.0.0.1:{kafka.port}"},
                                                {"topics": [topic], "group": topic, "start": "earliest"}, "kafka")
                self.settle(broker, far, len(values), self.most(8), peak)

    def test_memory__redis_source(self):
        redis = shared(Redis)
        redis.execute("DEL", "memory")
        values = self.messages(2000)
        with redis.client() as c:
            for value in values:
                c.send("XADD", "memory", "*", "payload", value)
            for _ in values:
                c.read()
        broker, far, peak = self.source({"type": "redis", "url": redis.url()},
                                        {"streams": ["memory"], "field": "payload", "start": "earliest", "consumer": "c1"}, "redis")
        self.settle(broker, far, len(values), self.most(2), peak)
        redis.execute("DEL", "memory")
