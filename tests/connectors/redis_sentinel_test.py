"""The redis connector between sentinels that do not agree, and masters that are none any more: all of them played, so that
every moment of a failover lasts as long as the test wants. Real ones: redis_cluster_test.py."""
import time

from connectors.redis_case import RedisCase
from harness.broker import Broker, wait_until
from harness.fake import Fake


def resp(value):
    """None, int, bytes, str (a status; with a - in front an error) or a list of them."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%s\r\n" % (len(value), value)
    if isinstance(value, str):
        return (value if value.startswith("-") else "+" + value).encode() + b"\r\n"
    return b"*%d\r\n" % len(value) + b"".join(resp(v) for v in value)


class Peer:
    """Answers commands with what answer(words) says; words[0] is in capitals."""

    def __init__(self, test):
        self.fake = Fake(self.play)
        self.port = self.fake.port
        test.addCleanup(self.close)

    def close(self):
        self.fake.close()
        assert not self.fake.errors, self.fake.errors

    def play(self, conn):
        while True:
            words = [conn.read(int(conn.line()[1:]) + 2)[:-2] for _ in range(int(conn.line()[1:]))]
            conn.send(resp(self.answer([words[0].upper(), *words[1:]])))

    def answer(self, words):
        raise NotImplementedError


class Master(Peer):
    """Believes that it is master; takes every row."""

    def __init__(self, test, replicas=1):
        self.replicas, self.rows, self.heard = replicas, [], set()
        super().__init__(test)

    def answer(self, words):
        self.heard.add(words[0])
        if words[0] == b"SUBSCRIBE":
            return [b"subscribe", words[1], 1]
        if words[0] == b"ROLE":
            return [b"master", 100, [[b"127.0.0.1", b"1", b"100"]] * self.replicas]
        if words[0] == b"SET":
            self.rows.append(words[1].decode())
        return "PONG" if words[0] == b"PING" else "OK"


class Sentinel(Peer):
    """`named`: whom it names as master. The rest is what SENTINEL MASTER says; `of`: of another server, where that differs."""

    def __init__(self, test, named, epoch=1, replicas=1, **more):
        self.named, self.epoch, self.replicas, self.flags, self.of, self.refuses, self.delay = named, epoch, replicas, "", None, False, 0
        self.set(**more)
        super().__init__(test)

    def set(self, **values):
        for name, value in values.items():
            assert hasattr(self, name)
            setattr(self, name, value)

    def answer(self, words):
        if words[0] == b"PING":
            return "PONG"
        time.sleep(self.delay)
        if words[1].lower() == b"get-master-addr-by-name":
            return [b"127.0.0.1", b"%d" % self.named.port]
        if self.refuses:
            return "-NOPERM User default has no permissions to run the 'sentinel|master' command"
        told = {"name": "mymaster", "ip": "127.0.0.1", "port": (self.of or self.named).port, "runid": "",
                "flags": ",".join(filter(None, [self.flags, "master"])), "num-slaves": self.replicas, "config-epoch": self.epoch}
        return [str(x).encode() for pair in told.items() for x in pair]


class Failover(RedisCase):
    """The old master has no replica left in most of these, as after a failover: so an answer that comes late, which it may on a busy
    machine, comes in time."""

    def setUp(self):
        self.old, self.new = Master(self), Master(self)

    def connector(self):
        return {"mode": "sentinel", "master": "mymaster", "check_interval": "100ms",
                "servers": [f"127.0.0.1:{s.port}" for s in self.sentinels]}

    def three(self, *named, **more):
        self.sentinels = [Sentinel(self, n, **more) for n in named]
        return self.sentinels

    def rows(self, broker, *keys):
        self.publish(broker, *({"k": k, "v": 1} for k in keys))

    def settle(self, broker, master, *keys):
        """All rows are delivered, and there."""
        broker.wait_settled("r")
        wait_until(lambda: set(keys) <= set(master.rows), 30, lambda: str((self.old.rows, self.new.rows)))

    def moves(self, broker):
        wait_until(lambda: str(self.new.port) in str(self.state(broker)["about"]), 30, lambda: str(self.state(broker)))

    def stays_away(self, broker, part):
        """The connection is not up for a while; its reason. No row went anywhere."""
        self.assertIn(part, self.wait_state(broker, "down"))
        self.assertEqual((self.old.rows, self.new.rows), ([], []))

    def test_failover__one_sentinel_knows_the_new_master_and_two_the_old_one(self):
        self.old.replicas = 0
        self.three(self.old, self.new, self.old)[1].set(epoch=2)
        with self.broker() as b:
            self.rows(b, "a", "b")
            self.settle(b, self.new, "a", "b")
        self.assertEqual(self.old.rows, [])

    def test_failover__the_sentinel_that_knows_answers_last(self):
        self.old.replicas = 0
        self.three(self.old, self.old, self.new)[2].set(epoch=2, delay=0.7)
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.new, "a")
        self.assertEqual(self.old.rows, [])

    def test_failover__one_sentinel_hears_of_it_while_rows_flow(self):
        knows = self.three(self.old, self.old, self.old)[0]
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.old, "a")
            knows.set(epoch=2, named=self.new)
            self.moves(b)
            self.rows(b, "b")
            self.settle(b, self.new, "b")
            knows.close()  # now only those are left that have not heard of it
            wait_until(lambda: self.state(b)["about"]["sentinels_answering"] == 2, 30)
            time.sleep(0.3)
            self.rows(b, "c")
            self.settle(b, self.new, "c")
        self.assertEqual(self.old.rows, ["a"])

    def test_failover__a_master_that_is_being_replaced(self):
        for flags in ("s_down,o_down", "failover_in_progress"):
            with self.subTest(flags=flags):
                self.setUp()
                self.old.replicas = 0
                leader = self.three(self.old, self.old, self.old)[2]
                leader.set(flags=flags)
                with self.broker(connect_timeout="1s") as b:
                    self.rows(b, "a")
                    self.stays_away(b, "about to replace it")
                    # The replicas are made to follow: of the flags it tells the old one's, of the epoch the new one.
                    leader.set(named=self.new, of=self.old, epoch=2)
                    self.settle(b, self.new, "a")
                self.assertEqual(self.old.rows, [])

    def test_failover__most_sentinels_do_not_reach_the_master(self):
        self.old.replicas = 0
        first, second, _ = self.three(self.old, self.old, self.old, flags="s_down")
        with self.broker(connect_timeout="1s") as b:
            self.rows(b, "a")
            self.stays_away(b, "about to replace it")
            self.old.replicas = 1
            first.set(flags="")
            second.set(flags="")  # the one that is left may be cut off
            self.settle(b, self.old, "a")

    def test_failover__begins_while_rows_flow(self):
        leader = self.three(self.old, self.old, self.old)[1]
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.old, "a")
            self.old.replicas = 0
            leader.set(flags="failover_in_progress")
            wait_until(lambda: self.state(b)["state"] != "up", 30, lambda: str(self.state(b)))
            self.rows(b, "b")
            leader.set(flags="", epoch=2, named=self.new)
            self.settle(b, self.new, "b")
        self.assertEqual(self.old.rows, ["a"])

    def test_failover__master_without_a_replica_gets_no_rows_before_it_has_one(self):
        self.old.replicas = 0
        self.three(self.old, self.old, self.old)
        with self.broker() as b:
            self.rows(b, "a")
            time.sleep(1)
            self.assertEqual(self.old.rows, [])
            self.old.replicas = 1
            self.settle(b, self.old, "a")
            self.assertNotIn("what it took is lost", b.log())

    def test_failover__master_whose_replicas_stay_away_gets_them_all_the_same(self):
        self.old.replicas = 0
        self.three(self.old)
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.old, "a")
            self.assertIn("if it fails now, what it took is lost", b.log())

    def test_failover__new_master_has_no_replica_yet(self):
        self.new.replicas = 0
        sentinels = self.three(self.old, self.old, self.old)
        with self.broker() as b:
            self.wait_state(b, "up")
            for s in sentinels:
                s.set(epoch=2, named=self.new)
            self.moves(b)
            self.rows(b, "a")
            self.settle(b, self.new, "a")
            self.assertNotIn("what it took is lost", b.log())

    def test_failover__nobody_could_replace_the_master(self):
        """A master alone, with or without trouble, is connected to at once."""
        self.old.replicas = 0
        for s in self.three(self.old, self.old, self.old, replicas=0):
            s.set(flags="s_down,o_down")
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.old, "a")
            self.assertNotIn("no replica", b.log())

    def test_failover__sentinels_that_may_not_be_asked_for_more_than_the_address(self):
        self.old.replicas = 0
        self.three(self.new, self.old, self.new, refuses=True)
        with self.broker() as b:
            self.rows(b, "a")
            self.settle(b, self.new, "a")
        self.assertEqual(self.old.rows, [])

    def test_failover__sources_leave_an_old_master_that_goes_on(self):
        sentinels = self.three(self.old, self.old, self.old)
        config = self.config(sql='SELECT topic AS k, value AS v FROM "$sources/redis:alarms"')
        with Broker({**config, "sources": {"alarms": {"connector": "cache", "channels": ["alarms"]}}}):
            wait_until(lambda: b"SUBSCRIBE" in self.old.heard, 30)
            sentinels[1].set(epoch=2, named=self.new)
            wait_until(lambda: b"SUBSCRIBE" in self.new.heard, 30)
