"""The servers themselves: each starts, answers, keeps what it acknowledged through SIGKILL, and can be cut off."""
import socket
import time
import unittest

from harness.servers import (FerretDB, Kafka, MongoJava, Net, PgBouncer, Postgres, Redis, RedisCluster, RedisSentinel, TestCa,
                             shared)
from harness.servers.base import run
from harness.servers.mongo_wire import Binary, Date, Decimal128, Int64, Mongo, MongoError, ObjectId
from harness.servers.redis import RespError

from harness.broker import PATIENCE_S, wait_until
from harness.proxy import Proxy


class PostgresServer(unittest.TestCase):
    def setUp(self):
        self.pg = shared(Postgres)
        self.ca = TestCa.shared()
        self.pg.execute("DROP TABLE IF EXISTS probe; CREATE TABLE probe (id int, t text)")

    def one(self, url):
        return run("psql", url, "-X", "-Atc", "SELECT 5", check=False).strip()

    def test_postgres__answers_with_exact_values(self):
        self.assertEqual(self.pg.query(r"SELECT 1, NULL, E'a\tb\n\\', 'é'"), [["1", None, "a\tb\n\\", "é"]])

    def test_postgres__logins_by_password_and_certificate(self):
        tls = {"sslmode": "verify-full", "sslrootcert": self.ca.path("ca.pem")}
        mine = {**tls, "sslcert": self.ca.path("client.pem"), "sslkey": self.ca.path("client.key")}
        self.assertEqual(self.one(self.pg.url("scramuser", "pw", **tls)), "5")
        self.assertEqual(self.one(self.pg.url("scramuser", "wrong", **tls)), "")
        self.assertEqual(self.one(self.pg.url("tlsuser", **mine)), "5")
        self.assertEqual(self.one(self.pg.url("tlsuser", **tls)), "")
        self.assertEqual(self.one(self.pg.url("tlsonly", sslmode="disable")), "")
        self.assertEqual(self.one(self.pg.url("tlsonly", **tls)), "5")

    def test_postgres__killed_keeps_what_was_committed(self):
        self.pg.execute("INSERT INTO probe SELECT n, 'x' FROM generate_series(1, 1000) n")
        self.pg.kill9()
        self.pg.restart()
        self.assertEqual(self.pg.value("SELECT count(*) FROM probe"), "1000")

    def test_postgres__behind_pgbouncer(self):
        bouncer = shared(PgBouncer)
        self.assertEqual(self.one(bouncer.url()), "5")
        bouncer.kill9()
        bouncer.restart()
        self.assertEqual(self.one(bouncer.url()), "5")


class RedisServer(unittest.TestCase):
    def test_redis__users_and_tls(self):
        redis = shared(Redis)
        ca = TestCa.shared().path("ca.pem")
        self.assertEqual(redis.execute("SET", "k", b"\x00\xff"), b"OK")
        out = run("redis-cli", "--tls", "--cacert", ca, "-p", str(redis.tls_port), "--user", "ro", "--pass", "pw2", "SET", "k", "v")
        self.assertIn("NOPERM", out)

    def test_redis__killed_keeps_what_was_written(self):
        redis = shared(Redis)
        for n in range(100):
            redis.execute("SET", f"k{n}", n)
        redis.kill9()
        redis.restart()
        self.assertEqual(redis.execute("GET", "k99"), b"99")

    def test_cluster__moved_and_ask(self):
        cluster = shared(RedisCluster)
        slot, source = 12182, cluster.node_of("foo")
        target = (source + 1) % 3
        self.assertEqual(cluster.nodes[source].execute("SET", "foo", "1"), b"OK")
        cluster.start_moving(slot, source, target)
        with self.assertRaisesRegex(RespError, "^ASK 12182 "):
            cluster.nodes[source].execute("GET", "{foo}other")
        cluster.finish_moving(slot, source, target)
        with self.assertRaisesRegex(RespError, "^MOVED 12182 "):
            cluster.nodes[source].execute("GET", "foo")
        self.assertEqual(cluster.nodes[target].execute("GET", "foo"), b"1")
        cluster.nodes[source].kill9()
        cluster.restart()

    def test_sentinel__a_new_master_after_a_kill(self):
        group = shared(RedisSentinel)
        for server in group.servers:
            if not server.alive():
                server.restart()

        def stored_twice():  # other tests had their failovers: the sentinels may not have agreed yet
            try:
                group.master().execute("SET", "k", "v")
                return group.master().execute("WAIT", 1, 1000) == 1
            except (RespError, OSError):
                return False

        wait_until(stored_twice, 60, "no master with a replica")
        old = group.master_port()
        group.master().kill9()
        wait_until(lambda: group.master_port() != old, 20, "no failover happened")
        self.assertEqual(group.master().execute("GET", "k"), b"v")


class KafkaServer(unittest.TestCase):
    def setUp(self):
        self.kafka = shared(Kafka)

    def login(self, port, *settings):
        options = [w for s in settings for w in ("-X", s)]
        return run("kcat", "-b", f"127.0.0.1:{port}", "-L", "-m", "5", *options, check=False)

    def test_kafka__records_and_offsets(self):
        self.kafka.fresh_topic("probe", 3)
        self.kafka.produce("probe", "a", "b", "é", key="k")
        records = self.kafka.records("probe")
        self.assertEqual([(r.key, r.value) for r in records], [(b"k", b"a"), (b"k", b"b"), (b"k", "é".encode())])
        self.assertEqual(sum(self.kafka.end_offsets("probe")), 3)
        self.assertEqual(self.kafka.committed("nobody", "probe"), [-1, -1, -1])

    def test_kafka__logins(self):
        k, ca = self.kafka, "ssl.ca.location=" + TestCa.shared().path("ca.pem")
        plain = ("sasl.mechanisms=PLAIN", "sasl.username=alice", "sasl.password=pw1")
        scram = ("sasl.mechanisms=SCRAM-SHA-256", "sasl.username=bob", "sasl.password=pw2")
        self.assertIn("1 brokers", self.login(k.sasl_port, "security.protocol=SASL_PLAINTEXT", *scram))
        self.assertIn("1 brokers", self.login(k.sasl_tls_port, "security.protocol=SASL_SSL", ca, *plain))
        self.assertIn("1 brokers", self.login(k.tls_port, "security.protocol=SSL", ca))

    def test_kafka__killed_keeps_what_was_written(self):
        self.kafka.fresh_topic("kept")
        self.kafka.produce("kept", *[str(n) for n in range(1000)])
        self.kafka.kill9()
        self.kafka.restart()
        self.assertEqual([r.value for r in self.kafka.records("kept")], [b"%d" % n for n in range(1000)])


class MongoServers(unittest.TestCase):
    document = {"_id": 1, "d": 1.5, "s": "é", "o": {"a": [1, Int64(2)]}, "b": b"\0\xff", "u": Binary(4, b"x" * 16),
                "i": ObjectId(b"123456789012"), "t": Date(1700000000123), "yes": True, "nothing": None, "l": 2**40}

    def kept(self, kind):
        server = shared(kind)
        with server.client() as c:
            c.drop("probe", "kept")
            for n in range(200):
                c.insert("probe", "kept", {"_id": n})
        server.kill9()
        server.restart()
        with server.client() as c:
            self.assertEqual(c.count("probe", "kept"), 200)
            self.assertEqual([d["_id"] for d in c.find("probe", "kept", sort={"_id": 1})], list(range(200)))

    def same(self, kind, document):
        with shared(kind).client() as c:
            c.drop("probe", "same")
            c.insert("probe", "same", document)
            self.assertEqual(c.find("probe", "same"), [document])
            with self.assertRaisesRegex(MongoError, "11000|duplicate"):
                c.insert("probe", "same", document)
            return c.find("probe", "same", typed=True)[0]

    def test_ferretdb__answers_exactly(self):
        typed = self.same(FerretDB, {k: v for k, v in self.document.items() if k != "o"} | {"o": {"a": [1, Int64(2)]}})
        self.assertEqual(typed["o"], ("document", {"a": ("array", [("int32", 1), ("int64", 2)])}))

    def test_ferretdb__login_is_demanded(self):
        server = shared(FerretDB)
        with self.assertRaises((MongoError, ConnectionError)), Mongo(server.port, "u", "wrong") as c:
            c.insert("probe", "x", {"a": 1})
        with self.assertRaises((MongoError, ConnectionError)), Mongo(server.port) as c:
            c.insert("probe", "x", {"a": 1})

    def test_ferretdb__killed_keeps_what_was_written(self):
        self.kept(FerretDB)

    def test_mongo_java__answers_exactly(self):
        self.same(MongoJava, {**self.document, "x": Decimal128(b"\x0f" + b"\0" * 13 + b"\x3e\x30")})

    def test_mongo_java__speaks_tls(self):
        with MongoJava(tls=True) as server:
            out = run("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile",
                      TestCa.shared().path("ca.pem"), "-verify_return_error", input="", check=False)
            self.assertIn("Verify return code: 0 (ok)", out)

    def test_mongo_java__killed_keeps_what_was_written(self):
        self.kept(MongoJava)


class Silence(unittest.TestCase):
    def test_net__dropped_packets_arrive_nowhere_and_the_connection_survives(self):
        redis = shared(Redis)
        with redis.client() as client:
            with Net.dropped(redis.port):
                client.send("SET", "silent", "1")
                client.sock.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    client.sock.recv(1)
                with self.assertRaises(TimeoutError):
                    socket.create_connection(("127.0.0.1", redis.port), timeout=0.3)
            began = time.monotonic()
            client.sock.settimeout(PATIENCE_S)
            self.assertEqual(client.sock.recv(5), b"+OK\r\n")
            self.assertLess(time.monotonic() - began, PATIENCE_S)

    def test_net__answers_alone_are_lost(self):
        redis = shared(Redis)
        redis.execute("DEL", "heard")
        with redis.client() as client, Net.dropped(redis.port, direction="answers"):
            client.send("SET", "heard", "1")
            time.sleep(0.1)
        wait_until(lambda: redis.execute("GET", "heard") == b"1")

    def test_pause__a_hung_server_accepts_and_says_nothing(self):
        redis = shared(Redis)
        redis.pause()
        try:
            with socket.create_connection(("127.0.0.1", redis.port), timeout=PATIENCE_S) as s:
                s.sendall(b"PING\r\n")
                s.settimeout(0.3)
                with self.assertRaises(TimeoutError):
                    s.recv(1)
        finally:
            redis.resume()
        self.assertEqual(redis.execute("PING"), b"PONG")


class BadProxy(unittest.TestCase):
    WHOLE = b"+OK\r\n$10\r\n0123456789\r\n"

    def setUp(self):
        self.redis = shared(Redis)
        self.redis.execute("SET", "long", "0123456789")
        self.proxy = Proxy(self.redis.port)
        self.addCleanup(self.proxy.close)

    def get(self, least=0):
        """What comes back for AUTH and GET until the connection ends or, after so many bytes, nothing comes any more."""
        got = b""
        with socket.create_connection(("127.0.0.1", self.proxy.port), timeout=PATIENCE_S) as s:
            s.sendall(b"AUTH alice pw1\r\nGET long\r\n")
            try:
                s.settimeout(0.3 if least == 0 else PATIENCE_S)
                while data := s.recv(4096):
                    got += data
                    s.settimeout(0.3 if len(got) >= least else PATIENCE_S)
            except TimeoutError:
                return got, "open"
            except ConnectionResetError:
                return got, "reset"
        return got, "closed"

    def test_proxy__forwards(self):
        self.assertEqual(self.get(len(self.WHOLE)), (self.WHOLE, "open"))

    def test_proxy__closes_at_every_byte_of_an_answer(self):
        for n in range(len(self.WHOLE)):
            self.proxy.fault("close", after=n)
            self.assertEqual(self.get(1000), (self.WHOLE[:n], "closed"))
        self.proxy.fault("reset")
        self.assertEqual(self.get(1000), (b"", "reset"))
        self.proxy.fault("reset", after=3)
        self.assertEqual(self.get(1000)[1], "reset")

    def test_proxy__ends_open_connections(self):
        with socket.create_connection(("127.0.0.1", self.proxy.port), timeout=PATIENCE_S) as s:
            s.sendall(b"AUTH alice pw1\r\n")
            self.assertEqual(s.recv(5), b"+OK\r\n")
            self.proxy.end_connections()
            with self.assertRaises(ConnectionResetError):
                s.recv(1)

    def test_proxy__garbage_silence_and_delay(self):
        self.proxy.fault("garbage", data=b"?!")
        self.assertEqual(self.get(2), (b"?!", "open"))
        self.proxy.fault("garbage", after=3, data=b"?!")
        self.assertEqual(self.get(5)[0][:5], b"+OK?!")
        self.proxy.fault("silence")
        self.assertEqual(self.get(), (b"", "open"))
        self.proxy.fault("forward", delay_s=0.1)
        began = time.monotonic()
        self.assertTrue(self.get(1)[0])
        self.assertGreater(time.monotonic() - began, 0.1)
        wait_until(lambda: self.proxy.open_connections() == 0, 5, "connections stay open")
