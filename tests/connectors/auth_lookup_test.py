"""Who may connect, looked up in databases: real servers, asked through connectors."""
import hashlib
import json
import unittest

from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client
from harness.servers import FerretDB, Postgres, Redis, RedisCluster, shared

DENIED, AWAY = 0x86, 0x88
# "secret"
BCRYPT = "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a"
ACL = [{"permission": "allow", "action": "publish", "topic": "mine/${attr.site}/#"}]


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


class LookupCases:
    """setUp() makes the users: alice (bcrypt, superuser), bob (bcrypt, attribute site, rules), carol (no password)."""
    connector, question = {}, {}
    hangs = True  # when it is paused; PostgreSQL's sessions have process groups of their own

    def start(self, **more):
        link = {"type": self.connector["type"], "connector": "users", "timeout": "5s", **self.question, **more}
        self.broker = Broker({"connectors": {"users": self.connector}, "auth": {"anonymous": False, "chain": [link]}})
        self.addCleanup(self.broker.stop)
        self.broker.wait_connector("users", "up")
        return self.broker

    def code(self, username, password="secret", client_id="me", **options):
        with Client(self.broker.port, m.V5) as c:
            c.send(m.connect(client_id, version=m.V5, username=username, password=password, **options))
            return c.expect(m.CONNACK).code

    def test_lookup__passwords_roles_and_rules(self):
        self.start()
        for _ in range(2):  # asked, and remembered
            for user, password, code in (("alice", "secret", 0), ("alice", "wrong", DENIED), ("carol", "", DENIED),
                                         ("nobody", "secret", DENIED), ("", "secret", DENIED), ("alice", None, DENIED),
                                         ("x' OR '1'='1", "secret", DENIED), ("* alice", "secret", DENIED)):
                self.assertEqual(self.code(user, password), code, (user, password))
        with Client(self.broker.port, m.V5) as c:
            c.connect("me", username="bob", password="secret")
            for topic, code in (("mine/north/t", 0x10), ("mine/south/t", 0x87), ("other", 0x87)):
                c.send(m.publish(topic, b"x", 1, 7, version=m.V5))
                self.assertEqual(c.expect(m.PUBACK).code, code, topic)
        page = self.broker.get("/metrics")[1]
        self.assertRegex(page, r'sluice_auth_cache_hits_total\{link="0",type="\w+"\} [1-9]')

    def test_lookup__server_away_and_back(self):
        self.start(timeout="1s", cache={"ttl": "0s", "negative_ttl": "0s"})
        self.assertEqual(self.code("alice"), 0)
        if self.hangs:
            self.server.pause()
            try:
                self.assertEqual(self.code("alice"), AWAY)
            finally:
                self.server.resume()
            wait_until(lambda: self.code("alice") == 0)
        self.server.kill9()
        try:
            self.assertEqual(self.code("alice"), AWAY)
        finally:
            self.server.restart()
        wait_until(lambda: self.code("alice") == 0)


class InPostgres(LookupCases, unittest.TestCase):
    hangs = False
    question = {"query": "SELECT password_hash, is_superuser, site, acl FROM logins WHERE username = ${username}"}

    def setUp(self):
        self.server = shared(Postgres)
        self.connector = {"type": "postgres", "url": self.server.url()}
        self.server.execute(
            "DROP TABLE IF EXISTS logins; CREATE TABLE logins (username text, password_hash text, is_superuser boolean, "
            "site text, acl jsonb, salt text);"
            f"INSERT INTO logins VALUES ('alice', '{BCRYPT}', true), ('carol', NULL, false);"
            f"INSERT INTO logins VALUES ('bob', '{BCRYPT}', false, 'north', '{json.dumps(ACL)}', NULL), "
            f"('salty', '{sha('saltsecret')}', false, NULL, NULL, 'salt')")

    def test_postgres__other_hashes_and_questions(self):
        self.question = {"query": "SELECT password_hash, salt FROM logins WHERE username = lower(${username})", "hash": "sha256"}
        self.start()
        self.assertEqual(self.code("SALTY"), 0)
        self.assertEqual(self.code("salty", "secrets"), DENIED)
        self.assertEqual(self.code("alice"), DENIED)  # digits are wanted

    def test_postgres__questions_that_cannot_be_answered(self):
        for query, why in (("SELECT password_hash FROM nowhere WHERE username = ${username}", "nowhere"),
                           ("SELECT password_hash FROM logins WHERE ${username} <> ''", "more than one row"),
                           ("DELETE FROM logins WHERE username = ${clientid} || 'x'", "gives no rows")):
            self.question = {"query": query}
            self.start()
            self.assertEqual(self.code("alice"), AWAY)
            self.broker.wait_log(f"could not be looked up.*{why}")

    def test_postgres__many_at_once(self):
        self.start()
        clients = [Client(self.broker.port, m.V5) for _ in range(60)]
        for n, c in enumerate(clients):
            self.addCleanup(c.close)
            c.send(m.connect(f"c{n}", m.V5, username="alice" if n % 2 else f"nobody{n}", password="secret"))
        self.assertEqual([c.expect(m.CONNACK).code for c in clients], [0 if n % 2 else DENIED for n in range(60)])

    def test_postgres__a_session_that_locks_is_given_up(self):
        self.question = {"query": "SELECT password_hash, pg_sleep(CASE WHEN username = 'bob' THEN 3600 ELSE 0 END)::text AS z "
                                  "FROM logins WHERE username = ${username}"}
        self.start(timeout="500ms")
        for _ in range(5):  # more than there are sessions for it
            self.assertEqual(self.code("bob"), AWAY)
        self.assertEqual(self.code("alice"), 0)


class InRedis(LookupCases, unittest.TestCase):
    question = {"command": ["HMGET", "user:${username}", "password_hash", "is_superuser", "site", "acl"]}

    def setUp(self):
        self.server = shared(Redis)
        self.connector = {"type": "redis", "url": self.server.url()}
        self.fill(self.server.execute)

    @staticmethod
    def fill(execute):
        for user in ("alice", "bob", "carol"):
            execute("DEL", f"user:{user}")
        execute("HSET", "user:alice", "password_hash", BCRYPT, "is_superuser", "1")
        execute("HSET", "user:bob", "password_hash", BCRYPT, "site", "north", "acl", json.dumps(ACL))
        execute("HSET", "user:carol", "is_superuser", "0")
        execute("SET", "pw:alice", BCRYPT)

    def test_redis__other_commands(self):
        for command in (["HGETALL", "user:${username}"], ["HGET", "user:${username}", "password_hash"], ["GET", "pw:${username}"]):
            self.question = {"command": command}
            self.start()
            self.assertEqual(self.code("alice"), 0, command)
            self.assertEqual(self.code("nobody"), DENIED, command)


class InRedisCluster(unittest.TestCase):
    start, code = LookupCases.start, LookupCases.code
    question = InRedis.question

    def test_redis__cluster(self):
        cluster = shared(RedisCluster)
        for user in ("alice", "bob", "dora"):
            cluster.nodes[cluster.node_of(f"user:{user}")].execute("HSET", f"user:{user}", "password_hash", BCRYPT)
        self.connector = {"type": "redis", "mode": "cluster", "servers": [f"127.0.0.1:{cluster.ports[0]}"]}
        self.start()
        self.assertEqual([self.code(user) for user in ("alice", "bob", "dora", "nobody")], [0, 0, 0, DENIED])


class InMongoDB(LookupCases, unittest.TestCase):
    question = {"collection": "logins", "filter": {"username": "${username}", "enabled": True}}

    def setUp(self):
        self.server = shared(FerretDB)
        self.connector = {"type": "mongodb", "url": self.server.url(authSource="admin"), "database": "lookups"}
        with self.server.client() as c:
            c.drop("lookups", "logins")
            c.insert("lookups", "logins",
                {"_id": 1, "username": "alice", "enabled": True, "password_hash": BCRYPT, "is_superuser": True},
                {"_id": 2, "username": "bob", "enabled": True, "password_hash": BCRYPT, "site": "north", "acl": ACL},
                {"_id": 3, "username": "carol", "enabled": True})
