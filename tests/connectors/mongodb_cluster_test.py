"""The mongodb connector where a script has to play the servers, for none of those at hand can: logins by certificate, compression, the
routers of a sharded cluster, and clusters that a name server tells of (mongodb+srv)."""
import json
import ssl
import unittest

import mongodb_test
from harness.broker import run_program, temp_folder, wait_until
from harness.name_server import NameServer
from harness.servers import TestCa
from harness.servers.mongo_script import MongoScript


class ClusterTest(mongodb_test.MongoTest):
    hurried = {"server_selection_timeout": "1s", "pool": 1}

    def setUp(self):
        self.stored = []

    def store(self, command, _conn=None):
        self.stored += [d["id"] for d in command["documents"]]
        return {"ok": 1, "n": len(command["documents"])}


class CertificateTest(ClusterTest):
    def setUp(self):
        super().setUp()
        self.ca, self.logins = TestCa.shared(), []

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca.path("server.pem"), self.ca.path("server.key"))
        context.load_verify_locations(self.ca.path("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def play(self, command, conn):
        """As MongoDB: the subject of the certificate is the user, and only who has logged in may write."""
        subject = ",".join(f"CN={value}" for part in conn.sock.getpeercert()["subject"] for _, value in part)
        if "authenticate" in command:
            self.logins.append((command["mechanism"], command.get("user"), command["$db"]))
            if command.get("user") not in (None, subject) or "nobody" in subject:
                return {"ok": 0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": "Authentication failed."}
            conn.user = subject
            return {"ok": 1, "dbname": "$external", "user": subject}
        if not hasattr(conn, "user"):
            return {"ok": 0, "code": 13, "codeName": "Unauthorized", "errmsg": "command insert requires authentication"}
        return self.store(command)

    def tls(self, name):
        return {"ca": self.ca.path("ca.pem"), "cert": self.ca.path(f"{name}.pem"), "key": self.ca.path(f"{name}.key")}


class Certificates(CertificateTest):
    def test_login__by_certificate(self):
        with MongoScript(self.play, tls=self.context()) as self.server:
            url = self.server.url(tls="true", authMechanism="MONGODB-X509")
            self.deliver([{"id": i} for i in range(20)], url=url, tls=self.tls("client"), pool=1)
            self.assertEqual(self.server.fake.errors, [])
        self.assertEqual(self.stored, list(range(20)))
        self.assertEqual(set(self.logins), {("MONGODB-X509", "CN=tlsuser", "$external")})

    def test_login__by_a_certificate_that_is_nobody(self):
        self.ca.leaf("nobody", "nobody")
        with MongoScript(self.play, tls=self.context()) as self.server:
            url = self.server.url(tls="true", authMechanism="MONGODB-X509")
            with self.broker(url=url, tls=self.tls("nobody"), **self.hurried) as b:
                self.assertIn("the login was refused", self.wait_state(b, "down"))
        self.assertEqual(self.stored, [])


class Rights(CertificateTest):
    """What `sluice connector test` says of them, before there is a row."""
    ACTIONS = ({"collection": "a"}, {"collection": "b"}, {"collection": "a", "operation": "upsert", "id": "${a}"},
               {"collection": "a", "operation": "delete", "id": "${a}"}, {"collection": "a", "operation": "replace", "id": "${a}", "create": False},
               {"collection": "${a}"})

    def look(self, answers, login=False):
        """Exit code, and what is said of each action that something is said of; to errors by themselves, notes in brackets."""
        def play(command, _conn):
            name = next(iter(command))
            return answers[name] if name in answers else {"ok": 0, "code": 59, "errmsg": "no such command"}
        url = {"tls": "true", "authMechanism": "MONGODB-X509"} if login else {}
        with MongoScript(play, tls=self.context() if login else None) as server:
            config = {"connectors": {"x": {"type": "mongodb", "url": server.url(**url), "database": "iot", **({"tls": self.tls("client")} if login else {})}},
                      "rules": {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [{"connector": "x", **a} for a in self.ACTIONS]}}}
            folder = temp_folder()
            (folder / "a.yaml").write_text(json.dumps(config))
            done = run_program("connector", "test", "x", "-c", "a.yaml", "--timeout", "60", cwd=folder)
        said = {}
        for text, form in ((done.stdout, "({})"), (done.stderr, "{}")):
            for line in text.splitlines():
                head, _, rest = line.partition("x: action r.")
                if not head:
                    said[int(rest[0])] = form.format(rest[3:])
        return done.returncode, said

    def status(self, *privileges):
        user = {"user": "u", "db": "admin"}
        return {"ok": 1, "authInfo": {"authenticatedUsers": [user], "authenticatedUserRoles": [],
                                      "authenticatedUserPrivileges": [{"resource": r, "actions": a} for r, a in privileges]}}

    def test_rights__are_looked_at_where_the_server_tells_them(self):
        listed = {"ok": 1, "cursor": {"id": 0, "ns": "iot.$cmd.listCollections", "firstBatch": [{"name": n, "type": "collection"} for n in "ab"]}}
        def may_not(action, collection):
            return f"the user may not {action} in iot.{collection}; grant it `readWrite` on the database, or this action"
        reader = ({"db": "iot", "collection": ""}, ["find", "listCollections"])
        for privileges, wanted in (
                ([], {}),  # who knows of no rights
                ([reader], {0: may_not("insert", "a"), 1: may_not("insert", "b"), 2: may_not("insert", "a"), 3: may_not("remove", "a"), 4: may_not("update", "a")}),
                ([reader, ({"db": "iot", "collection": "a"}, ["find", "insert"])],
                 {1: may_not("insert", "b"), 2: may_not("update", "a"), 3: may_not("remove", "a"), 4: may_not("update", "a")}),
                ([({"db": "other", "collection": ""}, ["insert"]), ({"cluster": True}, ["insert"]), ({"db": "", "collection": "a"}, ["insert", "update", "remove"])],
                 {1: may_not("insert", "b")}),
                ([({"db": "iot", "collection": ""}, ["insert", "update", "remove"])], {}),
                ([({"anyResource": True}, ["anyAction"])], {})):
            with self.subTest(privileges=privileges):
                found = self.look({"connectionStatus": self.status(*privileges), "listCollections": listed})
                self.assertEqual(found, (3 if wanted else 0, wanted))
        for senseless in ({"ok": 1}, {"ok": 1, "authInfo": 5}, {"ok": 1, "authInfo": {"authenticatedUsers": [1], "authenticatedUserPrivileges": 5}}):
            self.assertEqual(self.look({"connectionStatus": senseless, "listCollections": listed}), (0, {}), senseless)

    def test_rights__nobody_may_look_without_a_login(self):
        refused = {"listCollections": {"ok": 0, "code": 13, "errmsg": "command listCollections requires authentication"}}
        code, said = self.look(refused)
        self.assertEqual((code, set(said)), (3, {0, 1, 2, 3, 4}))
        self.assertIn("without a login; put a user and its password into `url`", said[0])

    def test_rights__to_write_are_enough(self):
        """Who logs in by certificate has no user in `url`."""
        answers = {"listCollections": {"ok": 0, "code": 13, "errmsg": "not authorized on iot"}, "authenticate": {"ok": 1},
                   "connectionStatus": self.status(({"db": "iot", "collection": ""}, ["insert", "update", "remove"]))}
        note = "(whether its collection is there could not be looked at (not authorized on iot))"
        self.assertEqual(self.look(answers, login=True), (0, dict.fromkeys(range(5), note)))


class Routers(ClusterTest):
    def test_sharded__another_router_takes_over(self):
        """Rows go to any router; one that is gone costs nothing, and writes are numbered, so none is stored twice."""
        seen, numbers = set(), set()

        def play_as(name):
            def play(command, conn):
                seen.add(name)
                again = (command["lsid"]["id"].data, command["txnNumber"]) in numbers
                numbers.add((command["lsid"]["id"].data, command["txnNumber"]))
                return {"ok": 1, "n": len(command["documents"])} if again else self.store(command)
            return play

        with MongoScript(play_as("second"), mongos=True) as second:
            with MongoScript(play_as("first"), mongos=True) as first:
                url = f"mongodb://127.0.0.1:{first.port},127.0.0.1:{second.port}/"
                with self.broker(url=url, action={"batch": {"rows": 1}}, **self.hurried) as b:
                    self.publish(b, [{"id": i} for i in range(100)])
                    b.wait_settled("r")
                    first.fake.close()
                    self.publish(b, [{"id": i} for i in range(100, 200)])
                    n = b.wait_settled("r")
                self.assertEqual(second.fake.errors + first.fake.errors, [])
        self.assertEqual(n["delivered"], 200)
        self.assertEqual(sorted(self.stored), list(range(200)))
        self.assertIn("second", seen)


class Compression(ClusterTest):
    def test_compression__as_the_server_knows_it(self):
        with MongoScript(self.store, zlib=True) as self.server:
            self.deliver([{"id": i} for i in range(20)], compressors=["zstd", "zlib"], pool=1)
            self.assertEqual(self.server.fake.errors, [])
            self.assertGreaterEqual(self.server.compressed, len(self.server.commands))
        self.assertEqual(self.stored, list(range(20)))

    def test_compression__that_nobody_offered_is_no_answer(self):
        with MongoScript(self.store, zlib="unasked") as self.server:
            with self.broker(**self.hurried) as b:
                self.assertIn('"ping"', self.wait_state(b, "down"))
            self.assertEqual(self.server.commands, [])


class Names(ClusterTest):
    """mongodb+srv: the name server tells of members and options; all clusters of the big providers are given so."""
    url = "mongodb+srv://cluster.db.example/?tls=false"

    def records(self, *ports):
        return {("_mongodb._tcp.cluster.db.example", "SRV"): [(port, "member.db.example") for port in ports],
                ("cluster.db.example", "TXT"): ["replicaSet=rs0"],
                ("member.db.example", "A"): ["127.0.0.1"]}

    def test_srv__members_and_options_come_from_the_name_server(self):
        with MongoScript(self.store) as server, NameServer(self.records(server.port)) as names:
            self.deliver([{"id": i} for i in range(20)], url=self.url, pool=1)
            self.assertEqual(server.fake.errors, [])
        self.assertEqual(self.stored, list(range(20)))
        self.assertIn(("_mongodb._tcp.cluster.db.example", "SRV"), names.asked)
        self.assertIn(("cluster.db.example", "TXT"), names.asked)

    def test_srv__a_name_that_is_not_there_yet_is_asked_for_again(self):
        with MongoScript(self.store) as server, NameServer({("other.example", "A"): []}) as names:
            with self.broker(url=self.url, **self.hurried) as b:
                self.assertIn("cluster.db.example", self.wait_state(b, "down"))
                self.publish(b, [{"id": 1}])
                names.records = self.records(server.port)
                b.wait_settled("r")
        self.assertEqual(self.stored, [1])

    def test_srv__a_cluster_that_moved_is_found_where_it_is(self):
        with MongoScript(self.store) as old, NameServer(self.records(old.port)) as names:
            with self.broker(url=self.url, **self.hurried) as b:
                self.publish(b, [{"id": 1}])
                b.wait_settled("r")
                with MongoScript(self.store) as new:
                    names.records = self.records(new.port)
                    old.fake.close()
                    self.publish(b, [{"id": 2}])
                    wait_until(lambda: 2 in self.stored, message="not found at its new place")
                    b.wait_settled("r")
        self.assertEqual(self.stored, [1, 2])


if __name__ == "__main__":
    unittest.main()
