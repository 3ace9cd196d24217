"""The mongodb connector where a script has to play the servers, for none of those at hand can: logins by certificate, the routers
of a sharded cluster, and clusters that a name server tells of (mongodb+srv)."""
import ssl
import unittest

import mongodb_test
from harness.broker import wait_until
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


class Certificates(ClusterTest):
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
