"""The redis connector when things break: whatever happens, at least once, in order for each key, and nothing hangs or grows."""
import os
import time

from connectors.redis_case import ORDERED, RedisCase, Stream
from harness.broker import Broker, wait_until
from harness.fake import Fake
from harness.proxy import Proxy
from harness.servers import Net


PING = b"*1\r\n$4\r\nPING\r\n"


class Faults(RedisCase):
    def begin(self, action=None, **connector):
        self.b = self.broker({**Stream.ACTION, **(action or {})}, ORDERED, **connector)
        self.addCleanup(self.b.stop, check=False)
        self.wait_state(self.b, "up")
        return Stream(self, self.b)

    def read(self, name):
        return self.redis.execute("LRANGE", f"l:{name}", 0, -1)

    def test_faults__server_killed_and_started_again(self):
        s = self.begin()
        for _ in range(2):
            time.sleep(1)
            self.redis.kill9()
            self.wait_state(self.b, "down", 20)
            time.sleep(0.5)
            self.redis.restart()
            self.wait_state(self.b, "up", 20)
        time.sleep(0.5)
        s.finish(self.read)
        self.b.stop()

    def test_faults__batches_of_several_connections_that_end(self):
        """A later batch is through before an earlier one that had rows on more connections: it does not come again before it."""
        names = [f"c{i}" for i in range(6)]
        with Proxy(self.redis.port) as proxy:
            action = {**Stream.ACTION, "timeout": "60s", "batch": {"rows": len(names), "linger": "300ms"}}
            with self.broker(action, ORDERED, url=self.redis.url().replace(str(self.redis.port), str(proxy.port)), pool=4) as b:
                self.wait_state(b, "up")
                proxy.fault("silence")
                for name in names:
                    self.publish(b, {"n": 1}, topic="in/x", client=name)
                for i, name in enumerate(names):
                    wait_until(lambda least=len(names) + i: b.action("r")["in_flight"] >= least, 20, lambda: str(b.action("r")))
                    self.publish(b, {"n": 2}, topic="in/x", client=name)
                wait_until(lambda: b.action("r")["in_flight"] == 2 * len(names), 20, lambda: str(b.action("r")))
                proxy.fault("forward")
                proxy.end_connections()
                self.assertEqual(b.wait_settled("r")["delivered"], 2 * len(names))
        self.assertEqual({name: self.read(name) for name in names}, {name: [b"1", b"2"] for name in names})

    def test_faults__packets_dropped_in_silence(self):
        s = self.begin()
        time.sleep(0.5)
        with Net.dropped(self.redis.port):
            self.assertIn("no answer", self.wait_state(self.b, "down", 30))
        self.wait_state(self.b, "up", 20)
        s.finish(self.read)
        self.b.stop()

    def test_faults__rows_without_an_answer_count_as_possible_duplicates(self):
        with self.broker({"command": ["RPUSH", "l", "${v}"]}) as b:
            self.publish(b, {"v": 0})
            b.wait_settled("r")
            self.redis.execute("CLIENT", "PAUSE", 60000, "WRITE")
            self.publish(b, *({"v": n} for n in range(1, 6)))
            wait_until(lambda: b.action("r")["in_flight"] == 5, 20, lambda: str(b.action("r")))
            self.redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            wait_until(lambda: b.action("r")["maybe_duplicate"] >= 5, 20, lambda: str(b.action("r")))
            self.redis.execute("CLIENT", "UNPAUSE")
            self.assertEqual(b.wait_settled("r")["delivered"], 6)

    def test_faults__idle_connection_that_died_is_found_by_a_ping(self):
        with self.broker(Stream.ACTION, ORDERED, probe="1s", connect_timeout="1s") as b:
            self.wait_state(b, "up")
            with Net.dropped(self.redis.port):
                self.assertIn("PING", self.wait_state(b, "down", 20))
            self.wait_state(b, "up", 20)

    def test_faults__we_are_killed(self):
        s = self.begin()
        for _ in range(3):
            time.sleep(0.7)
            self.b.kill()
            self.b.start()
        time.sleep(0.3)
        s.finish(self.read)
        self.b.stop()

    def test_faults__stopped_server_process(self):
        s = self.begin({"timeout": "1s"})
        time.sleep(0.5)
        self.redis.pause()
        try:
            self.assertIn("no answer within", self.wait_state(self.b, "down", 30))
        finally:
            self.redis.resume()
        self.wait_state(self.b, "up", 20)
        s.finish(self.read)
        self.b.stop()

    def test_faults__connection_that_breaks_at_every_byte_of_the_answers(self):
        with Proxy(self.redis.port) as proxy:
            url = self.redis.url().replace(str(self.redis.port), str(proxy.port))
            with self.broker({"command": ["SET", "${c}", "${n}"]}, ORDERED, url=url, reconnect={"first": "10ms", "max": "20ms"}) as b:
                for kind in ("close", "reset", "garbage"):
                    for after in range(0, 26):
                        proxy.fault(kind, after=after, data=b"\xff\x00%d garbage\r\n" % after)
                        proxy.end_connections()
                        self.publish(b, {"n": after}, client=kind)
                        time.sleep(0.03)
                    proxy.fault("forward")
                    proxy.end_connections()
                    b.wait_settled("r", timeout=30)
                    self.assertEqual(self.redis.execute("GET", kind), b"25")
                n = b.action("r")
                self.assertEqual((n["delivered"], n["rejected"]), (78, 0))

    def test_faults__answers_in_pieces(self):
        with Proxy(self.redis.port) as proxy:
            url = self.redis.url().replace(str(self.redis.port), str(proxy.port))
            proxy.fault("forward", delay_s=0.01)
            with self.broker({"command": ["RPUSH", "l", "${n}"]}, ORDERED, url=url) as b:
                self.publish(b, *({"n": n} for n in range(2000)))
                b.wait_settled("r")
        self.assertEqual([int(n) for n in self.redis.execute("LRANGE", "l", 0, -1)], list(range(2000)))


class Peers(RedisCase):
    """Peers that are no Redis."""

    def held(self, script, part, rows=10, **connector):
        # Without the address sanitizer, which keeps what was freed.
        fast = os.environ.get("SLUICE_FAST_BIN")
        config = {"url": "redis://127.0.0.1:{}", "connect_timeout": "1s", **connector}
        action = {"command": ["SET", "${c}", "${n}"], "timeout": "1s"}
        with Fake(script) as fake, Broker(self.config(action, ORDERED, **{**config, "url": config["url"].format(fake.port)}), program=fast) as b:
            self.publish(b, *({"n": n} for n in range(rows)))
            reason = self.wait_state(b, "down", 20)
            self.assertIn(part, reason)
            before = b.rss_kb()
            time.sleep(1.5)
            n = b.action("r")
            self.assertEqual((n["queued"], n["delivered"], n["rejected"]), (rows, 0, 0))
            self.assertLess(b.rss_kb(), before + (60000 if fast else 250000))
            b.kill()

    def test_peers__accepts_and_never_answers(self):
        self.held(lambda conn: conn.hang(), "does not answer")

    def test_peers__answers_the_greeting_and_no_row(self):
        def script(conn):
            conn.read(len(PING))
            conn.send(b"+PONG\r\n")
            conn.hang()
        self.held(script, "no answer within")

    def test_peers__what_the_second_signal_to_stop_ends_is_no_attempt(self):
        def script(conn):
            conn.read(len(PING))
            conn.send(b"+PONG\r\n")
            conn.hang()
        with Fake(script) as fake:
            b = self.broker({"command": ["SET", "k", "${v}"], "timeout": "300s", "retry": {"attempts": 1}}, url=f"redis://127.0.0.1:{fake.port}", probe="300s")
            self.publish(b, {"v": 1})
            wait_until(lambda: b.action("r")["in_flight"] == 1, 60, lambda: str(b.action("r")))
            b.stop_at_once()
        self.assertNotIn("no answer within", b.log())
        self.assertEqual(self.dead(b), [])
        self.assertRegex(b.log(), "rows wait in the log for the next start.* rows=1 ")

    def test_peers__garbage(self):
        def script(conn):
            conn.read(4)
            while True:
                conn.send(os.urandom(65536))
        self.held(script, "not Redis' protocol")

    def test_peers__speaks_http(self):
        def script(conn):
            conn.read(4)
            conn.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.held(script, "not Redis' protocol")

    def test_peers__line_without_an_end(self):
        def script(conn):
            conn.read(4)
            conn.send(b"+")
            while True:
                conn.send(b"x" * 65536)
        self.held(script, "a line without an end")

    def test_peers__huge_answers_are_not_held(self):
        def bulk(conn):
            conn.read(4)
            conn.send(b"$2000000000\r\n")
            while True:  # not so fast that the end is seen
                conn.send(b"x" * 65536)
                time.sleep(0.001)

        def array(conn):
            conn.read(4)
            conn.send(b"*1000000000\r\n" + b":1\r\n" * 10000)
            conn.hang()
        self.held(bulk, "does not answer")
        self.held(array, "does not answer")

    def test_peers__more_answers_than_questions(self):
        def script(conn):
            conn.read(4)
            conn.send(b"+PONG\r\n" + b"+OK\r\n" * 1000)
            conn.hang()
        self.held(script, "not asked for", rows=0)

    def test_peers__protected_mode(self):
        def script(conn):
            conn.send(b"-DENIED Redis is running in protected mode\r\n")
        self.held(script, "protected mode")
