"""Redis 7, from Debian's package: one server, a Cluster of three, Sentinel with a failover."""
import socket
import time

from ..broker import PATIENCE_S, wait_until
from .base import Server, TestCa, run


class RespError(Exception):
    """An error that the server answered."""


class Resp:
    """A connection that speaks RESP2: what the tests use to look into a server, binary-safe."""

    def __init__(self, port, user=None, password=None, timeout=PATIENCE_S):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.sock.makefile("rb")
        if password:
            self.command("AUTH", *([user] if user else []), password)

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def command(self, *words):
        """The answer: bytes, int, None or a list of them; an error raises RespError."""
        self.send(*words)
        answer = self.read()
        if isinstance(answer, RespError):
            raise answer
        return answer

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RespError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise ConnectionError(f"not RESP: {line!r}")


def _answers(port):
    try:
        with Resp(port, timeout=1.0) as r:
            r.send("PING")
            return r.read() == b"PONG"
    except OSError:
        return False


class Redis(Server):
    """Users: default (off), alice / pw1 (everything), ro / pw2 (reads only), narrow / pw3 (keys n:*, only XADD, SET, PING).
    Plain on `port`, TLS on `tls_port` (a client certificate may be shown). Every write is on disk before its answer."""
    name, port, tls_port = "redis", 16379, 16380
    login = ("alice", "pw1")

    def command(self):
        ca = TestCa.shared()
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                "--appendonly", "yes", "--appendfsync", "always", "--tls-port", str(self.tls_port),
                "--tls-cert-file", ca.path("server.pem"), "--tls-key-file", ca.path("server.key"),
                "--tls-ca-cert-file", ca.path("ca.pem"), "--tls-auth-clients", "optional",
                "--user", "default", "off", "--user", "alice", "on", ">pw1", "~*", "&*", "+@all",
                "--user", "ro", "on", ">pw2", "~*", "+@read",
                "--user", "narrow", "on", ">pw3", "~n:*", "+xadd", "+set", "+ping"]

    def ready(self):
        """Without a login it answers before its data are loaded."""
        try:
            return self.execute("PING") == b"PONG"
        except (OSError, RespError):
            return False

    def client(self):
        return Resp(self.port, *self.login)

    def execute(self, *words):
        with self.client() as c:
            return c.command(*words)

    def url(self, user="alice", password="pw1", tls=False):
        login = f"{user}:{password}@" if user else ""
        return f"redis{'s' if tls else ''}://{login}127.0.0.1:{self.tls_port if tls else self.port}"

    def env(self):
        return {"REDIS_URL": self.url(), "REDIS_TLS_URL": self.url(tls=True), "REDIS_CA": TestCa.shared().path("ca.pem")}


class _Node(Server):
    """A server without login that belongs to a group; the group says how it is called."""

    def __init__(self, name, port, *options, config=None):
        self.name, self.port = name, port
        super().__init__()
        self.options, self.config = options, config

    def prepare(self):
        if self.config:
            (self.folder / "node.conf").write_text("\n".join([f"port {self.port}", "bind 127.0.0.1",
                                                              f"dir {self.folder}", *self.config]) + "\n")

    def command(self):
        if self.config:
            return ["redis-server", str(self.folder / "node.conf"), *self.options]
        return ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                "--appendonly", "yes", "--appendfsync", "always", *self.options]

    def ready(self):
        return _answers(self.port)

    def execute(self, *words):
        with Resp(self.port) as c:
            return c.command(*words)


class _Group:
    """Several processes that are one server."""
    nodes = ()

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    process = property(lambda self: self.nodes)

    def alive(self):
        return all(n.alive() for n in self.nodes)

    def start(self):
        return self.launch().wait_ready()

    def launch(self):
        for node in self.nodes:
            if not node.alive():
                node.launch()
        return self

    def stop(self):
        for node in self.nodes:
            node.stop()

    def restart(self):
        for node in self.nodes:
            if not node.alive():
                node.restart()
        return self.wait_ready()

    def wait_ready(self):
        for node in self.nodes:
            node.wait_ready()
        self.form()
        deadline = time.monotonic() + PATIENCE_S
        while not self.formed():
            assert time.monotonic() < deadline, f"the {self.name} does not come together"
            time.sleep(0.05)
        return self

    def form(self):
        """Brings the nodes together, the first time."""

    def formed(self):
        return True


class RedisCluster(_Group):
    """Three masters without login, on `ports`; kill one with nodes[i].kill9(). `replicas` 1: three more nodes follow them."""
    name, ports = "cluster", (17001, 17002, 17003)
    port = ports[0]

    def __init__(self, ports=None, replicas=0):
        self.ports, self.replicas = tuple(ports or self.ports), replicas
        self.nodes = [self.make_node(p) for p in self.ports]
        self._joined = False

    def make_node(self, port):
        return _Node(f"cluster{port}", port, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
                     "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0")

    def manage(self, *words):
        """redis-cli --cluster: add-node, reshard, rebalance and the like."""
        return run("redis-cli", "--cluster", *words, "--cluster-yes")

    def form(self):
        if not self._joined:
            self.manage("create", *[f"127.0.0.1:{p}" for p in self.ports], "--cluster-replicas", self.replicas)
            self._joined = True

    def formed(self):
        return all(b"cluster_state:ok" in n.execute("CLUSTER", "INFO") for n in self.nodes) and \
            (not self.replicas or not self.lonely())

    def lonely(self):
        """Masters whose replicas are away, replicas that do not follow."""
        roles = [n.execute("ROLE") for n in self.nodes if n.alive()]
        return [r for r in roles if (len(r[2]) < self.replicas if r[0] == b"master" else r[3] != b"connected")]

    def node_of(self, key):
        """Index of the node that holds this key's slot, as the first living node knows it."""
        asked = next(n for n in self.nodes if n.alive())
        return self._owner(asked, asked.execute("CLUSTER", "KEYSLOT", key))

    def _owner(self, asked, slot):
        for first, last, master, *_ in asked.execute("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self.ports.index(master[1])
        raise AssertionError(f"slot {slot} belongs to nobody")

    def start_moving(self, slot, source, target):
        """Slot is on its way from node to node: keys that are not at the source any more are answered with ASK."""
        ids = [n.execute("CLUSTER", "MYID") for n in self.nodes]
        self.nodes[target].execute("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        self.nodes[source].execute("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])

    def _epochs_agree(self):
        infos = [dict(line.split(b":") for line in n.execute("CLUSTER", "INFO").split()) for n in self.nodes if n.alive()]
        return len({i[b"cluster_current_epoch"] for i in infos}) == 1 and len({i[b"cluster_my_epoch"] for i in infos}) == len(infos)

    def finish_moving(self, slot, source, target):
        """Moves what keys are left, and tells all nodes who has the slot now: MOVED from here on."""
        # The target claims the slot with the highest epoch that it knows of. Did it not know of the source's, a claim of the source
        # that is still on its way would count more: the target would give the slot back, and delete its keys.
        wait_until(self._epochs_agree, message="the nodes do not agree on the cluster's epoch")
        while keys := self.nodes[source].execute("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.nodes[source].execute("MIGRATE", "127.0.0.1", self.ports[target], "", 0, 5000, "KEYS", *keys)
        owner = self.nodes[target].execute("CLUSTER", "MYID")
        for i in [target, source] + [i for i in range(len(self.nodes)) if i not in (target, source)]:
            self.nodes[i].execute("CLUSTER", "SETSLOT", slot, "NODE", owner)
        # What nodes hear of each other may be older than that, and undo it.
        deadline = time.monotonic() + PATIENCE_S
        while wrong := [n for n in self.nodes if self._owner(n, slot) != target]:
            assert time.monotonic() < deadline, f"the nodes do not agree on slot {slot}"
            for node in wrong:
                node.execute("CLUSTER", "SETSLOT", slot, "NODE", owner)
            time.sleep(0.05)

    def env(self):
        return {"REDIS_CLUSTER": ",".join(f"127.0.0.1:{p}" for p in self.ports)}


class RedisSentinel(_Group):
    """A master, a replica and three sentinels that call the master `mymaster`; a failover takes 2 s. No login."""
    name, sentinel_ports, port = "sentinel", (17111, 17112, 17113), 17101

    def __init__(self):
        self.servers = [_Node("master", 17101, "--repl-diskless-sync-delay", "0"),
                        _Node("replica", 17102, "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", "17101")]
        watch = ["sentinel monitor mymaster 127.0.0.1 17101 2", "sentinel down-after-milliseconds mymaster 500",
                 "sentinel failover-timeout mymaster 2000"]
        self.sentinels = [_Node(f"sentinel{i}", p, "--sentinel", config=watch) for i, p in enumerate(self.sentinel_ports)]
        self.nodes = [*self.servers, *self.sentinels]

    def launch(self):
        """The replica first finds its master: a sentinel looks for replicas only every 10 s."""
        for node in self.servers:
            if not node.alive():
                node.launch()
        for node in self.servers:
            node.wait_ready()
        deadline = time.monotonic() + PATIENCE_S
        while not any(b"state=online" in n.execute("INFO", "replication") for n in self.servers):
            assert time.monotonic() < deadline, "the replica does not find its master"
            time.sleep(0.05)
        return super().launch()

    def formed(self):
        def fine(sentinel):
            try:
                known = sentinel.execute("SENTINEL", "REPLICAS", "mymaster")
                return known and b"OK 3 usable" in sentinel.execute("SENTINEL", "CKQUORUM", "mymaster")
            except RespError:
                return False
        return all(fine(s) for s in self.sentinels)

    def master_port(self):
        """Where the master is, as the first sentinel that answers knows."""
        for sentinel in self.sentinels:
            if sentinel.alive():
                return int(sentinel.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1])
        raise AssertionError("no sentinel is alive")

    def named(self):
        """The ports that any of the sentinels has for the master: two while they do not agree."""
        return {int(s.execute("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster")[1]) for s in self.sentinels if s.alive()}

    def changing(self):
        """Whether one of the sentinels is about to make another server master, or holds this one for dead."""
        told = b" ".join(b",".join(s.execute("SENTINEL", "MASTER", "mymaster")) for s in self.sentinels if s.alive())
        return b"failover" in told.replace(b"failover-timeout", b"") or b"o_down" in told

    def follow(self):
        """An old master that came back hears of the new one at once; sentinels would tell it some ten seconds later."""
        for server in self.servers:
            if server.port != self.master_port():
                server.execute("REPLICAOF", "127.0.0.1", self.master_port())

    def master(self):
        port = self.master_port()
        return next(n for n in self.servers if n.port == port)

    def env(self):
        return {"REDIS_SENTINELS": ",".join(f"127.0.0.1:{p}" for p in self.sentinel_ports), "REDIS_MASTER": "mymaster"}
