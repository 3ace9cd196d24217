"""The same exchanges over each transport, and what each transport has of its own: frames, handshakes, files, limits."""
import os
import re
import socket
import stat
import struct
import unittest

from cases import Case, both
from harness import packet as m
from harness import ws
from harness.broker import TARGET, Broker, free_port, run_program, temp_folder, wait_until
from harness.client import Client, dial
from harness.pki import Pki
from harness.tls_client import context_of
from harness.ws import WsSocket

if TARGET != "sluice":
    raise unittest.SkipTest("these are listeners of ours")


def metric(broker, name):
    return int(re.search(rf"^{re.escape(name)} (\d+)$", broker.get("/metrics")[1], re.M)[1])


class Over(Case):
    """Basic exchanges; `socket()` makes the connection."""
    kind = None
    context = None

    @classmethod
    def setUpClass(cls):
        cls.folder = temp_folder()
        cls.address = str(cls.folder / "mqtt.sock") if cls.kind == "unix" else free_port()
        bind = cls.address if cls.kind == "unix" else f"127.0.0.1:{cls.address}"
        cls.broker = Broker({"node": {"workers": 2}, "mqtt": {"max_packet_size": "2MB"}}, start=False)
        plain = cls.broker.config["listeners"]
        extra = {}
        if cls.kind == "wss":
            pki = Pki(cls.folder)
            extra = {"tls": {"cert": pki.path("server.pem"), "key": pki.path("server.key")}}
            cls.context = context_of(pki)
        cls.broker.write_config({"listeners": plain + [{"name": cls.kind, "type": cls.kind, "bind": bind, **extra}]})
        cls.broker.start()

    def raw(self, version=None, **options):
        c = Client(None, version or self.version, sock=dial(self.address, self.kind, self.context, **options))
        self.addCleanup(c.close)
        return c

    def test_every_qos_there_and_back(self):
        a, b = self.subscriber(qos=2), self.client()
        for qos in (0, 1, 2):
            b.publish(self.t, b"x" * (qos + 1), qos=qos)
            a.receive(self.t, b"x" * (qos + 1), qos=qos)
        b.disconnect()

    def test_a_large_message_there_and_back(self):
        payload = bytes(range(256)) * 4096
        a, b = self.subscriber(qos=1), self.client()
        b.publish(self.t, payload, qos=1)
        a.receive(self.t, payload, qos=1)

    def test_much_at_once_keeps_its_order(self):
        a, b = self.subscriber(), self.client()
        n = 500
        b.send(*[m.publish(self.t, b"%d" % i, version=self.version) for i in range(n)])
        for i in range(n):
            a.expect(m.PUBLISH, payload=b"%d" % i)

    def test_packets_in_single_bytes(self):
        c = self.raw()
        for byte in m.connect(self.me, version=self.version) + m.PING:
            c.send(bytes([byte]))
        c.expect(m.CONNACK, code=0)
        c.expect(m.PINGRESP)

    def test_the_will_of_who_is_cut_off(self):
        a = self.subscriber()
        b = self.client(will=m.Will(self.t, b"gone"))
        b.close()
        a.receive(self.t, b"gone")

    def test_takeover_from_another_transport(self):
        here = self.client(self.me)
        there = Client(self.broker.port, self.version)
        self.addCleanup(there.close)
        there.connect(self.me)
        here.expect_refusal(0x8E)

    def test_garbage_costs_its_own_connection_only(self):
        c, other = self.raw(), self.client()
        c.send(b"\xff" * 64)
        c.expect_closed()
        other.send(m.PING)
        other.expect(m.PINGRESP)


class WsBaseCases(Over):
    kind = "ws"

    def test_frames_of_any_shape(self):
        """A packet in many frames, in fragments with pings between them, and many packets in a frame [MQTT-6.0.0-2]."""
        for options in ({"piece": 1}, {"piece": 3, "fragments": True}, {"piece": 2, "fragments": True, "pings": True}):
            with self.subTest(**options):
                c = self.raw(**options)
                c.connect()
                c.subscribe(self.t)
                c.send(*[m.publish(self.t, b"%d" % i, version=self.version) for i in range(20)])
                for i in range(20):
                    c.expect(m.PUBLISH, payload=b"%d" % i)
                c.disconnect()
                self.assertEqual(c.sock.close_code, 1000)

    def test_the_answers_to_many_packets_are_one_frame(self):
        c = self.client()
        before = c.sock.frames
        c.send(*[m.PING] * 50)
        for _ in range(50):
            c.expect(m.PINGRESP)
        self.assertEqual(c.sock.frames, before + 1)


class WssBaseCases(WsBaseCases):
    kind = "wss"


class UnixBaseCases(Over):
    kind = "unix"


WsBaseV311, WsBaseV5 = both(WsBaseCases)
WssBaseV311, WssBaseV5 = both(WssBaseCases)
UnixBaseV311, UnixBaseV5 = both(UnixBaseCases)


class WsTest(unittest.TestCase):
    """Byte for byte what a WebSocket listener answers."""

    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.broker = Broker({"mqtt": {"connect_timeout": "700ms", "max_packet_size": "64KB"}}, start=False)
        plain = cls.broker.config["listeners"]
        cls.broker.write_config({"listeners": plain + [{"name": "ws", "type": "ws", "bind": f"127.0.0.1:{cls.port}", "path": "/mqtt",
                                                       "origins": ["https://dashboard.example"]}]})
        cls.broker.start()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def plain(self):
        sock = dial(self.port, "tcp")
        self.addCleanup(sock.close)
        return sock

    def all_of(self, sock):
        got = b""
        while more := sock.recv(65536):
            got += more
        return got

    def open(self):
        sock = dial(self.port, "ws")
        self.addCleanup(sock.close)
        return sock

    def test_the_handshake_byte_for_byte(self):
        sock = self.plain()
        sock.sendall(ws.request() + ws.frame(ws.BINARY, m.connect("h") + m.PING) + ws.frame(ws.CLOSE, b"\x03\xe8"))
        self.assertEqual(self.all_of(sock),
                         b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
                         b"\x82\x06\x20\x02\x00\x00\xd0\x00\x88\x02\x03\xe8")

    def test_a_request_that_is_none_is_told_why(self):
        for status, said, request in (
                (404, b"`path`", ws.request(path="/")),
                (405, b"GET", b"POST /mqtt HTTP/1.1\r\nHost: b\r\n\r\n"),
                (426, b"Upgrade: websocket", b"GET /mqtt HTTP/1.1\r\nHost: b\r\n\r\n"),
                (426, b"Sec-WebSocket-Version: 13", ws.request(Sec_WebSocket_Version="8")),
                (400, b"Sec-WebSocket-Key", ws.request(key="c2hvcnQ=")),
                (400, b"Sec-WebSocket-Protocol: mqtt", ws.request(protocol="chat")),
                (400, b"Host", ws.request(drop=("Host",))),
                (403, b"origins", ws.request(Origin="https://evil.example")),
                (431, b"too large", ws.request(Cookie="x" * 9000)),
                (400, b"not an HTTP/1.1 request", m.connect("plain"))):
            with self.subTest(status=status, said=said):
                sock = self.plain()
                sock.sendall(request)
                answer = self.all_of(sock)
                self.assertTrue(answer.startswith(b"HTTP/1.1 %d " % status), answer)
                head, _, body = answer.partition(b"\r\n\r\n")
                self.assertIn(said, body)
                self.assertIn(b"Content-Length: %d\r\n" % len(body), head)

    def test_an_allowed_page_and_programs_get_in(self):
        sock = self.plain()
        sock.sendall(ws.request(Origin="https://dashboard.example"))
        self.assertTrue(sock.recv(4096).startswith(b"HTTP/1.1 101 "))
        self.open()

    def test_a_request_that_does_not_end_is_cut_off_in_time(self):
        sock = self.plain()
        sock.sendall(b"GET /mqtt HTTP/1.1\r\nHost: ")
        self.assertEqual(self.all_of(sock), b"")

    def test_who_shakes_hands_and_says_nothing_is_cut_off_in_time(self):
        sock = self.open()
        self.assertEqual(sock.recv(10), b"")

    def test_hostile_frames_are_refused_with_their_code(self):
        for code, bad in (
                (1003, ws.frame(ws.TEXT, m.PING)),                       # [MQTT-6.0.0-1]
                (1002, ws.frame(ws.BINARY, m.PING, masked=False)),
                (1002, ws.frame(ws.BINARY, m.PING, rsv=4)),
                (1002, ws.frame(3, m.PING)),
                (1002, ws.frame(11)),
                (1002, ws.frame(ws.CONTINUATION, m.PING)),
                (1002, ws.frame(ws.BINARY, b"\xc0", fin=False) + ws.frame(ws.BINARY, b"\x00")),
                (1002, ws.frame(ws.PING, b"x", fin=False)),
                (1002, ws.frame(ws.PING, b"x" * 126)),
                (1002, ws.frame(ws.BINARY, m.PING, length_form=126)),
                (1002, ws.frame(ws.BINARY, m.PING, length_form=127)),
                (1009, b"\x82\xff\x7f" + b"\xff" * 7 + b"\0\0\0\0"),
                (1002, ws.frame(ws.CLOSE, b"\x03")),
                (1002, ws.frame(ws.CLOSE, struct.pack(">H", 1005))),
                (1007, ws.frame(ws.CLOSE, struct.pack(">H", 1000) + b"\xff"))):
            with self.subTest(code=code, bad=bad[:8].hex()):
                sock = self.open()
                sock.sendall(m.connect("hostile"))
                self.assertEqual(sock.recv(4), b"\x20\x02\x00\x00")
                sock.sock.sendall(bad)
                self.assertEqual(sock.recv(10), b"")
                self.assertEqual(sock.close_code, code)

    def test_a_packet_too_large_is_refused_whatever_its_frames(self):
        sock = self.open()
        sock.sendall(m.connect("large"))
        self.assertEqual(sock.recv(4), b"\x20\x02\x00\x00")
        sock.piece = 1000
        try:
            sock.sendall(m.publish("t", b"x" * 70000))
        except ConnectionError:
            pass
        try:
            self.assertEqual(sock.recv(10), b"")
        except ConnectionError:
            pass

    def test_pings_and_pongs_alone_do_not_keep_a_connection_alive(self):
        sock = self.open()
        sock.sendall(m.connect("alive", keepalive=1))
        self.assertEqual(sock.recv(4), b"\x20\x02\x00\x00")
        sock.sock.settimeout(0.05)
        for _ in range(1200):
            try:
                sock.sock.sendall(ws.frame(ws.PING, b"are you there"))
                if sock.recv(10) == b"":
                    return
            except TimeoutError:
                pass
            except ConnectionError:
                return
        self.fail("it is still alive")

    def test_who_floods_with_nothing_hinders_nobody(self):
        """Requests and frames that do not end, fragments and frames of no bytes, pings whose answers nobody reads, text, garbage."""
        connect = m.connect("flood")
        floods = {"half a request": (False, b"GET /mqtt HTTP/1.1\r\nX: " + b"x" * 4000),
                  "empty fragments": (True, ws.frame(ws.BINARY, connect, fin=False) + ws.frame(ws.CONTINUATION, fin=False) * 20000),
                  "empty frames": (True, ws.frame(ws.BINARY, connect) + ws.frame(ws.BINARY) * 20000),
                  "single bytes": (True, ws.frame(ws.BINARY, connect) + b"".join(ws.frame(ws.BINARY, bytes([b])) for b in
                                                                              m.publish("t", b"y" * 60000)[:20000])),
                  "pings": (True, ws.frame(ws.BINARY, connect) + ws.frame(ws.PING, b"x" * 125) * 20000),
                  "half a frame": (True, b"\x82\xff\0\0\0\0\x3f\xff\xff\xff\1\2\3\4" + b"\1" * 10000),
                  "garbage": (True, os.urandom(20000))}
        watch = Client(self.broker.port)
        self.addCleanup(watch.close)
        watch.connect("watch")
        watch.subscribe("watch")
        for name, (upgraded, flood) in floods.items():
            with self.subTest(flood=name):
                socks = [self.plain() for _ in range(5)]
                for sock in socks:
                    sock.settimeout(0.2)
                    try:
                        sock.sendall((ws.request() if upgraded else b"") + flood)
                    except OSError:
                        pass  # it was shown the door, or nobody reads from it
                for n in range(20):
                    watch.publish("watch", b"%d" % n)
                    watch.receive("watch", b"%d" % n)

    def test_mqttv31_is_chosen_when_it_is_all_there_is(self):
        sock = dial(self.port, "ws", protocol="mqttv3.1")
        self.addCleanup(sock.close)
        sock.sendall(m.connect("v31", version=m.V31))
        self.assertEqual(sock.recv(4), b"\x20\x02\x00\x00")


class UnixTest(unittest.TestCase):
    def setUp(self):
        self.path = temp_folder() / "mqtt.sock"
        self.broker = Broker(start=False)
        self.addCleanup(self.broker.stop)
        plain = self.broker.config["listeners"]
        self.broker.write_config({"node": {"workers": 2}, "listeners": plain + [
            {"name": "local", "type": "unix", "bind": str(self.path), "mode": "0600"}]})

    def connect(self):
        c = Client(None, sock=dial(self.path, "unix"))
        self.addCleanup(c.close)
        c.connect()
        return c

    def test_permissions_and_an_end_without_a_trace(self):
        self.broker.start()
        self.connect()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.broker.stop()
        self.assertFalse(self.path.exists())

    def test_what_a_killed_broker_left_is_replaced(self):
        self.broker.start()
        self.broker.kill()
        self.assertTrue(self.path.exists())
        self.broker.start()
        self.connect()

    def test_somebody_who_listens_there_is_left_alone(self):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(self.path))
            other.listen()
            done = run_program("run", "-c", str(self.broker.config_path), cwd=self.broker.folder)
            self.assertEqual(done.returncode, 3)
            self.assertIn("another process listens there", done.stderr)
            self.assertTrue(self.path.exists())

    def test_a_file_that_is_no_socket_is_left_alone(self):
        self.path.write_text("precious")
        done = run_program("run", "-c", str(self.broker.config_path), cwd=self.broker.folder)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no socket", done.stderr)
        self.assertEqual(self.path.read_text(), "precious")


class LimitTest(unittest.TestCase):
    def start(self, mqtt=None, **options):
        broker = Broker({"mqtt": mqtt or {}}, start=False)
        broker.config["listeners"][0].update(options)
        broker.write_config({})
        broker.start()
        self.addCleanup(broker.stop)
        return broker

    def client(self, broker, version=m.V311):
        c = Client(broker.port, version)
        self.addCleanup(c.close)
        return c

    def test_versions_that_the_listener_does_not_take(self):
        broker = self.start(versions=["3.1.1"])
        self.client(broker).connect("fine")
        c = self.client(broker, m.V5)
        c.send(m.connect("five", version=m.V5))
        c.expect(m.CONNACK, code=0x84)
        c.expect_closed()
        c = self.client(broker, m.V31)
        c.send(m.connect("old", version=m.V31))
        c.expect_bytes(b"\x20\x02\x00\x01")
        c.expect_closed()

    def test_sizes_of_the_listener_s_own(self):
        broker = self.start(max_packet_size="2KB", max_clientid_length=30)
        c = self.client(broker, m.V5)
        c.send(m.connect("x" * 31, version=m.V5))
        c.expect(m.CONNACK, code=0x85)
        c = self.client(broker, m.V5)
        c.send(m.connect("x" * 30, version=m.V5))
        self.assertEqual(c.expect(m.CONNACK, code=0).props["maximum_packet_size"], 2048)
        c.send(m.publish("t", b"x" * 3000, version=m.V5))
        c.expect_refusal(0x95)

    def test_a_connect_that_is_too_large_is_not_waited_for(self):
        broker = self.start(mqtt={"max_connect_size": "2KB"})
        c = self.client(broker)
        c.send(m.connect("x", will=m.Will("t", b"y" * 4000))[:100])
        c.expect_closed()
        self.client(broker).connect("x", will=m.Will("t", b"y" * 1000))

    def test_a_client_that_is_too_fast_is_slowed_down_and_loses_nothing(self):
        for options in ({"max_message_rate": 2000, "message_burst": 10}, {"max_byte_rate": "100KB", "byte_burst": "1KB"}):
            with self.subTest(**options):
                broker = self.start(**options)
                a, b = self.client(broker), self.client(broker)
                a.connect("a")
                a.subscribe("t")
                b.connect("b")
                b.send(*[m.publish("t", b"%d" % i) for i in range(300)], m.PING)
                for i in range(300):
                    a.expect(m.PUBLISH, payload=b"%d" % i)
                b.expect(m.PINGRESP)
                self.assertGreater(metric(broker, "sluice_client_rate_pauses_total"), 0)

    def test_a_packet_larger_than_the_burst_passes(self):
        broker = self.start(max_byte_rate="100KB", byte_burst="1KB")
        c = self.client(broker)
        c.connect("a")
        c.publish("t", b"x" * 20000, qos=1)
        c.send(m.PING)
        c.expect(m.PINGRESP)

    def test_more_connections_than_the_rate_wait_and_get_in(self):
        broker = self.start(max_connect_rate=100, connect_burst=5)
        clients = [self.client(broker) for _ in range(30)]
        for i, c in enumerate(clients):
            c.connect(f"c{i}")
        self.assertGreater(metric(broker, "sluice_accept_pauses_total"), 0)


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source, port, tlvs=b"", command=1):
    body = socket.inet_aton(source) + socket.inet_aton("198.51.100.1") + struct.pack(">HH", port, 1883) + tlvs
    return V2 + bytes([0x20 | command, 0x11]) + struct.pack(">H", len(body)) + body


class ProxyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port, cls.strict, cls.ws, cls.tls = free_port(), free_port(), free_port(), free_port()
        cls.pki = Pki(temp_folder())
        cls.broker = Broker({"mqtt": {"connect_timeout": "700ms"}, "node": {"workers": 2},
                             "log": {"level": "debug"}}, start=False)
        plain = cls.broker.config["listeners"]
        proxied = [{"name": name, "type": kind, "bind": f"127.0.0.1:{port}", "proxy_protocol": True, "proxy_from": networks}
                   for name, kind, port, networks in (("near", "tcp", cls.port, ["127.0.0.0/8", "::1"]),
                                                      ("far", "tcp", cls.strict, ["203.0.113.0/24"]),
                                                      ("ws", "ws", cls.ws, ["127.0.0.1"]), ("tls", "tls", cls.tls, ["::/0", "0.0.0.0/0"]))]
        proxied[-1]["tls"] = {"cert": cls.pki.path("server.pem"), "key": cls.pki.path("server.key")}
        cls.broker.write_config({"listeners": plain + proxied, "rules": {
            "who": {"sql": 'SELECT clientid, peername, sockname FROM "$events/client_connected"',
                    "actions": [{"republish": {"topic": "who/${clientid}", "payload": "${peername} ${sockname}"}}]}}})
        cls.broker.start()
        cls.watch = Client(cls.broker.port)
        cls.watch.connect("watch")
        cls.watch.subscribe("who/#")

    @classmethod
    def tearDownClass(cls):
        cls.watch.close()
        cls.broker.stop()

    def client(self, header, port=None, name="tcp"):
        sock = dial(port or self.port, "tcp")
        self.addCleanup(sock.close)
        if header:
            sock.sendall(header)
        c = Client(None, sock=WsSocket(sock) if name == "ws" else sock)
        return c

    def known_as(self, c, name):
        c.connect(name)
        while (told := self.watch.expect(m.PUBLISH)).topic != f"who/{name}":
            pass  # another test's
        return told.payload.decode()

    def test_the_client_s_own_address_is_the_one_that_is_told(self):
        self.assertEqual(self.known_as(self.client(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 1883\r\n"), "v1"),
                         "192.0.2.7:4711 198.51.100.1:1883")
        self.assertEqual(self.known_as(self.client(v2("192.0.2.8", 4712)), "v2"), "192.0.2.8:4712 198.51.100.1:1883")
        self.assertEqual(self.known_as(self.client(b"PROXY TCP6 2001:db8::7 2001:db8::1 4713 1883\r\n"), "six"),
                         "[2001:db8::7]:4713 [2001:db8::1]:1883")

    def test_below_websocket(self):
        c = self.client(v2("192.0.2.9", 4714), self.ws, "ws")
        self.assertEqual(self.known_as(c, "over-ws"), "192.0.2.9:4714 198.51.100.1:1883")

    def test_below_tls(self):
        sock = dial(self.tls, "tcp")
        self.addCleanup(sock.close)
        sock.sendall(v2("192.0.2.10", 4715))
        c = Client(None, sock=context_of(self.pki).wrap_socket(sock, server_hostname="localhost"))
        self.addCleanup(c.close)
        self.assertEqual(self.known_as(c, "over-tls"), "192.0.2.10:4715 198.51.100.1:1883")

    def test_a_proxy_that_speaks_for_itself_keeps_its_address(self):
        for n, header in enumerate((b"PROXY UNKNOWN\r\n", v2("192.0.2.8", 1, command=0))):
            self.assertRegex(self.known_as(self.client(header), f"local{n}"), f"^127.0.0.1:[0-9]+ 127.0.0.1:{self.port}$")

    def test_header_and_packets_in_one_piece_and_in_many(self):
        whole = v2("192.0.2.8", 4712, b"\x04\x00\x02ab") + m.connect("whole") + m.PING
        self.client(whole).expect_bytes(b"\x20\x02\x00\x00\xd0\x00")
        c = self.client(None)
        for byte in whole:
            c.send(bytes([byte]))
        c.expect_bytes(b"\x20\x02\x00\x00\xd0\x00")

    def test_without_a_header_nobody_gets_in(self):
        for garbage in (m.connect("direct"), b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 nonsense\r\n", V2 + b"\x21\x11\x00\x04abcd",
                        v2("192.0.2.8", 1, b"\x03\x00\x04abcd"), b"\x16\x03\x01"):
            with self.subTest(garbage=garbage[:20]):
                self.client(garbage).expect_closed()
        self.broker.wait_log("connection refused.*listener=[a-z]+ peer=127.0.0.1.*PROXY")

    def test_half_a_header_is_waited_for_and_then_not_any_more(self):
        self.client(v2("192.0.2.8", 1)[:20]).expect_closed()
        c = self.client(V2)
        c.sock.shutdown(socket.SHUT_WR)
        c.expect_closed()

    def test_only_the_proxies_named_may_say_who_they_bring(self):
        name = 'sluice_connections_turned_away_total{reason="proxy_protocol"}'
        before = metric(self.broker, name)
        self.client(v2("192.0.2.8", 1), self.strict).expect_closed()
        self.assertEqual(metric(self.broker, name), before + 1)

class ProxiedIdentityTest(unittest.TestCase):
    """The name of a certificate that the proxy has verified counts as that of one shown to us."""

    def test_it_is_the_user_name(self):
        with Broker({"auth": {"anonymous": False, "chain": [{"type": "cert"}]}, "rules": {
                "who": {"sql": 'SELECT username FROM "$events/client_connected"', "actions": [{"console": {}}]}}}, start=False) as broker:
            broker.config["listeners"][0]["proxy_protocol"] = True
            broker.write_config({})
            broker.start(wait=False)
            wait_until(lambda: not socket.socket().connect_ex(("127.0.0.1", broker.port)))
            for verified, code in ((0, 0), (1, 4)):
                name = b"device-7"
                inner = bytes([7]) + struct.pack(">I", verified) + b"\x22" + struct.pack(">H", len(name)) + name
                sock = dial(broker.port, "tcp")
                sock.sendall(v2("192.0.2.8", 1, b"\x20" + struct.pack(">H", len(inner)) + inner))
                with Client(None, sock=sock) as c:
                    c.send(m.connect("dev"))
                    c.expect(m.CONNACK, code=code)
            broker.wait_log("device-7")


if __name__ == "__main__":
    unittest.main()
