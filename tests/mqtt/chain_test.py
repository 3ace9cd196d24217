"""Who may connect: tokens, web servers, and several of them in a row."""
import json
import ssl
import threading
import time
import unittest

from harness import packet as m
from harness.broker import Broker, free_port, run_program, temp_folder, wait_until
from harness.client import Client
from harness.pki import Pki
from harness.tls_client import TlsClient, context_of
from harness.tokens import Key, hs_token
from harness.web import Web

SECRET = "a secret that is long enough for it all"
DENIED, AWAY = {m.V311: 4, m.V5: 0x86}, {m.V311: 3, m.V5: 0x88}


class ChainCase(unittest.TestCase):
    version = m.V5
    chain = []

    def start(self, chain, **more):
        broker = Broker({"auth": {"anonymous": False, "chain": chain}, **more})
        self.addCleanup(broker.stop)
        return broker

    def ask(self, broker, client_id="me", version=m.V5, **options):
        """The CONNACK's code."""
        with Client(broker.port, version) as c:
            c.send(m.connect(client_id, version=version, **options))
            return c.expect(m.CONNACK).code

    def stays(self, broker, client_id="me", **options):
        c = Client(broker.port, m.V5)
        self.addCleanup(c.close)
        c.connect(client_id, **options)
        return c


class Tokens(ChainCase):
    @classmethod
    def setUpClass(cls):
        cls.keys = {kind: Key(kind) for kind in ("rsa", "P-256", "P-384", "P-521", "Ed25519")}
        folder = temp_folder()
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [k.jwk(kid=kind) for kind, k in cls.keys.items()]}))
        pem = folder / "rsa.pem"
        pem.write_text(cls.keys["rsa"].public_pem())
        cls.broker = Broker({"auth": {"anonymous": False, "chain": [
            {"type": "jwt", "secret": SECRET, "issuer": "home", "audience": ["sluice"], "leeway": "0s",
             "verify_claims": {"sub": "${username}", "dev.id": "${clientid}"}},
            {"type": "jwt", "public_key": str(pem), "issuer": "pem"},
            {"type": "jwt", "jwks_file": str(jwks), "username_claim": "name", "require_exp": True}]}})

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def code(self, token, username="u", client_id="me", **options):
        return self.ask(self.broker, client_id, username=username, password=token, **options)

    def test_token__of_every_family(self):
        claims = {"name": "n", "exp": time.time() + 100}
        for kind, algs in (("rsa", ("RS256", "RS384", "RS512", "PS256", "PS512")), ("P-256", ("ES256",)),
                           ("P-384", ("ES384",)), ("P-521", ("ES512",)), ("Ed25519", ("EdDSA",))):
            for alg in algs:
                token = self.keys[kind].token(claims, alg, kid=kind)
                self.assertEqual(self.code(token), 0, alg)
                self.assertEqual(self.code(token, version=m.V311), 0, alg)
                self.assertEqual(self.code(token[:-8] + "AAAAAAAA"), DENIED[m.V5], alg)

    def test_token__claims_are_looked_at(self):
        now = time.time()
        good = {"iss": "home", "aud": ["x", "sluice"], "sub": "u", "dev": {"id": "me"}, "exp": now + 60, "nbf": now - 5,
                "iat": now - 5}
        self.assertEqual(self.code(hs_token(SECRET, good)), 0)
        self.assertEqual(self.code(hs_token(SECRET, good, "HS512")), 0)
        for change in ({"aud": "y"}, {"sub": "v"}, {"dev": {"id": "you"}}, {"exp": now - 1}, {"nbf": now + 60},
                       {"iat": now + 60}, {"exp": "soon"}, {"acl": "nonsense"}):
            self.assertEqual(self.code(hs_token(SECRET, {**good, **change})), DENIED[m.V5], change)
        self.assertEqual(self.code(hs_token(SECRET + "!", good)), DENIED[m.V5])

    def test_token__of_another_issuer_is_for_the_next_link(self):
        rsa = self.keys["rsa"]
        self.assertEqual(self.code(rsa.token({"iss": "pem"}, "RS256")), 0)
        # The public key is no secret, whatever the token says.
        self.assertEqual(self.code(hs_token(rsa.public_pem(), {"iss": "pem"})), DENIED[m.V5])
        self.assertEqual(self.code(rsa.token({"iss": "x", "name": "n"}, "RS256", kid="rsa")), DENIED[m.V5])  # no exp

    def test_token__what_is_none_is_denied_at_the_end(self):
        self.assertEqual(self.code("secret"), DENIED[m.V5])
        self.assertEqual(self.code("eyJhbGciOiJub25lIn0.e30."), DENIED[m.V5])
        self.assertEqual(self.ask(self.broker), DENIED[m.V5])
        self.assertEqual(self.ask(self.broker, version=m.V311), DENIED[m.V311])

    def test_token__its_end_ends_the_connection_and_not_the_session(self):
        token = self.keys["rsa"].token({"name": "n", "exp": time.time() - 4.2}, "RS256", kid="rsa")  # leeway 5 s
        c = self.stays(self.broker, "expiring", username="u", password=token, properties={"session_expiry": 300})
        c.expect(m.DISCONNECT, code=0xA0)
        c.expect_closed()
        token = self.keys["rsa"].token({"name": "n", "exp": time.time() + 60}, "RS256", kid="rsa")
        again = Client(self.broker.port, m.V5)
        self.addCleanup(again.close)
        again.connect("expiring", username="u", password=token, clean=False, session_present=True)

    def test_token__counters(self):
        self.code("secret")
        code, page = self.broker.get("/metrics")
        self.assertEqual(code, 200)
        self.assertRegex(page, r'sluice_auth_checks_total\{link="2",type="jwt",result="passed"\} [1-9]')


class KeySets(ChainCase):
    def test_jwks__fetched_rotated_and_away(self):
        old, new = Key("P-256"), Key("P-256")
        keys, code = [old.jwk(kid="old")], 200
        with Web(lambda r: (code, {"keys": keys})) as web:
            broker = self.start([{"type": "jwt", "jwks_url": web.url + "/keys"}])
            self.assertEqual(self.ask(broker, password=old.token({}, "ES256", kid="old"), username="u"), 0)
            keys.append(new.jwk(kid="new"))
            code = 500  # away: what is known goes on being used
            self.assertEqual(self.ask(broker, password=old.token({}, "ES256", kid="old"), username="u"), 0)
            # A key that is not known is asked for, but not again and again.
            asked = len(web.requests)
            for _ in range(5):
                self.assertEqual(self.ask(broker, password=new.token({}, "ES256", kid="x"), username="u"), DENIED[m.V5])
            self.assertLessEqual(len(web.requests), asked + 1)

    def test_jwks__away_at_the_start(self):
        key, port = Key("P-256"), free_port()
        token = key.token({}, "ES256", kid="k")
        broker = self.start([{"type": "jwt", "jwks_url": f"http://127.0.0.1:{port}/keys", "timeout": "1s"}])
        self.assertEqual(self.ask(broker, username="u", password=token), AWAY[m.V5])
        with Web(lambda r: (200, {"keys": [key.jwk(kid="k")]}), port):
            wait_until(lambda: self.ask(broker, username="u", password=token) == 0)


class WebServers(ChainCase):
    def answer(self, request):
        said = request.json()
        user = said.get("username")
        if user == "slow":
            return None
        return {"alice": (200, {"result": "allow", "is_superuser": True, "client_attrs": {"site": "north"}}),
                "bob": (204, b""), "carol": (401, b""), "dave": (200, {"result": "ignore"}), "erin": (500, b""),
                "frank": (200, b"ok"), "grace": (200, b"[" * 600000),
                "heidi": (200, {"result": "allow", "acl": [{"nonsense": 1}]}),
                "ivan": (200, {"result": "allow", "expire_at": time.time() - 1}),
                "judy": (200, {"result": "allow", "expire_at": time.time() + 1}),
                "kim": (302, b"")}.get(user, (403, b""))

    def setUp(self):
        self.web = Web(lambda r: self.answer(r))
        self.addCleanup(self.web.close)

    def link(self, **more):
        return {"type": "http", "url": self.web.url + "/auth", "timeout": "2s", **more}

    def test_http__answers(self):
        broker = self.start([self.link(headers={"x-token": "abc", "x-who": "$${clientid}"})])
        for user, code in (("alice", 0), ("bob", 0), ("carol", DENIED[m.V5]), ("dave", DENIED[m.V5]),
                           ("erin", AWAY[m.V5]), ("frank", AWAY[m.V5]), ("grace", AWAY[m.V5]), ("heidi", AWAY[m.V5]),
                           ("ivan", DENIED[m.V5]), ("kim", AWAY[m.V5]), ("nobody", DENIED[m.V5]), ("slow", AWAY[m.V5])):
            self.assertEqual(self.ask(broker, username=user, password='p"w'), code, user)
        first = self.web.requests[0]
        self.assertEqual(first.json(), {"clientid": "me", "username": "alice", "password": 'p"w'})
        self.assertEqual((first.headers["x-token"], first.headers["x-who"]), ("abc", "me"))
        self.assertEqual(self.ask(broker), DENIED[m.V5])
        self.assertEqual(self.web.requests[-1].json(), {"clientid": "me"})
        c = self.stays(broker, username="judy", password="x")
        c.expect(m.DISCONNECT, code=0xA0)

    def test_http__attributes_reach_rules(self):
        rules = {"m": {"sql": "SELECT client_attrs.site AS site FROM 'up/+'", "actions": [
                     {"republish": {"topic": "to/${site}", "payload": "message"}}]},
                 "e": {"sql": "SELECT client_attrs.site AS site, clientid FROM '$events/client/connected' WHERE clientid = 'dev'",
                       "actions": [{"republish": {"topic": "to/${site}", "payload": "connected"}}]}}
        broker = self.start([self.link()], rules=rules)
        watcher = self.stays(broker, "watcher", username="alice", password="x")
        watcher.subscribe("to/#")
        dev = self.stays(broker, "dev", username="alice", password="x")
        watcher.receive("to/north", b"connected")
        dev.publish("up/1", b"{}", qos=1)
        watcher.receive("to/north", b"message")

    def test_http__get_and_encoded_values(self):
        self.answer = lambda r: (204, b"") if r.method == "GET" else (403, b"")
        broker = self.start([self.link(url=self.web.url + "/a/${clientid}?x=1", method="get",
                                       body={"u": "${username}"})])
        self.assertEqual(self.ask(broker, "a/b?c=d&e#f", username="ü&x=1"), 0)
        self.assertEqual(self.web.requests[0].path, "/a/a%2Fb%3Fc%3Dd%26e%23f?x=1&u=%C3%BC%26x%3D1")

    def test_http__answers_are_remembered_and_asked_for_once(self):
        gate = threading.Event()

        def answer(r):
            gate.wait()
            return (204, b"") if r.json()["username"] == "a" else (403, b"")
        self.answer = answer
        broker = self.start([self.link(timeout="60s", cache={"ttl": "1h", "negative_ttl": "1h"})])
        clients = [Client(broker.port, m.V5) for _ in range(20)]
        for c in clients:
            self.addCleanup(c.close)
            c.send(m.connect("same", m.V5, username="a", password="x"))
        wait_until(lambda: self.web.requests)
        gate.set()
        codes = set()
        for c in clients:  # with one client id, the last one stays; those before were connected, too
            codes.add(c.expect(m.CONNACK).code)
        self.assertEqual(codes, {0})
        for _ in range(3):
            self.assertEqual(self.ask(broker, "same", username="b", password="x"), DENIED[m.V5])
        self.assertEqual(len(self.web.requests), 2)
        self.assertEqual(self.ask(broker, "same", username="a", password="y"), 0)
        self.assertEqual(len(self.web.requests), 3)

    def test_http__what_happens_when_it_cannot_tell(self):
        away = f"http://127.0.0.1:{free_port()}/"
        for on_error, code in (("deny", AWAY[m.V5]), ("pass", DENIED[m.V5]), ("allow", 0)):
            broker = self.start([self.link(url=away, on_error=on_error)])
            self.assertEqual(self.ask(broker, username="alice"), code, on_error)
        broker = self.start([self.link(url=away, on_error="pass"), self.link()])
        self.assertEqual(self.ask(broker, username="alice"), 0)

    def test_http__a_client_that_leaves_and_a_broker_that_stops_meanwhile(self):
        self.answer = lambda r: None
        broker = self.start([self.link(timeout="60s")])
        for n in range(3):
            with Client(broker.port, m.V5) as c:
                c.send(m.connect(f"c{n}", m.V5, username="u"))
                wait_until(lambda n=n: len(self.web.requests) > n)
        stays = Client(broker.port, m.V5)
        self.addCleanup(stays.close)
        stays.send(m.connect("stays", m.V5, username="u"))
        wait_until(lambda: len(self.web.requests) > 3)
        self.assertEqual(broker.stop(), 0)

    def test_http__tls_is_checked_both_ways(self):
        pki = Pki(temp_folder())
        pki.make("broker")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki.path("server.pem"), pki.path("server.key"))
        context.load_verify_locations(pki.path("ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        with Web(lambda r: (204, b""), tls=context) as web:
            ours = {"ca": pki.path("ca.pem"), "cert": pki.path("broker.pem"), "key": pki.path("broker.key")}
            for tls, code in ((ours, 0), ({"ca": ours["ca"]}, AWAY[m.V5]), ({**ours, "ca": pki.path("broker.pem")}, AWAY[m.V5])):
                broker = self.start([self.link(url=web.url, tls=tls)])
                self.assertEqual(self.ask(broker, username="alice"), code, tls)

    def test_http__secrets_are_not_shown(self):
        broker = self.start([self.link(url="http://u:s3cret@127.0.0.1:1/", headers={"authorization": "Bearer s3cret"}),
                             {"type": "jwt", "secret": "s3cret" * 6}])
        self.ask(broker, username="alice", password="pw-s3cret")
        self.assertNotIn("s3cret", json.dumps(broker.status()) + broker.log())

    def test_http__a_place_that_is_not_to_be_gone_to(self):
        broker = self.start([self.link()], node={"outbound": {"deny": ["127.0.0.0/8"]}})
        self.assertEqual(self.ask(broker, username="alice"), AWAY[m.V5])
        self.assertEqual(self.web.requests, [])
        broker.wait_log("a web server could not be asked.*outbound")


class Chains(ChainCase):
    def users(self):
        path = temp_folder() / "users.pw"
        done = run_program("passwd", str(path), "alice", stdin="secret\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        return str(path)

    def test_chain__order_conditions_and_reload(self):
        users = self.users()
        with Web(lambda r: (204, b"") if r.json().get("password") == "web" else (403, b"")) as web:
            file = {"type": "file", "path": users}
            http = {"type": "http", "url": web.url, "username": "web-*"}
            broker = self.start([file, http])
            for user, password, code in (("alice", "secret", 0), ("alice", "wrong", DENIED[m.V5]), ("web-1", "web", 0),
                                         ("web-1", "x", DENIED[m.V5]), ("other", "web", DENIED[m.V5])):
                self.assertEqual(self.ask(broker, username=user, password=password), code, user)
            self.assertEqual(len(web.requests), 2)
            stays = self.stays(broker, "stays", username="web-1", password="web")
            broker.write_config({"auth": {"chain": [file]}})
            broker.reload()
            broker.wait_log("reloaded")
            self.assertEqual(self.ask(broker, username="web-1", password="web"), DENIED[m.V5])
            self.assertEqual(self.ask(broker, username="alice", password="secret"), 0)
            stays.send(m.frame(m.PINGREQ, 0, b""))
            stays.expect(m.PINGRESP)

    def test_chain__anonymous_is_for_those_without_a_name(self):
        broker = self.start([{"type": "file", "path": self.users()}])
        self.assertEqual(self.ask(broker), DENIED[m.V5])
        broker.write_config({"auth": {"anonymous": True}})
        broker.reload()
        broker.wait_log("reloaded")
        self.assertEqual(self.ask(broker), 0)
        self.assertEqual(self.ask(broker, username="who", password="x"), DENIED[m.V5])

    def test_chain__a_listener_may_say_who_needs_no_name(self):
        """And a certificate says who somebody is."""
        pki, ports = Pki(temp_folder()), [free_port(), free_port()]
        pki.make("device", names="DNS:device.example,URI:urn:dev:7")
        pki.make("odd", names="DNS:device.example", subject="/O=Test")
        tls = {"cert": pki.path("server.pem"), "key": pki.path("server.key"), "ca": pki.path("ca.pem"), "verify_peer": "optional"}
        broker = Broker(start=False)
        plain = broker.default_config()["listeners"][0]
        broker.write_config({"listeners": [
            plain, {"name": "open", "bind": f"127.0.0.1:{ports[0]}", "anonymous": True},
            {"name": "tls", "type": "tls", "bind": f"127.0.0.1:{ports[1]}", "tls": tls}], "auth": {
                "anonymous": False, "acl_file": str(broker.folder / "acl.yaml"), "chain": [
                    {"type": "cert", "clientid": "uri-*", "username": "*", "listeners": ["open"]},
                    {"type": "cert", "username_from": "san_uri", "clientid": "uri-*"},
                    {"type": "cert", "clientid_is_username": True}]}})
        (broker.folder / "acl.yaml").write_text(
            "rules: [{allow: publish, topic: \"of/${username}/${cert.cn}\"}]\n")
        broker.start()
        self.addCleanup(broker.stop)
        self.assertEqual(self.ask(broker), DENIED[m.V5])
        with Client(ports[0], m.V5) as c:
            c.connect("anybody")

        def code(client_id, cert, topic=None):
            with TlsClient(ports[1], context_of(pki, cert), m.V5) as c:
                c.send(m.connect(client_id, m.V5, username="somebody"))
                told = c.expect(m.CONNACK).code
                if topic:
                    c.send(m.publish(topic, b"", 1, 7, version=m.V5))
                    self.assertEqual(c.expect(m.PUBACK).code, 0x10, topic)
                return told
        wait_until(lambda: code("device", "device") == 0)
        self.assertEqual(code("device", "device", "of/device/device"), 0)
        self.assertEqual(code("uri-1", "device", "of/urn:dev:7/device"), 0)
        self.assertEqual(code("other", "device"), DENIED[m.V5])
        self.assertEqual(code("device", "odd"), DENIED[m.V5])
        self.assertEqual(code("device", None), DENIED[m.V5])

    def test_check__says_what_is_wrong_and_where(self):
        folder = temp_folder()
        file = folder / "c.yaml"
        file.write_text("auth:\n  chain:\n    - {type: jwtt}\n    - {type: jwt}\n"
                        "    - {type: http, url: \"http://${clientid}/\"}\n"
                        "    - {type: http, url: \"http://a/${usernam}\", body: {x: \"${cert.cm}\"}}\n"
                        "    - {type: file, path: nowhere.pw, listners: [a]}\n"
                        "    - {type: redis, connector: db, command: [DEL, \"user:${username}\"]}\n"
                        "    - {type: postgres, connector: db, query: \"SELECT 1 FROM u WHERE n = '${username}'\"}\n"
                        "    - {type: mongodb, connector: db, collection: u, filter: {n: \"${usernam}\"}}\n")
        said = run_program("check", "-c", str(file), cwd=folder).stderr
        for text in ("c.yaml:3:14: auth.chain[0].type: there is no such authenticator; did you mean jwt?",
                     "auth.chain[1]: needs the key that tokens are signed with",
                     "auth.chain[2].url: the server's name cannot be of the client's choice",
                     "did you mean ${username}?", "did you mean ${cert.cn}?", "did you mean `listeners`",
                     "auth.chain[5]: command: DEL is none for a question", "auth.chain[6]: query: ",
                     "auth.chain[7]: there is no ${usernam}"):
            self.assertIn(text, said)
        file.write_text("auth: {chain: [{type: redis, connector: db, command: [GET, \"${username}\"]}]}\n"
                        "connectors: {db: {type: postgres, url: \"postgresql://127.0.0.1/x\"}}\n")
        said = run_program("check", "-c", str(file), cwd=folder).stderr
        self.assertIn('c.yaml:1:', said)
        self.assertIn('auth.chain[0].connector: there is no connector "db" of type redis', said)
        file.write_text("auth: {chain: [{type: jwt, jwks_file: nowhere.json}]}\n")
        said = run_program("check", "-c", str(file), cwd=folder).stderr
        self.assertIn("auth.chain[0]: jwks_file: nowhere.json cannot be read", said)


del ChainCase
