"""TLS listeners: handshakes that work and such that must not, certificates that change, connections that move."""
import concurrent.futures
import itertools
import os
import re
import socket
import ssl
import struct
import subprocess
import unittest

from harness import packet as m
from harness.broker import TARGET, Broker, free_port, run_program, temp_folder, wait_until
from harness.client import Client, Closed
from harness.pki import Pki
from harness.tls_client import TlsClient, context_of

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
HANDSHAKES = re.compile(r'sluice_tls_handshakes_total\{result="(\w+)"\} (\d+)')
numbers = itertools.count()
pki = None


def setUpModule():
    global pki
    if TARGET != "sluice":
        raise unittest.SkipTest("these are Sluice's own options")
    pki = Pki(temp_folder())
    pki.authority("other")
    pki.make("device")
    pki.make("stranger", issuer="other")
    pki.make("alpha", names="DNS:alpha.example")
    pki.make("wild", names="DNS:*.wild.example")
    pki.make("second")


class Listeners:
    """A broker with TLS listeners beside the plain one: listeners(name={option: value}, ...)."""

    def __init__(self, mqtt=None, workers=2, **listeners):
        self.ports = {name: free_port() for name in listeners}
        self.broker = Broker(start=False)
        self.tls = {name: {**own("server"), **options} for name, options in listeners.items()}
        self.write(mqtt=mqtt or {}, node={"workers": workers})
        self.broker.start()
        for port in self.ports.values():
            wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", port)))

    def write(self, **more):
        listeners = [{"name": name, "type": "tls", "bind": f"127.0.0.1:{self.ports[name]}", "tls": tls}
                     for name, tls in self.tls.items()]
        self.broker.write_config({"listeners": [self.broker.default_config()["listeners"][0], *listeners], **more})

    def reload(self, said="reloaded"):
        before = len(self.broker.log())
        self.write()
        self.broker.reload()
        return self.broker.wait_log(said, after=before)

    def handshakes(self):
        return {k: int(v) for k, v in HANDSHAKES.findall(self.broker.get("/metrics")[1])}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.broker.stop(check=kind is None)


def own(name):
    return {"cert": pki.path(f"{name}.pem"), "key": pki.path(f"{name}.key")}


class Cases(unittest.TestCase):
    def tls(self, port, context=None, **options):
        c = TlsClient(port, context or context_of(pki), **options)
        self.addCleanup(c.close)
        return c

    def connected(self, port, context=None, client_id="", **options):
        c = self.tls(port, context, **options)
        c.connect(client_id)
        return c

    def refused(self, port, context=None, **options):
        """The handshake fails, or the connection ends right behind it."""
        with self.assertRaises((Closed, ConnectionError)):
            c = self.tls(port, context, **options)
            c.send(m.connect("refused", m.V311))
            c.recv()

    def said(self, broker, pattern, again):
        """The log tells of one thing of a kind a second: so it is done again until it is told."""
        def look():
            again()
            return re.search(pattern, broker.log())
        wait_until(look, message=lambda: f"no {pattern!r} in:\n{broker.log()[-3000:]}")

    def works(self, c):
        topic = f"own/{next(numbers)}"
        c.subscribe(topic)
        c.publish(topic, b"hello")
        c.expect(m.PUBLISH, payload=b"hello")


class Handshake(Cases):
    """One broker with many listeners."""

    @classmethod
    def setUpClass(cls):
        pki.make("revoked")
        pki.revoke("revoked")
        psk = temp_folder() / "psk.txt"
        psk.write_text("# ours\n\ndevice:one:00112233445566778899aabbccddeeff\n")
        cls.at = Listeners(
            plain={}, new={"min_version": "tls1.3"}, stapled={"ocsp_response": pki.ocsp("server")},
            required={"ca": pki.path("ca.pem"), "verify_peer": "required"},
            optional={"ca": pki.path("ca.pem"), "verify_peer": "optional"},
            listed={"ca": pki.path("ca.pem"), "verify_peer": "required", "crl": pki.crl()},
            names={"certificates": [own("alpha"), {**own("wild")}, {"hosts": ["Other.Example"], **own("second")}]},
            alpn={"alpn": ["first", "mqtt"]}, strict={"alpn_required": True},
            psk={"psk_file": str(psk)})
        psk_only = free_port()
        cls.at.ports["psk_only"], cls.at.tls["psk_only"] = psk_only, {"psk_file": str(psk)}
        cls.at.broker.stop()
        cls.at.write()
        cls.at.broker.start()
        wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", psk_only)))
        cls.port = cls.at.ports

    @classmethod
    def tearDownClass(cls):
        cls.at.broker.stop()

    def test_versions__1_2_and_1_3(self):
        for version, name in ((TLS12, "TLSv1.2"), (TLS13, "TLSv1.3")):
            c = self.connected(self.port["plain"], context_of(pki, version=version))
            self.assertEqual(c.tls.version(), name)
            self.works(c)

    def test_versions__below_the_least_are_refused(self):
        self.refused(self.port["new"], context_of(pki, version=TLS12))
        self.works(self.connected(self.port["new"]))

    def test_mutual__required(self):
        self.works(self.connected(self.port["required"], context_of(pki, "device")))
        for version in (TLS12, TLS13):
            self.refused(self.port["required"], context_of(pki, version=version))
            self.refused(self.port["required"], context_of(pki, "stranger", version))
        self.said(self.at.broker, "TLS handshake failed listener=required .*has shown no certificate",
                  lambda: self.refused(self.port["required"]))
        self.said(self.at.broker, "TLS handshake failed.*CN=stranger,O=Test' is not accepted: unable to get local issuer",
                  lambda: self.refused(self.port["required"], context_of(pki, "stranger")))

    def test_mutual__optional_takes_none_or_a_good_one(self):
        self.works(self.connected(self.port["optional"]))
        self.works(self.connected(self.port["optional"], context_of(pki, "device")))
        self.refused(self.port["optional"], context_of(pki, "stranger"))

    def test_crl__a_revoked_certificate_is_refused(self):
        self.works(self.connected(self.port["listed"], context_of(pki, "device")))
        for version in (TLS12, TLS13):
            self.refused(self.port["listed"], context_of(pki, "revoked", version))
        self.said(self.at.broker, "CN=revoked,O=Test' is not accepted: certificate revoked",
                  lambda: self.refused(self.port["listed"], context_of(pki, "revoked")))

    def test_crl__of_the_authority_that_signed_it_is_enough_and_is_needed(self):
        """ca (no list) has signed between (which has one), and that the device."""
        pki.authority("between", issuer="ca")
        for name in ("inner", "gone"):
            pki.make(name, issuer="between")
            with open(pki.path(f"{name}.pem"), "a", encoding="ascii") as f, open(pki.path("between.pem"), encoding="ascii") as g:
                f.write(g.read())
        pki.revoke("gone", "between")
        mutual = {"ca": pki.path("ca.pem"), "verify_peer": "required", "crl": pki.crl("between")}
        with Listeners(a=mutual) as at:
            self.works(self.connected(at.ports["a"], context_of(pki, "inner")))
            self.refused(at.ports["a"], context_of(pki, "gone"))
            self.said(at.broker, "has no list of its authority", lambda: self.refused(at.ports["a"], context_of(pki, "device")))

    def test_address__of_ipv6(self):
        with socket.socket(socket.AF_INET6) as probe:
            if probe.connect_ex(("::1", 1)) == 99:
                self.skipTest("no IPv6 here")
        with Listeners(a={}) as at:
            at.broker.stop()
            at.write()
            at.broker.config["listeners"][1]["bind"] = f"[::1]:{at.ports['a']}"
            at.broker.write_config({})
            at.broker.start()
            with socket.create_connection(("::1", at.ports["a"])) as plain, \
                    context_of(pki).wrap_socket(plain, server_hostname="localhost") as tls:
                tls.sendall(m.connect("six", m.V311))
                self.assertEqual(tls.recv(4), b"\x20\x02\0\0")

    def test_sni__chooses_the_certificate(self):
        context = context_of(pki)
        context.check_hostname = False
        for asked, given in (("alpha.example", "alpha"), ("ALPHA.example", "alpha"), ("a.wild.example", "wild"),
                             ("a.b.wild.example", "server"), ("wild.example", "server"), ("other.example", "second"),
                             ("localhost", "server"), (None, "server")):
            with self.subTest(asked=asked):
                c = self.connected(self.port["names"], context, name=asked)
                subject = dict(pair[0] for pair in c.tls.getpeercert()["subject"])
                self.assertEqual(subject["commonName"], given)

    def test_alpn__is_agreed_on(self):
        for offered, agreed in ((["mqtt"], "mqtt"), (["mqtt", "first"], "first"), (["h2"], None), (None, None)):
            with self.subTest(offered=offered):
                c = self.connected(self.port["alpn"], context_of(pki, alpn=offered))
                self.assertEqual(c.tls.selected_alpn_protocol(), agreed)

    def test_alpn__a_mismatch_is_refused_where_that_is_asked(self):
        self.works(self.connected(self.port["strict"], context_of(pki, alpn=["x-amzn-mqtt-ca"])))
        self.works(self.connected(self.port["strict"]))
        self.said(self.at.broker, "names none of the protocols in `alpn`",
                  lambda: self.refused(self.port["strict"], context_of(pki, alpn=["h2", "http/1.1"])))

    def pub(self, listener, *args):
        return run_program("pub", "-h", "localhost", "-p", str(self.port[listener]), "-t", "psk", "-q", "1", "-m", "x", *args)

    def test_psk__with_and_without_certificates_beside_it(self):
        key = ["--psk", "00112233445566778899AABBCCDDEEFF", "--psk-identity", "device:one"]
        for listener in ("psk", "psk_only"):
            for version in ("tlsv1.2", "tlsv1.3"):
                with self.subTest(listener=listener, version=version):
                    done = self.pub(listener, "--tls-version", version, *key)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    done = self.pub(listener, "--tls-version", version, "--psk", "00" * 16, *key[2:])
                    self.assertNotEqual(done.returncode, 0, "another key")
                    done = self.pub(listener, "--tls-version", version, *key[:2], "--psk-identity", "device")
                    self.assertNotEqual(done.returncode, 0, "another identity")
        self.works(self.connected(self.port["psk"]))

    def test_garbage__costs_its_own_connection(self):
        port = self.port["plain"]
        watcher = self.connected(port, client_id="watcher")
        for words in (m.connect("plain", m.V311), b"GET / HTTP/1.1\r\n\r\n", bytes(200), os.urandom(500),
                      b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x16\x03\x01\x40\x01" + bytes(0x4001)):
            self.garbage(port, words)
        self.works(watcher)
        self.said(self.at.broker, "TLS handshake failed.*the client does not speak TLS",
                  lambda: self.garbage(port, m.connect("plain", m.V311)))
        self.said(self.at.broker, "TLS handshake failed.*the client speaks HTTP without TLS",
                  lambda: self.garbage(port, b"GET / HTTP/1.1\r\n\r\n"))

    def garbage(self, port, words):
        with Client(port) as c:
            c.send(words)
            c.sock.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while data := c.sock.recv(4096):
                    answer += data
            except ConnectionError:
                pass
            self.assertIn(answer[:1], (b"", b"\x15"), "nothing, or an alert")

    def test_hello__cut_at_every_byte(self):
        hello = client_hello()
        watcher = self.connected(self.port["plain"], client_id="watcher2")
        for n in range(0, len(hello), 5):
            with socket.create_connection(("127.0.0.1", self.port["plain"])) as s:
                s.sendall(hello[:n])
        self.works(watcher)

    def test_ocsp__response_is_stapled_for_who_asks(self):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{self.port['stapled']}", "-status", "-CAfile",
                               pki.path("ca.pem")], input="", capture_output=True, text=True, timeout=60, check=False)
        self.assertIn("OCSP Response Status: successful", done.stdout)
        self.works(self.connected(self.port["stapled"]))

    def test_renegotiation__is_refused(self):
        port = self.port["plain"]
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_2", "-CAfile", pki.path("ca.pem")],
                              input="R\n", capture_output=True, text=True, timeout=60, check=False)
        self.assertIn("RENEGOTIATING", done.stdout + done.stderr)
        self.assertIn("no renegotiation", done.stderr)
        self.works(self.connected(port))


def client_hello():
    reader, writer = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context_of(pki).wrap_bio(reader, writer, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return writer.read()


class Tickets(Cases):
    def resumed(self, at, listener, context, session, expected):
        """Connects with the session; a new one to go on with."""
        before = at.handshakes()["resumed"]
        c = self.connected(at.ports[listener], context, session=session)
        self.assertEqual(c.tls.session_reused, expected)
        self.assertEqual(at.handshakes()["resumed"], before + expected)
        self.works(c)
        return c.tls.session

    def test_tickets__are_good_at_every_worker_and_not_at_another_listener(self):
        with Listeners(workers=4, a={}, b={}, off={"session_tickets": False}) as at:
            for version in (TLS12, TLS13):
                context = context_of(pki, version=version)
                c = self.connected(at.ports["a"], context)
                self.works(c)
                session = c.tls.session
                for _ in range(6):
                    session = self.resumed(at, "a", context, session, True)
                self.resumed(at, "b", context, session, False)
                c = self.connected(at.ports["off"], context)
                self.works(c)
                if c.tls.session and c.tls.session.has_ticket:
                    self.resumed(at, "off", context, c.tls.session, False)

    def test_tickets__outlive_a_new_certificate_and_not_a_new_list_of_revoked_ones(self):
        pki.make("leaver")
        mutual = {"ca": pki.path("ca.pem"), "verify_peer": "required", "crl": pki.crl()}
        with Listeners(a=mutual) as at:
            for version in (TLS12, TLS13):
                context = context_of(pki, "leaver", version)
                c = self.connected(at.ports["a"], context)
                self.works(c)
                at.tls["a"].update(own("second"))
                at.reload()
                session = self.resumed(at, "a", context, c.tls.session, True)
                at.tls["a"].update(own("server"))
                if version == TLS13:
                    pki.revoke("leaver")
                at.tls["a"]["crl"] = pki.crl()
                at.reload()
                if version == TLS13:
                    self.refused(at.ports["a"], context, session=session)


class Reload(Cases):
    def test_reload__takes_a_new_certificate_while_clients_stay(self):
        with Listeners(a={}) as at:
            old = self.connected(at.ports["a"], client_id="old")
            self.works(old)
            at.tls["a"] = own("second")
            self.assertNotIn("wait for a restart", at.reload() + at.broker.log())
            shown = {x["name"]: x for x in at.broker.status()["config"]["settings"]["listeners"]}
            self.assertEqual(shown["a"]["tls"]["cert"], pki.path("second.pem"))
            new = self.connected(at.ports["a"])
            self.assertIn((("commonName", "second"),), new.tls.getpeercert()["subject"])
            self.assertIn((("commonName", "server"),), old.tls.getpeercert()["subject"])
            old.subscribe("again")
            new.publish("again", b"x", qos=1)
            old.expect(m.PUBLISH, payload=b"x")

    def test_reload__a_bad_file_leaves_all_as_it_is(self):
        with Listeners(a={}) as at:
            c = self.connected(at.ports["a"])
            for options, said in (({"cert": pki.path("alpha.pem")}, "does not belong to the certificate"),
                                  ({"key": "/nowhere.key"}, "cannot read /nowhere.key"),
                                  ({"ca": pki.path("ca.key"), "verify_peer": "required"}, "holds no certificate in PEM form")):
                at.tls["a"] = {**own("server"), **options}
                self.assertIn(said, at.reload("reload refused"))
                self.works(self.connected(at.ports["a"]))
            self.works(c)

    def test_reload__checks_client_certificates_from_now_on(self):
        with Listeners(a={}) as at:
            before = self.connected(at.ports["a"])
            at.tls["a"] = {**own("server"), "ca": pki.path("ca.pem"), "verify_peer": "required"}
            at.reload()
            self.refused(at.ports["a"])
            self.works(self.connected(at.ports["a"], context_of(pki, "device")))
            self.works(before)


class Flow(Cases):
    def test_half_a_handshake__ends_with_connect_timeout(self):
        with Listeners(mqtt={"connect_timeout": "300ms"}, a={}) as at:
            for words in (b"", client_hello()[:100], client_hello()):
                with Client(at.ports["a"]) as c:
                    c.sock.sendall(words)
                    data = b"."
                    while data:
                        data = c.sock.recv(4096)
            c = self.tls(at.ports["a"])
            c.expect_closed()  # shakes hands and says nothing more

    def test_frames__of_all_sizes_and_a_reader_that_is_slow(self):
        with Listeners(mqtt={"max_packet_size": "4MB", "max_queued_bytes": "64MB"}, a={}) as at:
            sub, pub = self.connected(at.ports["a"], client_id="sub"), self.connected(at.ports["a"], client_id="pub")
            sub.subscribe("s", qos=1)
            sizes = [0, 1, 100, 16383, 16384, 16385, 70000, 1 << 20, 3 << 20, 5]
            payloads = [struct.pack(">I", i) * (size // 4) + b"x" * (size % 4) for i, size in enumerate(sizes)]
            pub.publish_all("s", payloads)  # acknowledged, and the subscriber has read nothing
            for payload in payloads:
                p = sub.expect(m.PUBLISH)
                self.assertEqual((len(p.payload), p.payload == payload), (len(payload), True))
                sub.send(m.ack(m.PUBACK, p.pid))
            sub.expect_silence()

    def test_many_packets__in_one_record_and_one_packet_in_many(self):
        with Listeners(a={}) as at:
            c = self.connected(at.ports["a"])
            c.subscribe("n")
            c.send(b"".join(m.publish("n", b"%d" % i) for i in range(500)))
            for i in range(500):
                c.expect(m.PUBLISH, payload=b"%d" % i)
            for byte in m.publish("n", b"slow"):
                c.send(bytes([byte]))
            c.expect(m.PUBLISH, payload=b"slow")


class Move(Cases):
    def test_move__clients_reach_their_worker_with_all_that_they_have_sent(self):
        """CONNECT, SUBSCRIBE and PUBLISH in one write, and in the same flight as the end of the handshake."""
        with Listeners(workers=4, a={}, mutual={"ca": pki.path("ca.pem"), "verify_peer": "optional"}) as at:
            contexts = [context_of(pki, version=v) for v in (TLS12, TLS13)] + [context_of(pki, "device")]

            def one(i):
                with TlsClient(at.ports["mutual" if i % 3 == 2 else "a"], contexts[i % 3]) as c:
                    topic = f"move/{i}"
                    c.send(m.connect(f"client-{i}", m.V311) + m.subscribe(1, (topic, 0)) +
                           b"".join(m.publish(topic, b"%d" % k) for k in range(20)))
                    c.expect(m.CONNACK, code=0)
                    rest = [c.recv() for _ in range(21)]  # SUBACK may come behind the first messages [MQTT-3.8.4]
                    assert [p.payload for p in rest if p.kind == m.PUBLISH] == [b"%d" % k for k in range(20)], rest
                return True

            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                self.assertTrue(all(pool.map(one, range(120))))

    def test_move__take_overs_of_one_client_id(self):
        with Listeners(workers=4, a={}) as at:
            context = context_of(pki)

            def storm(i):
                for _ in range(10):
                    with TlsClient(at.ports["a"], context) as c:
                        c.send(m.connect(f"same-{i % 3}", m.V311), m.publish("x", b"y" * 1000))
                        try:
                            c.recv()
                        except Closed:
                            pass
                return True

            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                self.assertTrue(all(pool.map(storm, range(12))))
            self.works(self.connected(at.ports["a"]))
