"""Listeners that come, go and change at a reload: who is connected stays, and nothing changes when one of them cannot be."""
import re
import socket
import stat
import threading
import unittest

from harness import packet as m
from harness.broker import TARGET, Broker, free_port, temp_folder
from harness.client import Client, Closed, dial
from harness.pki import Pki
from harness.tls_client import context_of

if TARGET != "sluice":
    raise unittest.SkipTest("a reload of listeners is ours")


def tcp(name, port, host="127.0.0.1", **options):
    return {"name": name, "type": "tcp", "bind": f"{host}:{port}", **options}


def refuses(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


class ListenersTest(unittest.TestCase):
    def setUp(self):
        self.broker = Broker({"node": {"workers": 2}}, start=False)
        self.plain = self.broker.config["listeners"][0] | {"type": "tcp"}

    def start(self, *others):
        self.write(*others)
        self.broker.start()
        self.addCleanup(self.broker.stop)

    def write(self, *others, plain=None):
        self.broker.write_config({"listeners": [plain or self.plain, *others]})

    def reload(self, *others, said="reloaded", plain=None):
        before = len(self.broker.log())
        self.write(*others, plain=plain)
        self.broker.reload()
        line = self.broker.wait_log(said, after=before)
        self.assertNotIn("wait for a restart", self.broker.log())
        return line

    def raw(self, port, kind="tcp", context=None):
        c = Client(None, sock=dial(port, kind, context))
        self.addCleanup(c.close)
        return c

    def client(self, port, kind="tcp", context=None):
        c = self.raw(port, kind, context)
        c.connect()
        self.works(c)
        return c

    def works(self, *clients):
        for c in clients:
            c.subscribe("there")
            c.publish("there", b"x")
            c.expect(m.PUBLISH, payload=b"x")
            c.send(m.unsubscribe(c.next_pid(), "there"))
            c.expect(m.UNSUBACK)

    def turned_away(self, port):
        """By a broker that accepts, and closes at once."""
        c = self.raw(port)
        try:
            c.send(m.connect("x"))
        except OSError:
            return
        c.expect_closed()

    def connected(self):
        page = self.broker.get("/metrics")[1]
        return {k: int(v) for k, v in re.findall(r'^sluice_listener_connections{listener="(\w+)"} (\d+)$', page, re.M)}

    def test_of_each_kind_comes_goes_and_comes_again(self):
        self.start()
        folder = temp_folder()
        pki = Pki(folder)
        context, own = context_of(pki), {"cert": pki.path("server.pem"), "key": pki.path("server.key")}
        at = {"tcp": free_port(), "ws": free_port(), "tls": free_port(), "wss": free_port(), "unix": str(folder / "s")}
        more = [{"name": kind, "type": kind, "bind": where if kind == "unix" else f"127.0.0.1:{where}",
                 **({"tls": own} if kind in ("tls", "wss") else {})} for kind, where in at.items()]
        stay = [self.client(self.broker.port)]
        for turn in (1, 2):
            self.reload(*more)
            stay += [self.client(where, kind, context) for kind, where in at.items()]
            self.assertEqual(self.connected(), {"mqtt": 1, **{kind: turn for kind in at}})
            self.reload()
            self.assertTrue(all(refuses(where) for kind, where in at.items() if kind != "unix"))
            self.assertFalse((folder / "s").exists())
            self.works(*stay)
            self.assertEqual(self.connected(), {"mqtt": 1, **{kind: turn for kind in at}})
        shown = self.broker.status()["config"]["settings"]["listeners"]
        self.assertEqual([x["name"] for x in shown], ["mqtt"])
        while len(stay) > 1:
            stay.pop().disconnect()
        self.reload()
        self.assertEqual(self.connected(), {"mqtt": 1})
        self.works(*stay)

    def test_another_port_another_name_and_all_addresses(self):
        ports = a, b, c = free_port(), free_port(), free_port()
        self.start(tcp("one", a), tcp("two", b))
        stay = [self.client(a), self.client(b)]
        self.reload(tcp("one", c), tcp("two", b))
        self.assertTrue(refuses(a))
        stay.append(self.client(c))
        self.reload(tcp("one", b), tcp("two", c))  # they change places
        stay += [self.client(b), self.client(c)]
        self.assertEqual(self.connected(), {"mqtt": 0, "one": 3, "two": 2})
        self.reload(tcp("three", b), tcp("two", c, host="0.0.0.0"))
        stay += [self.client(b), self.client(c)]
        self.assertEqual(self.connected(), {"mqtt": 0, "one": 3, "two": 3, "three": 1})
        self.reload(tcp("three", b), tcp("two", c, host="*"))
        stay.append(self.client(c))
        self.reload(tcp("three", b), tcp("two", c))
        stay.append(self.client(c))
        self.works(*stay)
        self.reload(plain={**self.plain, "bind": f"127.0.0.1:{a}"})
        self.assertTrue(all(refuses(p) for p in (self.broker.port, *ports[1:])))
        self.works(self.client(a), *stay)

    def test_another_type_on_the_same_address(self):
        port = free_port()
        self.start(tcp("one", port))
        pki = Pki(temp_folder())
        stay, context = [self.client(port)], context_of(pki)
        own = {"tls": {"cert": pki.path("server.pem"), "key": pki.path("server.key")}}
        for kind in ("tls", "wss", "ws", "tls", "tcp"):
            self.reload({**tcp("one", port), "type": kind, **(own if kind in ("tls", "wss") else {})})
            stay.append(self.client(port, kind, context))
        self.works(*stay)
        self.assertEqual(self.connected()["one"], 6)

    def test_paths_permissions_and_origins(self):
        folder, port = temp_folder(), free_port()

        def unix(path, mode):
            return {"name": "unix", "type": "unix", "bind": str(folder / path), "mode": mode}

        def ws(**options):
            return {**tcp("ws", port), "type": "ws", **options}
        self.start(unix("a", "0600"), ws(path="/here"))
        stay = [self.client(folder / "a", "unix")]
        inode = (folder / "a").stat().st_ino
        self.reload(unix("a", "0666"), ws())
        self.assertEqual(stat.S_IMODE((folder / "a").stat().st_mode), 0o666)
        self.assertEqual((folder / "a").stat().st_ino, inode)
        stay += [self.client(folder / "a", "unix"), self.client(port, "ws")]
        self.reload(unix("b", "0600"), ws(path="/there"))
        self.assertEqual([p.name for p in folder.iterdir()], ["b"])
        self.assertRaises((Closed, OSError, AssertionError), self.client, port, "ws")
        self.works(self.client(folder / "b", "unix"), *stay)

    def test_limits_change_for_who_comes_from_now_on(self):
        port = free_port()
        self.start(tcp("one", port))
        stay = [self.client(port), self.client(port)]
        self.reload(tcp("one", port, max_connections=2, max_connect_rate=100000))
        self.turned_away(port)
        self.reload(tcp("one", port, max_connections=3, max_packet_size="1KB"))
        stay.append(self.client(port))
        self.turned_away(port)
        stay[0].publish("large", b"x" * 5000, qos=1)  # as it was when it came
        stay[2].send(m.publish("large", b"x" * 5000))
        stay.pop().expect_closed()
        self.reload(tcp("one", port, anonymous=False))
        c = self.raw(port)
        c.send(m.connect("x"))
        c.expect(m.CONNACK, code=4)
        self.reload(tcp("one", port, versions=["5"]))
        c = self.raw(port)
        c.send(m.connect("x"))
        c.expect_bytes(b"\x20\x02\x00\x01")
        self.reload(tcp("one", port, max_connect_rate=100, connect_burst=5))
        many = [self.raw(port) for _ in range(20)]
        for c in many:
            c.connect()
            c.disconnect()
        self.assertRegex(self.broker.get("/metrics")[1], r"(?m)^sluice_accept_pauses_total [1-9]")
        self.reload(tcp("one", port, proxy_protocol=True, proxy_from=["192.0.2.0/24"]))
        self.turned_away(port)
        self.reload(tcp("one", port, proxy_protocol=True))
        waits = self.raw(port)
        self.reload()
        waits.send(b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 1883\r\n")
        waits.connect("behind")
        self.works(waits, *stay)

    def test_an_address_that_is_taken_refuses_all_of_it(self):
        kept, new, folder = free_port(), free_port(), temp_folder()
        self.start(tcp("one", kept))
        stay = [self.client(kept)]
        (folder / "file").write_text("precious")
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            for last, said in ((tcp("last", taken), f"listener last: cannot listen on 127.0.0.1 port {taken}: .*choose another port"),
                               (tcp("last", self.broker.admin_port), "status pages"),
                               ({"name": "last", "type": "unix", "bind": str(folder / "file")}, "no socket"),
                               (tcp("last", new), "cannot listen on 127.0.0.1:")):
                self.broker.write_config({"rules": {"late": {"sql": "SELECT * FROM 'x'"}}})
                line = self.reload(tcp("one", kept, max_connections=1), tcp("new", new), last, said="reload refused")
                self.assertRegex(line, said)
                self.assertRegex(line, r"sluice\.yaml:\d+:\d+: (listeners\[3\]|admin)\.bind: ")
                self.assertTrue(refuses(new))
                self.assertEqual(self.broker.status()["rules"], [])
                stay.append(self.client(kept))
        self.reload(tcp("one", kept), tcp("new", new), tcp("last", taken))
        self.works(self.client(new), self.client(taken), *stay)

    def test_while_many_come(self):
        """Addresses that stay refuse nobody, whatever happens around them."""
        port, other = free_port(), free_port()
        self.start(tcp("one", port))
        over, failed = threading.Event(), []

        def come():
            while not over.is_set():
                try:
                    with Client(port) as c:
                        c.connect()
                except Exception as e:  # pylint: disable=broad-exception-caught
                    failed.append(repr(e))
                    return
        threads = [threading.Thread(target=come) for _ in range(3)]
        for t in threads:
            t.start()
        try:
            for i in range(12):
                self.reload(*[tcp("one", port, max_connections=1000 + i), tcp("two", other)][:1 + i % 2])
        finally:
            over.set()
            for t in threads:
                t.join()
        self.assertEqual(failed, [])
