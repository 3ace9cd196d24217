"""`sluice connector test NAME` against real servers and every usual fault: one line that says where, what, and what to do."""
import contextlib
import json
import os
import re
import socket
import ssl
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from connectors.look_case import LookCase
from harness.broker import run_program, temp_folder
from harness.fake import Fake
from harness.servers.base import run
from harness.servers.mongo_script import MongoScript
from harness.servers.mongo_wire import Int64
from harness.servers import FerretDB, Kafka, PgBouncer, Postgres, Redis, RedisCluster, RedisSentinel, TestCa, shared

SECRET = "wr0ng-pa55"
NO_CA = "^((?!tls.ca`).)*$"  # not a word about the server's authority


class TlsFake(Fake):
    """Speaks TLS with a certificate that is no good; PostgreSQL's clients ask for TLS first."""

    def __init__(self, cert, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        super().__init__(self.greet)

    def greet(self, conn):
        if conn.sock.recv(8, socket.MSG_PEEK).startswith(b"\0\0\0\x08"):
            conn.sock.recv(8)
            conn.sock.sendall(b"S")
        with contextlib.suppress(ssl.SSLError):
            self.context.wrap_socket(conn.sock, server_side=True)


class WantsCertificate(TlsFake):
    """Takes clients with a certificate of the CA of the tests only, and says why it turns others away."""

    def __init__(self, ca):
        super().__init__(ca.path("server.pem"), ca.path("server.key"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(ca.path("ca.pem"))

    def greet(self, conn):
        with conn.sock.dup() as kept:  # what the client has sent meanwhile is read: else its socket forgets what we said
            super().greet(conn)
            with contextlib.suppress(OSError):
                kept.shutdown(socket.SHUT_WR)
                while kept.recv(4096):
                    pass


def expired(ca):
    """A certificate of a day long ago, signed by the CA of the tests."""
    name = f"expired-{os.getpid()}-{threading.get_ident()}"
    ca.leaf(name, "server")
    folder = temp_folder()
    config = folder / "ca.conf"
    config.write_text(f"[ca]\ndefault_ca=a\n[a]\ndatabase={folder}/index\nserial={folder}/serial\npolicy=p\n[p]\ncommonName=supplied\n")
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    run("openssl", "ca", "-batch", "-config", config, "-in", ca.path(f"{name}.csr"), "-out", ca.path(f"{name}.pem"), "-notext", "-startdate",
        "20200101000000Z", "-enddate", "20200102000000Z", "-cert", ca.path("ca.pem"), "-keyfile", ca.path("ca.key"), "-extfile",
        ca.path(f"{name}.ext"), "-outdir", folder, "-md", "sha256")
    return ca.path(f"{name}.pem"), ca.path(f"{name}.key")


class Try(LookCase):
    def setUp(self):
        self.ca = TestCa.shared()
        self.tls = {"ca": self.ca.path("ca.pem")}

    def tried(self, settings, seconds=15):
        folder = temp_folder()
        (folder / "a.yaml").write_text(json.dumps({"connectors": {"x": settings}}))
        done = run_program("connector", "test", "x", "-c", "a.yaml", "--timeout", str(seconds), cwd=folder)
        return done.returncode, done.stdout + done.stderr

    def faults(self, cases):
        """{fault: (settings, words that the line must have, ...)}; several at a time, for each waits."""
        with ThreadPoolExecutor(4) as pool:
            said = dict(zip(cases, pool.map(lambda c: self.tried(c[0], c[1] if isinstance(c[1], int) else 15), cases.values())))
        for fault, (settings, *words) in cases.items():
            code, line = said[fault]
            with self.subTest(fault):
                self.assertEqual(code, 3, line)
                self.assertEqual(line.count("\n"), 1, line)
                self.assertTrue(line.startswith(f"x: does not work: {settings['type']}: "), line)
                self.assertNotIn(SECRET, line)
                for word in words:
                    if isinstance(word, str):
                        self.assertRegex(line, word)

    def everyone(self, at, plain, tls):
        """What all kinds have in common. at(host, port, tls options or None) gives settings; ports of the real server."""
        other = {"ca": self.ca.path("other.pem")}
        silent = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(silent.close)
        self.silent = silent.getsockname()[1]
        old, elsewhere = TlsFake(*expired(self.ca)), TlsFake(self.ca.path("elsewhere.pem"), self.ca.path("elsewhere.key"))
        self.addCleanup(old.close)
        self.addCleanup(elsewhere.close)
        wants = WantsCertificate(self.ca)
        self.addCleanup(wants.close)

        def with_own(cert, key):
            return at("127.0.0.1", wants.port, {**self.tls, "cert": cert, "key": key})
        return {
            "refused": (at("127.0.0.1", 9, None), "127.0.0.1.{1,12}9.* [Rr]efused", "runn?(ing|s)"),
            "no such name": (at("no-such-host.invalid", 9, None), "no-such-host.invalid", "name|names"),
            "silent": (at("127.0.0.1", self.silent, None), 25, str(self.silent)),
            "silent, and no time": (at("127.0.0.1", self.silent, None), 1, "no answer within 1 s"),
            "TLS at a plain port": (at("127.0.0.1", plain, self.tls), str(plain), "TLS on this port|this port speak TLS|does not support SSL"),
            "plain at a TLS port": (at("127.0.0.1", tls, None), str(tls), "want TLS|add `tls"),
            "wrong CA": (at("127.0.0.1", tls, other), str(tls), "certificate", "`tls.ca`|`ca:`"),
            "system's CAs": (at("127.0.0.1", tls, {}), str(tls), "certificate", "`tls.ca`|`ca:`"),
            "expired": (at("127.0.0.1", old.port, self.tls), str(old.port), "expired|out of date"),
            "no certificate of ours": (at("127.0.0.1", wants.port, self.tls), "wants a certificate of ours.*`tls.cert`.*`tls.key`", NO_CA),
            "our certificate has expired": (with_own(*expired(self.ca)), "our certificate \\(`tls.cert`\\) has expired.*`tls.key`", NO_CA),
            "our certificate is a stranger's": (with_own(self.ca.path("other.pem"), self.ca.path("other.key")),
                                                "does not know the authority that signed our certificate \\(`tls.cert`\\)", NO_CA),
            "other name": (at("127.0.0.1", elsewhere.port, self.tls), str(elsewhere.port), "server_name|host name"),
        }

    def test_postgres__a_source_with_mistakes_is_named_and_not_asked_for(self):
        pg = shared(Postgres)
        at = {"type": "postgres", "url": f"postgresql://test@127.0.0.1:{pg.port}/test"}
        code, notes, faults = self.looked_at(at, [], {"s": {"connector": "x", "query": "SELECT 1 AS id WHERE 1 > ${cursor} ORDER BY id"}})
        self.assertEqual((code, notes, len(faults)), (1, [], 1), faults)
        self.assertRegex(faults[0], r"^x: a.yaml:1:[0-9]+: sources\.s: .*LIMIT \$\{limit\}")

    def test_postgres__actions_that_do_not_fit_are_named_and_nothing_is_written(self):
        pg = shared(Postgres)
        pg.execute("CREATE TABLE IF NOT EXISTS looked_at (device text, t float8)")
        actions = [{"table": "looked_at", "columns": {"device": "${a}", "t": "${a}"}},
                   {"table": "looked_at", "columns": {"device": "${a}", "temp": "${a}"}},
                   {"table": "nowhere", "columns": {"device": "${a}"}},
                   {"sql": "INSERT INTO looked_at VALUES (${a}, ${a})"},
                   {"sql": "INSERT INTO looked_at VALUES (${a}, ${a}, ${a})"},
                   {"table": "looked_at", "columns": {"device": "${a}"}, "on_conflict": {"update": ["device"]}}]
        config = {"connectors": {"x": {"type": "postgres", "url": pg.url()}, "y": {"type": "null"}},
                  "rules": {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [{"connector": "x", **a} for a in actions] + [{"connector": "y"}]}}}
        folder = temp_folder()
        (folder / "a.yaml").write_text(json.dumps(config))
        done = run_program("connector", "test", "x", "-c", "a.yaml", "--timeout", "60", cwd=folder)
        self.assertEqual(done.returncode, 3, done)
        verdict, *lines = done.stderr.splitlines()
        self.assertTrue(verdict.startswith("x: not all will work: postgres, connected"), verdict)
        self.assertNotIn("fine", done.stdout)
        self.assertEqual([line.split(":")[1] for line in lines], [f" action r.{n}" for n in (1, 2, 4, 5)], done.stderr)
        self.assertIn('table "looked_at" has no column "temp"', lines[0])
        self.assertIn('there is no table "nowhere"', lines[1])
        self.assertRegex(lines[2], "more expressions than target columns.*correct")
        self.assertIn("no primary key", lines[3])
        self.assertEqual(pg.query("SELECT count(*) FROM looked_at"), [["0"]])
        config["rules"]["r"]["actions"] = config["rules"]["r"]["actions"][:1]
        (folder / "a.yaml").write_text(json.dumps(config))
        done = run_program("connector", "test", "x", "-c", "a.yaml", "--timeout", "60", cwd=folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_redis__commands_that_are_unknown_or_not_ours_are_named(self):
        redis = shared(Redis)
        redis.execute("FLUSHALL")
        actions = [{"command": ["HSET", "k", "f", "${a}"]}, {"commands": [["HNOSUCH", "k"], ["JSON.SET", "k", "$", "${a}"]]},
                   {"stream": {"key": "s", "maxlen": 10}}]
        code, notes, faults = self.looked_at({"type": "redis", "url": redis.url()}, actions)
        self.assertEqual((code, notes, len(faults)), (3, [], 1), faults)
        self.assertRegex(faults[0], "^x: action r.1: the server has no command HNOSUCH; .*; the server has no command JSON.SET;")
        redis.execute("ACL", "SETUSER", "looker", "on", ">pw", "~*", "+ping", "+xadd", "+command", "+acl|dryrun", "+role")
        self.addCleanup(redis.execute, "ACL", "DELUSER", "looker")
        looker = {"type": "redis", "url": f"redis://looker:pw@127.0.0.1:{redis.port}"}
        code, notes, faults = self.looked_at(looker, [actions[0], actions[2]])
        self.assertEqual((code, notes, len(faults)), (3, [], 1), faults)
        self.assertIn("x: action r.0: the user looker may not run HSET; `ACL SETUSER looker +HSET`", faults[0])
        redis.execute("ACL", "SETUSER", "looker", "-command", "-acl|dryrun")
        code, notes, faults = self.looked_at(looker, [actions[0], actions[2]])
        self.assertEqual((code, faults), (0, []))
        self.assertEqual(notes, [f"x: action r.{n}: whether the user looker may do this could not be looked at; "
                                 "`ACL SETUSER looker +command|info +acl|dryrun` gives it the right to ask" for n in (0, 1)])
        for right in re.search("SETUSER looker (.*)`", notes[0])[1].split():
            redis.execute("ACL", "SETUSER", "looker", right)
        self.assertEqual(self.looked_at(looker, [actions[2]]), (0, [], []))
        code, notes, faults = self.looked_at(looker, [actions[0]])
        self.assertEqual((code, notes, len(faults)), (3, [], 1))
        redis.execute("ACL", "SETUSER", "looker", "-command|info")  # the server says that it has no such command all the same
        code, notes, faults = self.looked_at(looker, actions[1:])
        self.assertEqual((code, notes, len(faults)), (3, [], 1))
        self.assertRegex(faults[0], "^x: action r.0: the server has no command HNOSUCH; .*; the server has no command JSON.SET;")
        self.assertEqual(redis.execute("DBSIZE"), 0)

    def test_redis__too_few_arguments_and_too_many_are_told(self):
        """Of a value that may become many arguments only the rows know how many."""
        redis = shared(Redis)
        at = {"type": "redis", "url": redis.url()}
        wrong = {("SET", "k"): "SET takes 2 arguments or more, and has 1 here", ("HSET", "h", "${a}", "1", "extra"): None,
                 ("INCR", "n", "${a}"): "INCR takes 1 argument, and has 2 here", ("DEL",): "DEL takes 1 argument or more, and has 0 here",
                 ("EXPIRE", "k"): "EXPIRE takes 2 arguments or more, and has 1 here"}
        for command, said in wrong.items():
            with self.subTest(command=command):
                code, notes, faults = self.looked_at(at, [{"command": list(command)}])
                self.assertEqual((code, notes, len(faults)), (3, [], 1) if said else (0, [], 0), faults)
                if said:
                    self.assertEqual(faults[0], f"x: action r.0: {said}; correct the action")
        fine = (["HSET", "h", "${a}"], ["RPUSH", "l", "${a}"], ["SET", "k", "${a}"], ["OBJECT", "ENCODING", "k"])
        self.assertEqual(self.looked_at(at, [{"command": c} for c in fine]), (0, [], []))
        self.assertEqual(self.looked_at(at, [{"stream": {"key": "s", "fields": {"a": "${a}"}}}]), (0, [], []))
        self.assertEqual(self.looked_at(at, [{"commands": [["INCR", "n"], ["HSET", "h"]]}])[0], 3)

    def test_redis__a_node_of_a_cluster_is_no_single_server(self):
        """Said once. Who may not ask is told nothing."""
        cluster = shared(RedisCluster)
        cluster.restart()
        at = {"servers": [f"127.0.0.1:{cluster.ports[0]}"], "type": "redis"}
        actions = [{"command": ["SET", "k", "${a}"]}] * 2
        for settings in (at, {**at, "mode": "single"}):
            code, notes, faults = self.looked_at(settings, actions)
            self.assertEqual((code, notes, len(faults)), (3, [], 1), faults)
            self.assertIn("x: action r.0: this is a node of a cluster: set `mode: cluster`", faults[0])
        self.assertEqual(self.looked_at({**at, "mode": "cluster"}, actions), (0, [], []))
        node = cluster.nodes[0]
        node.execute("ACL", "SETUSER", "looker", "on", ">pw", "~*", "+ping", "+set", "+command|info", "+acl|dryrun")
        self.addCleanup(node.execute, "ACL", "DELUSER", "looker")
        self.assertEqual(self.looked_at({**at, "username": "looker", "password": "pw"}, actions), (0, [], []))

    def test_mongodb__collections_that_are_missing_or_other_ones_are_named(self):
        db = shared(FerretDB)
        with db.client() as c:
            for name in ("looked", "never", "series"):
                c.drop("iot", name)
            c.command("iot", {"create": "looked"})
        actions = [{"collection": "looked"}, {"collection": "never"}, {"collection": "${k}"}, {"collection": "series", "timeseries": {"time": "t"}},
                   {"collection": "looked", "timeseries": {"time": "t"}}]
        actions = [{**a, "document": {"t": "${mongo_date()}" if "timeseries" in a else "${a}"}} for a in actions]
        code, notes, faults = self.looked_at({"type": "mongodb", "url": db.url(), "database": "iot"}, actions)
        self.assertEqual((code, len(faults)), (3, 1), faults)
        self.assertIn("x: action r.4: looked is there and no time-series collection", faults[0])
        self.assertEqual(notes, ["x: action r.1: there is no collection never; the first row makes it",
                                 "x: action r.3: there is no collection series; the first row makes it, as a time series"])
        with db.client() as c:
            self.assertNotIn("never", str(c.command("iot", {"listCollections": 1})))

    def test_mongodb__collections_are_listed_to_the_end(self):
        """A server that does not know the filter, and gives its collections three at a time."""
        names = [f"c{i}" for i in range(10)]

        def play(command, conn):
            if "listCollections" in command:
                at, place = 0, "firstBatch"
            elif "getMore" in command and command["collection"] == "$cmd.listCollections":
                at, place = command["getMore"], "nextBatch"
            else:
                return {"ok": 1}
            if at and broken:
                return broken[0]
            more = at + 3 if at + 3 < len(names) else 0
            listed = [{"name": name, "type": "view" if name == "c9" else "collection"} for name in names[at:at + 3]]
            return {"ok": 1, "cursor": {"id": Int64(more), "ns": "iot.$cmd.listCollections", place: listed}}

        actions = [{"collection": name, "document": {"t": "${a}"}} for name in ("c0", "c4", "c9", "other")]
        broken = []
        with MongoScript(play) as server:
            def look():
                return self.looked_at({"type": "mongodb", "url": server.url(), "database": "iot"}, actions)
            code, notes, faults = look()
            self.assertEqual((code, len(faults)), (3, 1), (notes, faults))
            self.assertIn("x: action r.2: c9 is a view, which takes no writes", faults[0])
            self.assertEqual(notes, ["x: action r.3: there is no collection other; the first row makes it"])
            self.assertTrue([c for c in server.commands if "killCursors" in c])  # c4 was found before the end
            senseless = [{"ok": 1, "cursor": {"id": Int64(0), "ns": ns, "nextBatch": batch}} for ns, batch in ((5, []), ("iot.c", 5), ("x", {"0": 5}))]
            for broken[:] in ([{"ok": 0, "code": 43, "errmsg": "cursor not found"}], [None], *([s] for s in senseless)):
                self.assertEqual(look(), (0, [], []), broken)  # a list that breaks off says nothing of what it did not come to

    def test_kafka__topics_that_are_missing_are_named_and_not_made(self):
        kafka = shared(Kafka)
        kafka.fresh_topic("looked.at")
        kafka.delete_topic("looked.never")
        kafka.delete_topic("read.never")
        connector = {"type": "kafka", "brokers": f"127.0.0.1:{kafka.port}"}
        code, notes, faults = self.looked_at(
            connector, [{"topic": "looked.at"}, {"topic": "looked.never"}, {"topic": "looked.${k}"}],
            {"fine": {"connector": "x", "topics": ["looked.at"]}, "some": {"connector": "x", "pattern": "^never.*"},
             "lost": {"connector": "x", "topics": ["looked.at", "read.never"]}, "other": {"connector": "y"}})
        self.assertEqual((code, notes, len(faults)), (3, [], 2), faults)
        self.assertRegex(faults[0], "^x: action r.1: topic looked.never: .*create it")
        self.assertRegex(faults[1], "^x: source lost: topic read.never: .*create it")
        self.assertNotIn("looked.at", faults[1])
        self.assertEqual(self.looked_at(connector, [{"topic": "looked.at"}]), (0, [], []))
        for topic in ("looked.never", "read.never"):
            kafka.create_topic(topic)  # which fails where it is there
            kafka.delete_topic(topic)

    def test_postgres(self):
        pg = shared(Postgres)

        def at(host, port, tls, login="test", database="test", **more):
            return {"type": "postgres", "url": f"postgres://{login}@{host}:{port}/{database}", **({"tls": tls} if tls is not None else {}),
                    "connect_timeout": "5s", **more}

        self.faults({
            **self.everyone(at, shared(PgBouncer).port, pg.port),
            "plain at a TLS port": (at("127.0.0.1", pg.port, None, "tlsonly", "test?sslmode=disable"), str(pg.port), "not without TLS"),
            "wrong password": (at("127.0.0.1", pg.port, None, f"scramuser:{SECRET}"), "scramuser", "password"),
            "no password": (at("127.0.0.1", pg.port, None, "scramuser"), "password"),
            "no such user": (at("127.0.0.1", pg.port, None, "nobody"), "nobody", "check `user`"),
            "no such database": (at("127.0.0.1", pg.port, None, database="nodb"), "nodb", "check `database` or the path of `url`"),
            "refused": (at("127.0.0.1", 9, None), "Connection refused; is the server running"),
            "system's CAs": (at("127.0.0.1", pg.port, {}), "certificate verify failed", "if you trust it, give its certificate as `ca:` under `tls:`"),
            "not writable": (at("127.0.0.1", pg.port, None, target_session_attrs="standby"), "`target_session_attrs`"),
        })

    def test_redis(self):
        redis, sentinel = shared(Redis), shared(RedisSentinel)

        def at(host, port, tls, login="alice:pw1", **more):
            return {"type": "redis", "url": f"redis://{login + '@' if login else ''}{host}:{port}", **({"tls": tls} if tls is not None else {}), **more}

        sentinels = [f"127.0.0.1:{p}" for p in sentinel.sentinel_ports]
        self.faults({
            **self.everyone(at, redis.port, redis.tls_port),
            "wrong password": (at("127.0.0.1", redis.port, None, f"alice:{SECRET}"), "WRONGPASS", "check `username` and `password`"),
            "no password": (at("127.0.0.1", redis.port, None, None), "NOAUTH", "password"),
            "no such user": (at("127.0.0.1", redis.port, None, "nobody:pw"), "WRONGPASS", "username"),
            "no such database": (at("127.0.0.1", redis.port, None, database=99), "SELECT", "database"),
            "no cluster": ({"type": "redis", "mode": "cluster", "servers": [f"127.0.0.1:{redis.port}"], "username": "alice", "password": "pw1"}, "without `mode: cluster`"),
            "no such master": ({"type": "redis", "mode": "sentinel", "master": "nomaster", "servers": sentinels}, "nomaster"),
            "no sentinels": ({"type": "redis", "mode": "sentinel", "master": "mymaster", "servers": [f"127.0.0.1:{redis.port}"]}, "sentinel_password"),
        })

    def test_mongodb(self):
        db = shared(FerretDB)

        def at(host, port, tls, login="u:pw@", options="authSource=admin&directConnection=true"):
            return {"type": "mongodb", "url": f"mongodb://{login}{host}:{port}/iot?{options}", **({"tls": tls} if tls is not None else {}),
                    "server_selection_timeout": "5s", "connect_timeout": "3s"}

        self.faults({
            **self.everyone(at, db.port, db.tls_port),
            "wrong password": (at("127.0.0.1", db.port, None, f"u:{SECRET}@"), "login was refused", "check user, password and authSource"),
            "no such user": (at("127.0.0.1", db.port, None, "nobody:pw@"), "login was refused"),
            "plain at a TLS port": (at("127.0.0.1", db.tls_port, None), "does the server want `tls: {}`"),
            "no such replica set": (at("127.0.0.1", db.port, None, options="authSource=admin&replicaSet=rs9"), "none is the primary of the replica set"),
        })

    def test_kafka(self):
        kafka = shared(Kafka)

        def at(host, port, tls, **sasl):
            return {"type": "kafka", "brokers": f"{host}:{port}", **({"tls": tls} if tls is not None else {}), **({"sasl": sasl} if sasl else {}),
                    "connect_timeout": "5s"}

        self.faults({
            **self.everyone(at, kafka.port, kafka.tls_port),
            "wrong password": (at("127.0.0.1", kafka.sasl_port, None, mechanism="plain", username="alice", password=SECRET), str(kafka.sasl_port), "password"),
            "wrong SCRAM password": (at("127.0.0.1", kafka.sasl_port, None, mechanism="scram-sha-256", username="bob", password=SECRET), "password"),
            "no such mechanism": (at("127.0.0.1", kafka.sasl_port, None, mechanism="gssapi"), "set sasl.mechanism to one of these"),
            "refused": (at("127.0.0.1", 9, None), "127.0.0.1:9.*refused.*; is the broker running, and listening there", "check `brokers`"),
            "TLS at a plain port": (at("127.0.0.1", kafka.port, self.tls), "does this port speak TLS\\? if not, take `tls` out"),
            "no login where one must be": (at("127.0.0.1", kafka.sasl_port, None), "if they want a login, add `sasl`"),
            "login at a plain port": (at("127.0.0.1", kafka.port, None, mechanism="plain", username="alice", password="pw1"),
                                      "if this port takes no login, take `sasl` out"),
        })


if __name__ == "__main__":
    unittest.main()
