"""Servers that are several: a standby takes over, a pooler dies, a group of consumers changes hands, a cluster's replica
becomes master. Rows flow all the time; afterwards all that was acknowledged is there, in order per client."""
import subprocess
import time
import unittest

from connectors.stream import ORDERED, Stream
from harness.broker import Broker, wait_until
from harness.servers import PgBouncer, Postgres, RedisCluster, shared


class Flow(unittest.TestCase):
    """One broker of ours, the rule `r`, one connector `far`."""

    def broker(self, connector, action, **options):
        connector = {"reconnect": {"first": "50ms", "max": "500ms"}, **connector}
        return Broker({"connectors": {"far": connector},
                       "rules": {"r": {"sql": ORDERED, "actions": [
                           {"connector": "far", "retry": {"first": "50ms", "max": "500ms"}, **action}]}}, **options})

    def flows(self, b, rows=200):
        """Rows arrive (again)."""
        least = b.action("r")["delivered"] + rows
        wait_until(lambda: b.action("r")["delivered"] >= least, 60, lambda: f"{b.status()}\n{b.log()[-5000:]}")


class ToPostgres(Flow):
    TABLE = "CREATE TABLE t (arrived bigserial, c text, n int)"
    ACTION = {"table": "t", "columns": {"c": "${c}", "n": "${n}"}, "timeout": "3s"}

    def read(self, server):
        def rows(name):
            return [n for (n,) in server.query(f"SELECT n FROM t WHERE c = '{name}' ORDER BY arrived")]
        return rows

    def test_standby__promoted_after_the_primary_was_killed_and_back(self):
        """What a standby has as well before it is acknowledged outlives the primary; the old one comes back as standby, and
        takes over in its turn."""
        first = Postgres(port=15433)
        second = Postgres(port=15434, copy_of=first)
        with first:
            first.execute(self.TABLE)
            with second:
                first.acknowledge_with_standbys()
                connector = {"type": "postgres", "hosts": [f"127.0.0.1:{s.port}" for s in (first, second)], "user": "test", "database": "test"}
                with self.broker(connector, self.ACTION) as b:
                    b.wait_connector("far", "up")
                    s = Stream(self, b)
                    for primary, standby in ((first, second), (second, first)):
                        self.flows(b)
                        primary.kill9()
                        time.sleep(0.3)
                        standby.promote()
                        self.flows(b)
                        self.assertIn(str(standby.port), b.connector("far")["about"]["server"])
                        primary.follow(standby)
                        primary.start()
                        standby.acknowledge_with_standbys()
                    self.flows(b)
                    s.finish(self.read(first))

    def test_pgbouncer__dies_pauses_reconnects_and_has_no_session_left(self):
        pg, bouncer = shared(Postgres), shared(PgBouncer)
        pg.execute("DROP TABLE IF EXISTS t; " + self.TABLE)
        for action in (self.ACTION, {"sql": "INSERT INTO t(c, n) VALUES (${c}, ${n})", "timeout": "3s"}):
            with self.subTest(action=action), self.broker({"type": "postgres", "url": bouncer.url()}, action) as b:
                pg.execute("TRUNCATE t")
                b.wait_connector("far", "up")
                s = Stream(self, b)
                self.flows(b)
                bouncer.kill9()
                bouncer.restart()
                self.flows(b)
                bouncer.console("RECONNECT")
                self.flows(b)
                bouncer.console("PAUSE")
                time.sleep(0.3)
                pg.kill9()
                pg.restart()
                bouncer.console("RESUME")
                self.flows(b)
                pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = 'test'")
                self.flows(b)
                # Others have both of its sessions.
                others = [subprocess.Popen(["psql", "-X", "-q", bouncer.url(), "-c", "BEGIN; SELECT pg_sleep(1); COMMIT"], stdout=subprocess.DEVNULL)
                          for _ in range(2)]
                self.assertEqual([o.wait(60) for o in others], [0, 0])
                self.flows(b)
                s.finish(self.read(pg))


class ToRedisCluster(Flow):
    ACTION = {"command": ["RPUSH", "l:${c}", "${n}"], "timeout": "4s"}

    def test_cluster__replicas_become_masters(self):
        """With `replicas` a row counts as delivered when it outlives its master."""
        cluster = RedisCluster(range(17011, 17017), replicas=1)
        connector = {"type": "redis", "mode": "cluster", "servers": [f"127.0.0.1:{p}" for p in cluster.ports], "replicas": 1, "replicas_timeout": "300ms"}
        with cluster, self.broker(connector, self.ACTION) as b:
            b.wait_connector("far", "up")
            s = Stream(self, b, clients=6)
            for _ in range(2):
                self.flows(b)
                old = cluster.node_of("l:c0")
                cluster.nodes[old].kill9()
                wait_until(lambda old=old: cluster.node_of("l:c0") != old, 60, "no replica takes over")
                cluster.restart()
            self.flows(b)
            s.finish(lambda name: cluster.nodes[cluster.node_of(f"l:{name}")].execute("LRANGE", f"l:{name}", 0, -1))


if __name__ == "__main__":
    unittest.main()
