"""The redis connector with a Cluster and with Sentinel: slots move, masters die, rows follow."""
import time

from connectors import redis_attack_test as attack
from connectors.redis_case import ORDERED, RedisCase, Stream
from harness.broker import wait_until
from harness.servers import RedisCluster, RedisSentinel, shared


PATIENT = {**Stream.ACTION, "timeout": "2m"}  # a row whose answer comes late is sent twice


class ClusterCase(RedisCase):
    def setUp(self):
        self.cluster = shared(RedisCluster)
        self.cluster.restart()
        for node in self.cluster.nodes:
            node.execute("FLUSHALL")

    def connector(self):
        return {"mode": "cluster", "servers": [f"127.0.0.1:{self.cluster.ports[0]}", f"127.0.0.1:{self.cluster.ports[2]}"]}

    def get(self, command, key, *words):
        return self.cluster.nodes[self.cluster.node_of(key)].execute(command, key, *words)

    def sizes(self):
        return [n.execute("DBSIZE") for n in self.cluster.nodes]


class Cluster(ClusterCase):
    def test_cluster__keys_go_to_their_nodes(self):
        self.deliver(*({"k": f"k{n}", "v": n} for n in range(3000)))
        self.assertEqual(sum(self.sizes()), 3000)
        self.assertTrue(all(n > 800 for n in self.sizes()), self.sizes())
        self.assertEqual(self.get("GET", "k77"), b"77")

    def test_cluster__several_commands_each_to_its_own_node(self):
        self.deliver(*({"k": f"k{n}", "v": n} for n in range(300)),
                     action={"commands": [["SET", "a:${k}", "${v}"], ["SET", "b:${k}", "${v}"], ["SET", "c:{a:${k}}", "1"]]})
        self.assertEqual(sum(self.sizes()), 900)

    def test_cluster__transaction_lives_in_one_slot(self):
        action = {"transaction": True, "commands": [["SET", "{${k}}:a", "${v}"], ["INCR", "{${k}}:n"], ["PUBLISH", "c", "x"]]}
        self.deliver(*({"k": f"k{n}", "v": n} for n in range(300)), action=action)
        self.assertEqual(sum(self.sizes()), 600)
        self.deliver({"k": "k1", "v": 1}, rejected=1,
                     action={"transaction": True, "commands": [["SET", "a", "1"], ["SET", "b", "${v}"]]})
        self.assertIn("braces", self.reasons[0])

    def test_cluster__keys_of_one_command_in_several_slots(self):
        self.deliver({"k": "a", "v": "b"}, rejected=1, action={"command": ["MSET", "${k}", "1", "${v}", "2"]})
        self.assertIn("CROSSSLOT", self.reasons[0])

    def test_cluster__key_option_and_scripts(self):
        self.deliver({"k": "a", "v": "b"}, {"k": "x", "v": "y"},
                     action={"command": ["EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "{${k}}", "${v}"]})
        self.deliver({"k": "a", "v": "b"}, action={"command": ["OBJECT", "ENCODING", "{${k}}"], "key": "{${k}}"})
        self.assertEqual((self.get("GET", "{a}"), self.get("GET", "{x}")), (b"b", b"y"))

    def test_cluster__rows_follow_a_slot_that_moves(self):
        """ASK while it moves, MOVED afterwards, there and back, under load: everything is there, once, in order."""
        key = "l:c0"
        slot = self.cluster.nodes[0].execute("CLUSTER", "KEYSLOT", key)
        with self.broker(PATIENT, ORDERED) as b:
            self.wait_state(b, "up")
            s = Stream(self, b, clients=6)
            for _ in range(2):
                time.sleep(0.7)
                source = self.cluster.node_of(key)
                target = (source + 1) % 3
                self.cluster.start_moving(slot, source, target)
                time.sleep(0.4)
                self.cluster.finish_moving(slot, source, target)
            time.sleep(0.5)
            s.finish(lambda name: self.get("LRANGE", f"l:{name}", 0, -1), duplicates=False)
            self.assertEqual(b.action("r")["rejected"], 0)

    def test_cluster__many_slots_move_at_once(self):
        keys = [f"l:c{i}" for i in range(6)]
        with self.broker(PATIENT, ORDERED) as b:
            self.wait_state(b, "up")
            s = Stream(self, b, clients=len(keys))
            for turn in range(4):
                seen = b.action("r")["delivered"]
                moves = []
                for i, key in enumerate(keys):
                    source = self.cluster.node_of(key)
                    moves.append((self.cluster.nodes[0].execute("CLUSTER", "KEYSLOT", key), source, (source + 1 + (i + turn) % 2) % 3))
                for move in moves:
                    self.cluster.start_moving(*move)
                for move in moves:
                    self.cluster.finish_moving(*move)
                wait_until(lambda least=seen + 60: b.action("r")["delivered"] > least, 30, lambda: str(b.action("r")))
            s.finish(lambda name: self.get("LRANGE", f"l:{name}", 0, -1), duplicates=False)

    def test_cluster__scripts_that_say_what_servers_say(self):
        says, lies = attack.Scripts.SAYS, attack.Scripts.LIES
        rows = [{"k": text, "v": n} for n, text in enumerate(lies)] + [{"k": "fine", "v": n} for n in range(5)]
        with self.broker({"command": ["EVAL", says, 1, "l", "${k}", "${v}"]}) as b:
            self.publish(b, *rows)
            self.publish_until(b, len(lies), {"k": "fine", "v": 5})
        self.assertEqual(self.get("LRANGE", "l", 0, 4), [b"0", b"1", b"2", b"3", b"4"])

    def test_cluster__a_right_that_one_of_several_commands_misses_blames_no_row(self):
        for node in self.cluster.nodes:
            node.execute("ACL", "SETUSER", "half", "reset", "on", ">pw", "+@all", "~a:*")
            self.addCleanup(node.execute, "ACL", "DELUSER", "half")
        action = {"commands": [["SET", "a:${k}", "${v}"], ["SET", "log:${k}", "${v}"]], "retry": {"first": "5ms", "max": "20ms"}}
        rows = [{"k": f"k{n}", "v": n} for n in range(100)]
        with self.broker(action, username="half", password="pw") as b:
            self.publish(b, *rows[:50])
            wait_until(lambda: "NOPERM" in (b.action("r").get("reason") or "") or b.action("r")["rejected"], 30, lambda: str(b.action("r")))
            for n in range(50, 100):
                self.publish(b, rows[n])
            for node in self.cluster.nodes:
                node.execute("ACL", "SETUSER", "half", "~*")
            n = b.wait_settled("r")
        self.assertEqual((n["delivered"], n["rejected"]), (100, 0))
        self.assertEqual(sum(self.sizes()), 200)

    def test_cluster__asked_as_a_single_server(self):
        """Rows of other nodes wait, and the reason says what to do."""
        with self.broker(url=f"redis://127.0.0.1:{self.cluster.ports[0]}", mode="single", servers=None) as b:
            self.publish(b, *({"k": f"k{n}", "v": n} for n in range(30)))
            wait_until(lambda: "set `mode: cluster`" in (b.action("r").get("reason") or ""), 20, lambda: str(b.action("r")))
            self.assertEqual(b.action("r")["rejected"], 0)
            b.kill()

    def test_cluster__keys_that_are_new_while_their_slot_moves(self):
        keys = [f"{{moving}}:{n}" for n in range(400)]
        slot = self.cluster.nodes[0].execute("CLUSTER", "KEYSLOT", keys[0])
        source = self.cluster.node_of(keys[0])
        target = (source + 2) % 3
        for action in ({"command": ["RPUSH", "${k}", "${v}"]},
                       {"transaction": True, "commands": [["RPUSH", "${k}", "${v}"], ["INCR", "{moving}:count"]]}):
            with self.subTest(**action), self.broker(action) as b:
                self.wait_state(b, "up")
                self.cluster.start_moving(slot, source, target)
                self.publish(b, *({"k": k, "v": 1} for k in keys))
                time.sleep(0.3)
                self.cluster.finish_moving(slot, source, target)
                n = b.wait_settled("r")
                self.assertEqual((n["delivered"], n["rejected"]), (400, 0))
            self.assertEqual([self.get("LLEN", k) for k in keys], [1] * 400)
            for node in self.cluster.nodes:
                node.execute("FLUSHALL")
            source, target = target, source

    def test_cluster__node_killed_and_started_again(self):
        with self.broker(Stream.ACTION, ORDERED) as b:
            self.wait_state(b, "up")
            s = Stream(self, b, clients=6)
            time.sleep(1)
            self.cluster.nodes[1].kill9()
            time.sleep(1.5)
            self.assertIn(self.state(b)["state"], ("up", "degraded", "down"))
            self.cluster.restart()
            time.sleep(0.5)
            s.finish(lambda name: self.get("LRANGE", f"l:{name}", 0, -1))

    def test_cluster__all_nodes_killed(self):
        with self.broker() as b:
            self.wait_state(b, "up")
            for node in self.cluster.nodes:
                node.kill9()
            self.publish(b, *({"k": f"k{n}", "v": n} for n in range(500)))
            self.assertIn("no node of the cluster answers", wait_reason(self, b))
            self.cluster.restart()
            self.assertEqual(b.wait_settled("r")["delivered"], 500)
        self.assertEqual(sum(self.sizes()), 500)


def wait_reason(case, b):
    wait_until(lambda: "no node" in str(case.state(b).get("reason")), 20, lambda: str(case.state(b)))
    return case.state(b)["reason"]


class Sentinel(RedisCase):
    def setUp(self):
        self.sentinel = shared(RedisSentinel)
        self.sentinel.restart()
        self.sentinel.master().execute("FLUSHALL")

    def connector(self):
        return {"mode": "sentinel", "master": "mymaster", "servers": [f"127.0.0.1:{p}" for p in self.sentinel.sentinel_ports]}

    def test_sentinel__finds_the_master(self):
        self.deliver(*({"k": f"k{n}", "v": n} for n in range(500)))
        self.assertEqual(self.sentinel.master().execute("DBSIZE"), 500)

    def test_sentinel__replicas_that_are_missing(self):
        with self.broker(replicas=2, replicas_timeout="50ms") as b:
            self.publish(b, *({"k": f"k{n}", "v": n} for n in range(50)))
            wait_until(lambda: b.action("r")["retried"] > 50, 20)
            n = b.action("r")
            self.assertEqual(n["delivered"], 0)
            # Each was stored and comes again.
            self.assertGreaterEqual(n["maybe_duplicate"], n["retried"])
            b.kill()

    def test_sentinel__some_of_them_are_away(self):
        servers = ["127.0.0.1:1", *(f"127.0.0.1:{p}" for p in self.sentinel.sentinel_ports[:1])]
        self.deliver({"k": "a", "v": 1}, servers=servers)
        with self.broker(servers=["127.0.0.1:1", "127.0.0.1:2"]) as b:
            self.assertIn("no sentinel knows", self.wait_state(b, "down"))
        with self.broker(master="nobody") as b:
            self.assertIn("check `master`", self.wait_state(b, "down"))

    def settled(self):
        """All agree who is master, no failover is under way, and the other server has what the master has."""
        if len(self.sentinel.named()) > 1 or self.sentinel.changing():
            return False
        role = self.sentinel.master().execute("ROLE")
        return role[0] == b"master" and [int(offset) for _, _, offset in role[2]] == [role[1]]

    def finish(self, broker, stream):
        """All rows are there, when the servers are one again."""
        least = broker.action("r")["delivered"] + 300
        wait_until(lambda: broker.action("r")["delivered"] > least, 60, lambda: f"{self.state(broker)} {broker.action('r')}")
        stream.stop()
        broker.wait_settled("r")
        wait_until(lambda: len(self.sentinel.named()) == 1 and not self.sentinel.changing(), 60)
        self.sentinel.follow()
        wait_until(self.settled, 60)
        stream.finish(lambda name: self.sentinel.master().execute("LRANGE", f"l:{name}", 0, -1))

    def comes_back(self, when, moves):
        """The master is killed, and started again when that is so. Nothing is under way at that moment, for what a master has
        acknowledged and not yet passed on is lost with it: that is Redis' own promise. All that is published from then on is there
        in the end."""
        wait_until(self.settled, 30)
        with self.broker(Stream.ACTION, ORDERED) as b:
            self.wait_state(b, "up")
            old = self.sentinel.master()
            old.kill9()
            s = Stream(self, b)
            when(old)
            old.restart()
            if moves:
                wait_until(lambda: old.port not in self.sentinel.named(), 60)
            self.finish(b, s)

    def test_sentinel__failover_and_the_old_master_comes_back(self):
        """At once, while only the sentinel that led the failover knows the new one."""
        self.comes_back(lambda old: wait_until(lambda: self.sentinel.named() != {old.port}, 30), moves=True)

    def test_sentinel__old_master_comes_back_while_the_failover_begins(self):
        """Sometimes it is the master again. A look may miss the beginning."""
        self.comes_back(lambda old: wait_until(lambda: self.sentinel.changing() or self.sentinel.named() != {old.port}), moves=False)

    def test_sentinel__killed_while_rows_flow(self):
        """With `replicas` not even the last ones are lost."""
        wait_until(self.settled, 30)
        with self.broker(Stream.ACTION, ORDERED, replicas=1, replicas_timeout="300ms") as b:
            self.wait_state(b, "up")
            s = Stream(self, b)
            wait_until(lambda: b.action("r")["delivered"] > 300, 30)
            old = self.sentinel.master()
            old.kill9()
            wait_until(lambda: self.sentinel.named() != {old.port}, 30)
            old.restart()
            wait_until(lambda: old.port not in self.sentinel.named(), 30)
            self.sentinel.follow()
            self.finish(b, s)

    def test_sentinel__planned_failover(self):
        # The old master goes on for a while and loses what it took; with `replicas` it does not count as taken.
        wait_until(self.settled, 30)
        with self.broker(Stream.ACTION, ORDERED, replicas=1, replicas_timeout="300ms") as b:
            self.wait_state(b, "up")
            s = Stream(self, b)
            time.sleep(0.7)
            old = self.sentinel.master_port()
            self.sentinel.sentinels[0].execute("SENTINEL", "FAILOVER", "mymaster")
            wait_until(lambda: self.sentinel.master_port() != old, 20)
            self.finish(b, s)
