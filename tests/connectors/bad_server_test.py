"""A server that breaks off at every byte of its answers, answers garbage, or says nothing any more: no hang, no crash, no
leak (the sanitizers of the dev build look), and nothing lost.

Between the connector and the real server stands a proxy. For every number of bytes, from none on, it lets so many bytes
of each connection's answers pass and then breaks it, while a message waits to be delivered. When a number is so large that it
gets through, all breaking points have been met: those of the greeting, of logging in, of looking at the
table, and of a batch's answers.
"""
import json
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import sinks
from harness.broker import SLOW, Broker
from harness.client import Client, Closed
from harness.proxy import Proxy
from harness.scrape import settle, status_errors

GARBAGE = (b"\xff" * 64, b"\0" * 64, b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", bytes(range(256)))


class Breaker:
    """A broker behind a proxy that breaks connections; messages are numbered as in the drill, from one client. Several may
    be at work side by side, each with a number of its own."""

    def __init__(self, test, sink, number=0):
        self.test, self.sink, self.number, self.published = test, sink, number, 0
        server, port = sink.proxied()
        self.proxy = test.enterContext(Proxy(server, port))
        self.proxy.fault("close")
        self.broker = Broker({
            "connectors": {"far": {**sink.connector(self.proxy.port), **sink.hurried_connector,
                                   "reconnect": {"first": "1ms", "max": "5ms"}}},
            "rules": {"drill": {"sql": sink.sql, "actions": [{"connector": "far", **sink.action(), **sink.hurried_action}]}},
        })
        test.addCleanup(self.broker.stop, check=False)
        self.client = Client(self.broker.port)
        self.client.connect(f"drill{number}", keepalive=0)
        test.addCleanup(self.client.close)

    def publish(self):
        try:
            self.client.publish("load/it", json.dumps({"c": self.number, "n": self.published}), qos=1)
        except (Closed, OSError) as e:
            code = self.broker.process.poll()
            raise AssertionError(f"the broker does not take a message: {e}; its exit code: {code}\n{self.broker.log()[-3000:]}") from e
        self.published += 1

    def queued(self):
        code = self.broker.process.poll()
        assert code is None, f"the broker has ended with {code}: {self.broker.log()[-6000:]}"
        return self.broker.action("drill")["queued"]

    def one(self, kind, after, **options):
        """Breaks at this byte; True when everything got through instead. A connection that was not closed by the fault must
        be given up by the connector."""
        hangs = kind in ("garbage", "silence")
        self.proxy.fault(kind, after=after, **options)
        self.proxy.end_connections()
        broken, left = self.proxy.broken, self.proxy.left
        if self.queued() == 0:
            self.publish()  # one row at a time: a batch that grows would outgrow the bytes that pass
        deadline = time.monotonic() + 30 * SLOW
        look = 0.0
        while self.proxy.broken == broken or (hangs and self.proxy.left == left):
            now = time.monotonic()
            assert now < deadline, f"stuck when {kind} comes after {after} bytes: {self.broker.log()[-2000:]}"
            if now > look:  # a look at the status costs the broker something
                if self.queued() == 0 and self.proxy.broken == broken:
                    return True
                if self.queued() == 0:
                    self.publish()  # nobody waited for what was broken; now somebody does
                look = now + 0.02
            time.sleep(0.001)
        return False

    def every_byte(self, kind, step=1, **options):
        """How many bytes it took until everything got through."""
        after = 0
        while not self.one(kind, after, **options):
            after += step
            assert after < 20000, "it never gets through"
        return after

    def finish(self):
        """An honest server again: everything is there, in order, and the counters add up."""
        self.proxy.fault("forward")
        self.proxy.end_connections()
        status = settle(self.broker, 60 * SLOW)
        self.test.assertEqual(status_errors(status), [])
        (action,) = status["actions"]
        self.test.assertEqual((action["queued"], action["rejected"]), (0, 0), self.broker.log()[-2000:])
        seen = list(dict.fromkeys(n for client, n in self.sink.arrivals() if client == self.number))
        self.test.assertEqual(seen, list(range(self.published)))
        self.broker.stop()


class BadServer(unittest.TestCase):
    def breaks(self, sink, step):
        began = time.monotonic()
        sink.set_up()
        breaker = Breaker(self, sink)
        length = breaker.every_byte("close", step)
        breaker.every_byte("reset", 7 * step)
        print(f" {type(sink).__name__}: {length} bytes, {time.monotonic() - began:.0f} s", end="", flush=True)
        breaker.finish()

    def is_given_up(self, sink, faults, step):
        """Each fault leaves connections open that the connector must give up in time; waiting is done side by side."""
        sink.set_up()
        together = len(faults) if sink.proxied()[1] == 0 else 1
        for first in range(0, len(faults), together):
            some = [(Breaker(self, sink, first + i), f) for i, f in enumerate(faults[first:first + together])]
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda pair: pair[0].every_byte(pair[1][0], step, data=pair[1][1]), some))
            for breaker, _ in some:
                breaker.finish()
                breaker.proxy.close()

    def babbles(self, sink, step):
        self.is_given_up(sink, [("garbage", data) for data in GARBAGE], step)

    def falls_silent(self, sink, step):
        self.is_given_up(sink, [("silence", None)], step)


def add(name, sink, break_step, garbage_step, silence_step):
    for what, step in (("breaks", break_step), ("babbles", garbage_step), ("falls_silent", silence_step)):
        def test(self, what=what, step=step):
            getattr(self, what)(sink(), step)
        setattr(BadServer, f"test_{name}__server_{what}", test)


add("kafka", sinks.ToKafka, 1, 97, 397)
add("postgres_table", sinks.ToPostgres, 1, 61, 151)
add("postgres_sql", sinks.ToPostgresBySql, 7, 61, 151)
add("ferretdb", sinks.ToFerretDB, 3, 61, 151)  # a login costs it much; the next one has none
add("mongo_java", sinks.ToMongoJava, 1, 61, 151)
add("redis", sinks.ToRedis, 1, 61, 151)
