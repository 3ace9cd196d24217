"""Where connections go: to servers on IPv6 addresses, and never to an address that `node.outbound` does not allow, whoever
names it: a lookup, or a server that tells of another one."""
import functools
import json
import os
import socket
import subprocess
import unittest
from pathlib import Path

import sinks
from harness.broker import SLOW, Broker, temp_folder, wait_until
from harness.client import Client
from harness.kafka_proxy import METADATA, KafkaProxy
from harness.proxy import Proxy
from harness.scrape import settle
from harness.servers import Kafka, RedisCluster, RedisSentinel, shared
from harness.servers.mongo_script import MongoScript

SINKS = (sinks.ToKafka, sinks.ToPostgres, sinks.ToRedis, sinks.ToFerretDB)
DENIED = "127.0.0.1 is in node.outbound.deny (127.0.0.1/32): not connected"


def addresses(name):
    try:
        return {a[4][0] for a in socket.getaddrinfo(name, None)}
    except OSError:
        return set()


def at(settings, host):
    """The same settings with another host."""
    return json.loads(json.dumps(settings).replace("127.0.0.1", host))


def telling(host, api, _version, body):
    """Brokers of Kafka say that they are there: text behind its length, as older and newer answers have it."""
    if api != METADATA:
        return body
    text = host.encode()
    body = body.replace(b"\x00\x09127.0.0.1", len(text).to_bytes(2, "big") + text)
    return body.replace(b"\x0a127.0.0.1", bytes([len(text) + 1]) + text)


class Proxy6(Proxy):
    host = "::1"


class KafkaProxy6(KafkaProxy):
    host = "::1"


class ProxyLocal(Proxy):
    host = "169.254.7.7"


class KafkaProxyLocal(KafkaProxy):
    host = "169.254.7.7"


class Proxy3(Proxy):
    """An address of its own, so that it is allowed while the servers' is not."""
    host = "127.0.0.3"


class Case(unittest.TestCase):
    def broker_for(self, connector, action, sql=sinks.Sink.sql, **node):
        b = Broker({"node": node, "connectors": {"far": {**connector, "reconnect": {"first": "10ms", "max": "200ms"}}},
                    "rules": {"drill": {"sql": sql, "actions": [{"connector": "far", **action}]}}})
        self.addCleanup(b.stop, check=False)
        return b

    def publish(self, broker, rows=20):
        with Client(broker.port) as c:
            c.connect("drill")
            for n in range(rows):
                c.publish("load/it", json.dumps({"c": 1, "n": n}), qos=1)

    def there(self, sink, rows=20):
        """In the order in which they came; repetitions do no harm."""
        self.assertEqual(list(dict.fromkeys(sink.arrivals())), [(1, n) for n in range(rows)])

    def deliver(self, sink, proxies, host, name, **node):
        """Over one of the proxies, which the settings and Kafka's brokers name so."""
        sink.set_up()
        server, port = sink.proxied()
        with proxies[isinstance(sink, sinks.ToKafka)](server, port) as proxy:
            proxy.spoil = functools.partial(telling, name)
            with self.broker_for(at(sink.connector(proxy.port), host), sink.action(), **node) as b:
                self.publish(b)
                settle(b, 60 * SLOW)
            self.assertGreater(proxy.connections, 0)
        self.there(sink)

    def says(self, broker, text):
        page = {}

        def said():
            page["now"] = json.dumps(broker.connector("far"))
            return text in page["now"]
        wait_until(said, 60 * SLOW, lambda: f"{text} is not in {page['now']}; {broker.log()[-2000:]}")


@unittest.skipUnless("::1" in addresses("::1") and socket.has_dualstack_ipv6(), "this machine has no IPv6")
class Ipv6(Case):
    def test_ipv6__numbers(self):
        for kind in SINKS:
            with self.subTest(kind.__name__):
                self.deliver(kind(), (Proxy6, KafkaProxy6), "[::1]", "::1")

    def name(self):
        """A name that is ::1; where this machine has none, its list of names gets one, which no other process sees."""
        known = next((n for n in ("ip6-localhost", "ip6-loopback", "localhost") if "::1" in addresses(n)), None)
        mounts = Path("/proc/self/mountinfo").read_text()
        if known or "SLUICE_INSIDE" not in os.environ or " shared:" in mounts:
            return known
        hosts = temp_folder() / "hosts"
        hosts.write_text(Path("/etc/hosts").read_text() + "\n::1 ip6-localhost\n")
        if subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=False).returncode == 0:
            self.addCleanup(subprocess.run, ["umount", "/etc/hosts"], check=False)
        return "ip6-localhost" if "::1" in addresses("ip6-localhost") else None

    def test_ipv6__names(self):
        name = self.name()
        if not name:
            self.skipTest("no name of this machine is ::1")
        for kind in SINKS:
            with self.subTest(kind.__name__):
                self.deliver(kind(), (Proxy6, KafkaProxy6), name, name)


class Outbound(Case):
    def test_outbound__the_address_of_a_name_counts_and_a_reload_opens_the_way(self):
        if "127.0.0.1" not in addresses("localhost"):
            self.skipTest("this machine does not know the name localhost")
        for kind in SINKS:
            with self.subTest(kind.__name__):
                sink = kind()
                sink.set_up()
                b = self.broker_for(at(sink.connector(), "localhost"), sink.action(), outbound={"deny": ["127.0.0.1", "::1"]})
                self.says(b, DENIED)
                self.publish(b)
                self.assertEqual(b.action("drill")["queued"], 20)
                self.assertEqual(b.action("drill")["delivered"], 0)
                b.write_config({"node": {"outbound": {}}})
                b.reload()
                settle(b, 60 * SLOW)
                self.assertNotIn("wait for a restart", b.log())
                self.there(sink)
                b.stop()

    def test_outbound__a_link_local_server_that_is_meant(self):
        if "SLUICE_INSIDE" not in os.environ or subprocess.run(["ip", "addr", "add", "169.254.7.7/32", "dev", "lo"],
                                                               check=False).returncode != 0:
            self.skipTest("no address can be added to this network")
        self.addCleanup(subprocess.run, ["ip", "addr", "del", "169.254.7.7/32", "dev", "lo"], check=False)
        for kind in SINKS:
            with self.subTest(kind.__name__):
                self.deliver(kind(), (ProxyLocal, KafkaProxyLocal), "169.254.7.7", "169.254.7.7",
                             outbound={"allow": ["169.254.7.0/24"]})

    def test_outbound__brokers_that_kafka_tells_of(self):
        kafka = shared(Kafka)
        sink = sinks.ToKafka()
        sink.set_up()
        with Proxy3(kafka.behind_proxy_port) as seed, Proxy(kafka.port, kafka.proxied_port) as told:
            connector = at(sink.connector(seed.port), seed.host)
            b = self.broker_for(connector, sink.action(), outbound={"deny": ["127.0.0.1"]})
            self.publish(b)
            self.says(b, DENIED)
            self.assertGreater(seed.connections, 0)
            self.assertEqual(told.connections, 0)
            self.assertEqual(b.action("drill")["delivered"], 0)
            b.kill()

    def test_outbound__nodes_of_a_cluster_and_the_master_of_sentinels(self):
        for kind in (RedisCluster, RedisSentinel):
            with self.subTest(kind.__name__):
                server = shared(kind)
                cluster = kind is RedisCluster
                with Proxy3((server.ports if cluster else server.sentinel_ports)[0]) as seed:
                    mode = {"mode": "cluster"} if cluster else {"mode": "sentinel", "master": "mymaster"}
                    connector = {"type": "redis", "servers": [f"{seed.host}:{seed.port}"], **mode}
                    b = self.broker_for(connector, {"command": ["SET", "k:${n}", "1"]}, outbound={"deny": ["127.0.0.1"]})
                    self.publish(b)
                    self.says(b, DENIED)
                    self.assertGreater(seed.connections, 0)
                    self.assertEqual(b.action("drill")["delivered"], 0)
                    b.kill()

    def test_outbound__a_member_that_is_not_to_be_reached_does_not_keep_from_the_primary(self):
        """Denied, or down: libmongoc meets it while it reads the primary's answer."""
        for other in ("169.254.169.254:1", "127.0.0.1:1"):
            with self.subTest(other), MongoScript(lambda command, conn: {"ok": 1, "n": len(command["documents"])}) as server:
                server.others = [other]
                b = self.broker_for({"type": "mongodb", "url": server.url(), "database": "d"}, {"collection": "c"})
                self.publish(b)
                settle(b, 60 * SLOW)
                self.assertEqual(sum(len(c["documents"]) for c in server.commands if "insert" in c), 20)
                b.stop()

    def test_outbound__members_of_a_replica_set(self):
        with MongoScript(lambda command, conn: {"ok": 1, "n": 1}) as server, Proxy3(server.port) as seed:
            connector = {"type": "mongodb", "url": f"mongodb://{seed.host}:{seed.port}/?replicaSet=rs0", "database": "d",
                         "server_selection_timeout": "1s"}
            b = self.broker_for(connector, {"collection": "c"}, outbound={"deny": ["127.0.0.1"]})
            self.publish(b)
            self.says(b, DENIED)
            self.assertGreater(seed.connections, 0)
            self.assertEqual(server.commands, [])
            b.kill()
