"""Sources of a real Redis: streams by a group, a list, channels."""
import json
import os
import time
import unittest

from connectors.source_case import SourceCase
from harness.broker import Broker, run_program, wait_until
from harness.client import Client
from harness.servers import Net, Redis, RedisCluster, RedisSentinel, shared
from harness.servers.redis import RespError

SQL = 'SELECT topic AS t, value.n AS n, id AS i FROM "$sources/redis:in"'


class RedisSourceTest(SourceCase):
    def setUp(self):
        super().setUp()
        self.redis = shared(Redis)
        self.redis.execute("FLUSHALL")

    def config(self, sql=SQL, action=None, connector=None, **source):
        start = {"start": "earliest"} if "streams" in source else {}
        return {"connectors": {"cache": {"type": "redis", "url": self.redis.url(), **(connector or {})}, "far": self.far()},
                "sources": {"in": {"connector": "cache", "consumer": "c1", **start, **source}},
                "rules": {"r": {"sql": sql, "actions": [self.action("tni", **(action or {}))]}}}

    def many(self, *commands):
        with self.redis.client() as c:
            for words in commands:
                c.send(*words)
            for words in commands:
                answer = c.read()
                self.assertNotIsInstance(answer, RespError, f"{words}: {answer}")

    def loaded(self):
        try:
            return self.redis.execute("DBSIZE") is not None
        except RespError:
            return False

    def add(self, *numbers, key="s"):
        self.many(*(("XADD", key, "*", "n", n, "d", f"dev{n % 3}") for n in numbers))

    def pending(self, key="s"):
        return self.redis.execute("XPENDING", key, "sluice-in")[0]


class Streams(RedisSourceTest):
    def test_redis_source__entries_are_read_in_order_and_acknowledged(self):
        self.add(*range(500))
        with Broker(self.config(streams=["s", "later"])) as b:
            self.wait_source(b, state="up", acknowledged=500, pending=0)
            self.add(*range(500, 600))
            self.add(1000, key="later")
            self.wait_source(b, acknowledged=601)
            b.wait_settled("r")
            wait_until(lambda: self.pending() == 0, 5, "not acknowledged")
        rows = self.got("t, n, i")
        self.assertEqual([int(n) for t, n, _ in rows if t == "s"], list(range(600)))
        self.assertEqual([int(n) for t, n, _ in rows if t == "later"], [1000])
        self.assertEqual(len({i for _, _, i in rows}), 601)

    def test_redis_source__columns_and_the_field_that_is_the_value(self):
        self.many(("XADD", "s", "5-7", "payload", '{"n": 3}', "k", 'q"x'), ("XADD", "s", "5-8", "k", "y"))
        sql = 'SELECT value AS v, value.n AS n, headers.k AS k, ts, kind FROM "$sources/redis:in"'
        columns = {"v": "${v}", "n": "${n}", "k": "${k}", "ts": "${ts}", "kind": "${kind}"}
        with Broker(self.config(sql=sql, action={"columns": columns}, streams=["s"], field="payload")) as b:
            self.wait_source(b, acknowledged=2)
            b.wait_settled("r")
        self.assertEqual(self.got("v, n, k, ts, kind"), [('{"n": 3}', 3, 'q"x', 5, "redis"), (None, None, "y", 5, "redis")])

    def test_redis_source__our_own_kill_loses_nothing(self):
        self.add(*range(5000))
        with Broker(self.config(streams=["s"], max_pending={"messages": 300}, action={"buffer": {"durability": "memory"}})) as b:
            for least in (500, 2000):
                self.wait_numbers(least)
                b.kill()
                b.start()
            self.wait_numbers(5000)
            b.wait_settled("r")
            wait_until(lambda: self.pending() == 0, 5, "not acknowledged")
        self.assertEqual({int(n) for n in self.numbers()}, set(range(5000)))

    def test_redis_source__ack_that_is_refused_acknowledges_nothing(self):
        self.redis.execute("ACL", "SETUSER", "mute", "on", ">mute", "~*", "+@all", "-xack")
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "mute")
        self.add(*range(20))
        with Broker(self.config(streams=["s"], connector={"url": f"redis://mute:mute@127.0.0.1:{self.redis.port}"})) as b:
            told = self.wait_source(b, state="down", forgotten=lambda n: n >= 20, pending=0)
            self.assertIn("acknowledging: NOPERM", told["reason"])
            self.assertEqual((told["acknowledged"], told["received"]), (0, told["forgotten"] + told["unacknowledged"]))
            self.assertEqual(self.pending(), 20)
            self.redis.execute("ACL", "SETUSER", "mute", "+xack")
            self.wait_source(b, state="up", acknowledged=20, unacknowledged=0)
            wait_until(lambda: self.pending() == 0, message="not acknowledged")

    def test_redis_source__the_server_killed_and_back(self):
        self.add(*range(100))
        with Broker(self.config(streams=["s"])) as b:
            self.wait_numbers(100)
            self.redis.kill9()
            try:
                self.wait_source(b, state="down")
            finally:
                self.redis.restart()
            wait_until(self.loaded, 10, "still reads its data")
            self.add(*range(100, 200))
            self.wait_source(b, state="up", pending=0)
            self.wait_numbers(200)

    def test_redis_source__a_network_that_says_nothing(self):
        self.add(*range(100))
        with Broker(self.config(streams=["s"])) as b:
            self.wait_numbers(100)
            with Net.dropped(self.redis.port):
                reason = self.wait_source(b, state="down")["reason"]
            self.assertIn("does not answer", reason)
            self.add(*range(100, 200))
            self.wait_numbers(200)
            self.wait_source(b, state="up", pending=0)

    def test_redis_source__slow_actions_pause_and_acknowledge_what_is_through(self):
        self.add(*range(3000))
        with Broker(self.config(streams=["s"], max_pending={"messages": 500}, action={"buffer": {"durability": "memory"}})) as b:
            self.wait_source(b, acknowledged=3000)
            with self.locked():
                self.add(*range(3000, 6000))
                self.wait_source(b, paused=True)
                time.sleep(1)
                wait_until(lambda: self.pending() == self.source(b)["pending"], message=lambda: f"{self.pending()} {self.source(b)}")
                self.assertLess(self.source(b)["pending"], 500 + 128 + 1)
            self.wait_source(b, acknowledged=6000, pending=0)
        self.assertEqual([int(n) for n in self.numbers()], list(range(6000)))

    def test_redis_source__what_another_consumer_left_is_taken_over(self):
        self.many(("XGROUP", "CREATE", "s", "sluice-in", "0", "MKSTREAM"))
        self.add(*range(10))
        self.redis.execute("XREADGROUP", "GROUP", "sluice-in", "dead", "COUNT", 6, "STREAMS", "s", ">")
        with Broker(self.config(streams=["s"], claim_after="1s")) as b:
            self.wait_numbers(10)
            b.wait_settled("r")
            wait_until(lambda: self.pending() == 0, 5, "not acknowledged")
        self.assertEqual(sorted(int(n) for n in self.numbers()), list(range(10)))


class Lists(RedisSourceTest):
    def test_redis_source__a_list_is_taken_and_what_lay_aside_comes_first(self):
        self.many(*(("LPUSH", "jobs", json.dumps({"n": n})) for n in range(200)))
        with Broker(self.config(list="jobs")) as b:
            self.wait_source(b, acknowledged=200)
            b.wait_settled("r")
            with self.locked():
                b.write_config(self.config(list="jobs", action={"buffer": {"durability": "memory"}}))
                b.reload()
                b.wait_log(" reloaded ")
                self.many(*(("LPUSH", "jobs", json.dumps({"n": n})) for n in range(200, 250)))
                wait_until(lambda: self.redis.execute("LLEN", "jobs") == 0, 10, "not taken")
                b.kill()
                self.assertEqual(self.redis.execute("LLEN", "jobs:sluice:c1"), 50)
            b.start()
            self.wait_numbers(250)
            wait_until(lambda: self.redis.execute("LLEN", "jobs:sluice:c1") == 0, 10, "not removed")
        self.assertEqual([int(n) for n in self.numbers()], list(range(250)))


class Channels(RedisSourceTest):
    def test_redis_source__channels_and_patterns_reach_mqtt(self):
        config = self.config(sql='SELECT topic AS t, value AS v FROM "$sources/redis:in"', channels=["alarms"], patterns=["site.*"])
        config["rules"]["r"]["actions"] = [{"republish": {"topic": "r/${t}", "payload": "${v}", "qos": 1}}]
        with Broker(config) as b, Client(b.port) as c:
            c.connect("reader")
            c.subscribe("r/#", qos=1)
            self.wait_source(b, state="up")
            wait_until(lambda: self.redis.execute("PUBLISH", "alarms", "first"), 5, "nobody listens")
            c.receive("r/alarms", "first", qos=1)
            self.redis.execute("PUBLISH", "site.7", "x")
            c.receive("r/site.7", "x", qos=1)
            time.sleep(4)  # a ping in between
            self.redis.execute("PUBLISH", "alarms", "later")
            c.receive("r/alarms", "later", qos=1)
            self.assertEqual(self.source(b)["state"], "up")


class Sentinel(RedisSourceTest):
    def setUp(self):
        super().setUp()
        self.sentinel = shared(RedisSentinel)
        self.sentinel.restart()
        wait_until(self.is_replicated, 60, "no master with a replica")
        self.sentinel.master().execute("FLUSHALL")

    def is_replicated(self):
        try:
            return b"connected_slaves:1" in self.sentinel.master().execute("INFO", "replication")
        except (RespError, OSError, StopIteration):
            return False

    def follows(self, move):
        config = self.config(streams=["s"])
        config["connectors"]["cache"] = {"type": "redis", "reconnect": {"max": "1s"}, "mode": "sentinel", "master": "mymaster",
                                         "servers": [f"127.0.0.1:{p}" for p in self.sentinel.sentinel_ports]}
        with Broker(config) as b:
            for n in range(100):
                self.sentinel.master().execute("XADD", "s", "*", "n", n)
            self.wait_numbers(100)
            old = self.sentinel.master()
            wait_until(lambda: old.execute("WAIT", 1, 1000) == 1, 20, "not replicated")
            move(old)
            wait_until(lambda: self.sentinel.master_port() != old.port, 20, "no failover")
            wait_until(lambda: self.sentinel.master().execute("ROLE")[0] == b"master", 20, "no new master")
            for n in range(100, 200):
                self.sentinel.master().execute("XADD", "s", "*", "n", n)
            self.wait_numbers(200)
            self.wait_source(b, state="up", pending=0)

    def test_redis_source__goes_on_with_the_new_master(self):
        self.follows(lambda old: old.kill9())

    def test_redis_source__goes_on_when_the_master_hands_over(self):
        self.follows(lambda old: self.sentinel.sentinels[0].execute("SENTINEL", "FAILOVER", "mymaster"))


class Attacks(RedisSourceTest):
    """What others do to what is read. Nothing that is there is lost, nothing stops the source for ever."""

    def test_redis_source__a_stream_is_trimmed_under_the_reader(self):
        self.add(*range(500))
        with Broker(self.config(streams=["s"], max_pending={"messages": 100}, action={"buffer": {"durability": "memory"}})) as b:
            self.wait_source(b, acknowledged=500)
            with self.locked():
                self.add(*range(500, 1000))
                self.wait_source(b, paused=True)
                self.redis.execute("XTRIM", "s", "MAXLEN", 0)
                b.kill()
            b.start()  # our pending entries are without fields now
            self.add(*range(1000, 1100))
            wait_until(lambda: {*range(500), *range(1000, 1100)} <= {int(n) for n in self.numbers() if n is not None}, 40, "not read")
            self.wait_source(b, state="up", pending=0)
            wait_until(lambda: self.pending() == 0, 10, "not acknowledged")

    def test_redis_source__group_and_stream_are_deleted(self):
        self.add(*range(100))
        with Broker(self.config(streams=["s"])) as b:
            self.wait_numbers(100)
            for number, command in enumerate((("XGROUP", "DESTROY", "s", "sluice-in"), ("DEL", "s"))):
                self.wait_source(b, state="up", pending=0)
                self.redis.execute(*command)
                self.wait_source(b, timeout=30, state="up", received=lambda n, least=100 * number: n >= least)
                wait_until(lambda: self.redis.execute("EXISTS", "s") and self.redis.execute("XINFO", "GROUPS", "s"), 20, "no group")
                self.add(*range(100 * number + 100, 100 * number + 200))
                self.wait_numbers(100 * number + 200)

    def test_redis_source__key_of_another_type(self):
        self.redis.execute("SET", "s", "text")
        with Broker(self.config(streams=["s"])) as b:
            self.assertIn("WRONGTYPE", self.wait_source(b, state="down", reason=lambda r: "XGROUP" in (r or ""))["reason"])
            self.redis.execute("DEL", "s")
            self.wait_source(b, state="up")
            self.add(1)
            self.wait_numbers(1)
            self.redis.execute("SET", "s", "text again")
            self.wait_source(b, state="down", reason=lambda r: "WRONGTYPE" in (r or ""))
            self.redis.execute("DEL", "s")
            self.wait_source(b, state="up")
            self.add(2)
            self.wait_numbers(2)

    def test_redis_source__a_user_without_rights(self):
        """What may not be read is said once, and so is that nothing can be taken over."""
        def user(*rules):
            self.redis.execute("ACL", "SETUSER", "reader", "on", ">pw7", "~*", *rules)
        user("+@all", "-xreadgroup", "-xautoclaim")
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "reader")
        with Broker(self.config(streams=["s"], connector={"url": self.redis.url("reader", "pw7")})) as b:
            self.wait_source(b, state="down", reason=lambda r: "XREADGROUP: NOPERM" in (r or ""))
            time.sleep(3)
            self.assertLess(b.log().count("source=in"), 5, b.log())
            user("+xreadgroup")
            self.add(1)
            self.wait_numbers(1)
            self.wait_source(b, state="degraded", reason=lambda r: "XAUTOCLAIM" in (r or ""))
            self.add(2)
            self.wait_numbers(2)
            user("+xautoclaim")
            self.wait_source(b, state="up")

    def test_redis_source__a_consumer_with_very_much_under_way(self):
        self.many(("XGROUP", "CREATE", "s", "sluice-in", "0", "MKSTREAM"))
        self.add(*range(8000))
        self.redis.execute("XREADGROUP", "GROUP", "sluice-in", "c1", "COUNT", 8000, "STREAMS", "s", ">")
        with Broker(self.config(streams=["s"])) as b:
            self.wait_source(b, timeout=180, acknowledged=lambda n: n >= 8000, pending=0)
            self.add(8000)
            self.wait_numbers(8001)
            wait_until(lambda: self.pending() == 0, 10, "not acknowledged")
            b.wait_settled("r")
        self.assertEqual(list(dict.fromkeys(int(n) for n in self.numbers())), list(range(8001)))

    def test_redis_source__large_fields_come_a_few_at_a_time(self):
        big = b"x" * (5 * 1024 * 1024)
        self.many(*(("XADD", "s", "*", "n", n, "big", big) for n in range(9)))
        self.many(*(("XADD", "s", "*", "n", n, "big", "y") for n in range(9, 300)))
        sql = 'SELECT headers.n AS n, strlen(headers.big) AS i FROM "$sources/redis:in"'
        with Broker(self.config(sql=sql, action={"columns": {"n": "${n}", "i": "${i}"}}, streams=["s"])) as b:
            self.wait_numbers(300, timeout=180)
            self.wait_source(b, state="up", acknowledged=lambda n: n >= 300, pending=0)
            b.wait_settled("r")
        self.assertEqual(list(dict.fromkeys(self.got("n, i"))), [(str(n), len(big) if n < 9 else 1) for n in range(300)])

    def test_redis_source__large_elements_that_lay_aside(self):
        big = b"x" * (10 * 1024 * 1024)
        for n in range(5):
            self.redis.execute("LPUSH", "jobs:sluice:c1", b'{"n":%d,"big":"%s"}' % (n, big))
        self.redis.execute("LPUSH", "jobs", b'{"n":5}')
        with Broker(self.config(list="jobs")) as b:
            self.wait_numbers(6, timeout=180)
            wait_until(lambda: self.redis.execute("LLEN", "jobs:sluice:c1") == 0, 20, "not removed")
            b.wait_settled("r")
        self.assertEqual(list(dict.fromkeys(int(n) for n in self.numbers())), list(range(6)))

    def test_redis_source__odd_fields(self):
        self.many(("XADD", "s", "1-1", "", "", "n", 1), ("XADD", "s", "1-2", "n", 2, "n", 3), ("XADD", "s", "1-3", b"\xff\x00\"", b"\x80\r\n", "n", 4),
                  ("XADD", "s", "1-4", *(w for i in range(5000) for w in (f"f{i}", i))), ("XADD", "s", "18446744073709551615-18446744073709551615", "n", 6))
        columns = {"n": "${n}", "i": "${i}", "t": "${t}"}
        sql = 'SELECT value.n AS n, id AS i, headers.f4999 AS t FROM "$sources/redis:in"'
        with Broker(self.config(sql=sql, action={"columns": columns}, streams=["s"])) as b:
            self.wait_source(b, acknowledged=5, pending=0)
            wait_until(lambda: self.pending() == 0, 10, "not acknowledged")
            b.wait_settled("r")
            self.assertEqual(b.action("r")["rejected"], 0)
        rows = self.got("n, t")
        self.assertEqual([str(n) for n, _ in rows], ["1", str(rows[1][0]), "4", "None", "6"])
        self.assertEqual(rows[3][1], "4999")


class Cluster(RedisSourceTest):
    def setUp(self):
        super().setUp()
        self.cluster = shared(RedisCluster)
        self.cluster.restart()
        for node in self.cluster.nodes:
            node.execute("FLUSHALL")

    def at(self, command, key, *words):
        return self.cluster.nodes[self.cluster.node_of(key)].execute(command, key, *words)

    def broker(self, **source):
        config = self.config(**source)
        config["connectors"]["cache"] = {"type": "redis", "mode": "cluster", "servers": [f"127.0.0.1:{self.cluster.ports[0]}"],
                                         "reconnect": {"max": "1s"}}
        return Broker(config)

    def test_redis_source__streams_of_a_cluster_whose_slot_moves(self):
        keys = ["{orders}:a", "{orders}:b"]
        slot = self.cluster.nodes[0].execute("CLUSTER", "KEYSLOT", keys[0])
        with self.broker(streams=keys) as b:
            self.wait_source(b, state="up")
            for turn in range(3):
                source = self.cluster.node_of(keys[0])
                target = (source + 1) % 3
                for n in range(50):
                    self.at("XADD", keys[n % 2], "*", "n", turn * 100 + n)
                self.cluster.start_moving(slot, source, target)
                self.cluster.finish_moving(slot, source, target)
                for n in range(50, 100):
                    self.at("XADD", keys[n % 2], "*", "n", turn * 100 + n)
                self.wait_numbers(turn * 100 + 100)
            self.wait_source(b, state="up", pending=0)
            b.wait_settled("r")
            for key in keys:
                wait_until(lambda k=key: self.at("XPENDING", k, "sluice-in")[0] == 0, 10, "not acknowledged")
        for key in keys:
            first = list(dict.fromkeys(int(n) for t, n in self.got("t, n") if t == key))
            self.assertEqual(first, sorted(first))

    def test_redis_source__a_list_and_channels_of_a_cluster(self):
        for n in range(100):
            self.at("LPUSH", "jobs", json.dumps({"n": n}))
        with self.broker(list="jobs") as b:
            self.wait_numbers(100)
            b.wait_settled("r")
            wait_until(lambda: self.at("EXISTS", "{jobs}:sluice:c1") == 0, 10, "not removed")
        self.assertEqual(self.numbers(), list(range(100)))
        with self.broker(channels=["alarms"]) as b:
            self.wait_source(b, state="up")
            for n, node in enumerate(self.cluster.nodes):
                wait_until(lambda at=node, i=n: at.execute("PUBLISH", "alarms", json.dumps({"n": 1000 + i})) is not None, 5)
            self.wait_numbers(103)


class Mistakes(RedisSourceTest):
    def test_redis_source__mistakes_are_found_before_a_start(self):
        for source, connector, part in (
                ({}, {}, "say what to read"), ({"list": "a", "streams": ["b"]}, {}, "say what to read"),
                ({"streams": ["a"], "start": "noon"}, {}, "none of earliest"), ({"stream": ["a"]}, {}, "streams"),
                ({"streams": ["a", "b"]}, {"mode": "cluster", "url": None, "servers": ["127.0.0.1:1"]}, "braces in common"),
                ({"list": "a}b"}, {"mode": "cluster", "url": None, "servers": ["127.0.0.1:1"]}, "no key can be made")):
            with self.subTest(**source):
                config = {"auth": {"anonymous": True}, **self.config(connector=connector, **source)}
                config["connectors"]["cache"] = {k: v for k, v in config["connectors"]["cache"].items() if v is not None}
                path = self.folder / "c.yaml"
                path.write_text(json.dumps(config))
                done = run_program("check", "-c", str(path))
                self.assertEqual(done.returncode, 1)
                self.assertIn(part, done.stderr)


if os.environ.get("SLUICE_INSIDE") and __name__ == "__main__":
    unittest.main()
