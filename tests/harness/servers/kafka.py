"""Apache Kafka 3.9.1 (KRaft, one node) from the jars that tests/servers/fetch.sh downloads."""
import collections
import re
import socket
import struct
import subprocess
import time

from ..broker import PATIENCE_S
from .base import Server, TestCa, fetched, run

JARS = "kafka-3.9.1"
JAVA = ["java", "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
CLUSTER_ID = "MkU3OEVBNTcwNTJENDM2Qg"
SECURITY = "org.apache.kafka.common.security"

Record = collections.namedtuple("Record", "partition offset timestamp key value headers")


class KafkaError(Exception):
    """An error code in an answer."""


# ---- As much of the protocol as the tests need without a library -----------------------------------------------

def _text(s):
    return struct.pack(">h", -1) if s is None else struct.pack(">h", len(s.encode())) + s.encode()


def _array(items):
    items = list(items)
    return struct.pack(">i", len(items)) + b"".join(items)


class _Answer:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length:self.at].decode()

    def array(self, read):
        return [read() for _ in range(max(self.take("i"), 0))]


def request(port, api, version, body, timeout=PATIENCE_S):
    """One request on a connection of its own; the answer without its header."""
    packet = struct.pack(">hhi", api, version, 1) + _text("tests") + body
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(struct.pack(">i", len(packet)) + packet)
        with s.makefile("rb") as f:
            head = f.read(4)
            if len(head) < 4:
                raise ConnectionError("the broker closed the connection")
            return _Answer(f.read(struct.unpack(">i", head)[0])[4:])


class Kafka(Server):
    """Listeners: `port` plain, `sasl_port` SASL_PLAINTEXT, `tls_port` TLS (a client certificate is asked for, not
    demanded), `sasl_tls_port` SASL over TLS. Users: alice / pw1 (PLAIN), bob / pw2 (SCRAM-SHA-256), carol / pw3
    (SCRAM-SHA-512). The broker tells
    clients of `behind_proxy_port` to come to `proxied_port`: put a proxy there. Topics are not created by using them."""
    name, start_limit_s = "kafka", 240.0
    port, controller_port, sasl_port, tls_port, sasl_tls_port = 19092, 19093, 19094, 19095, 19096
    behind_proxy_port, proxied_port = 19097, 19098

    def __init__(self, folder=None):
        super().__init__(folder)
        self.jars = fetched(JARS)

    def prepare(self):
        ca = TestCa.shared()
        listeners = {"PLAINTEXT": self.port, "SASL_PLAINTEXT": self.sasl_port, "SSL": self.tls_port,
                     "SASL_SSL": self.sasl_tls_port, "PROXIED": self.behind_proxy_port}
        where = {name: f"{name}://127.0.0.1:{port}" for name, port in listeners.items()}
        told = {**where, "PROXIED": f"PROXIED://127.0.0.1:{self.proxied_port}"}
        kinds = {"CONTROLLER": "PLAINTEXT", "PROXIED": "PLAINTEXT", **{n: n for n in listeners if n != "PROXIED"}}
        settings = {
            "process.roles": "broker,controller", "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}", "log.dirs": self.folder / "data",
            "listeners": ",".join([*where.values(), f"CONTROLLER://127.0.0.1:{self.controller_port}"]),
            "advertised.listeners": ",".join(told.values()),
            "listener.security.protocol.map": ",".join(f"{k}:{v}" for k, v in kinds.items()),
            "controller.listener.names": "CONTROLLER", "inter.broker.listener.name": "PLAINTEXT",
            "auto.create.topics.enable": "false", "offsets.topic.replication.factor": 1, "offsets.topic.num.partitions": 1,
            "group.initial.rebalance.delay.ms": 0, "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1, "transaction.state.log.num.partitions": 1,
            # A restart after a kill takes 2-4 s with these, 15 s without.
            "broker.session.timeout.ms": 1500, "broker.heartbeat.interval.ms": 300,
            # The broker removes what is older than a week by its own timestamp, and tests send rows of long ago.
            "log.retention.ms": -1,
            # Everybody may do everything, until somebody gets a right (grant).
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS", "allow.everyone.if.no.acl.found": "true",
            "log.cleaner.backoff.ms": 200, "log.cleaner.dedupe.buffer.size": 4194304,
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER", "ssl.client.auth": "requested",
            "ssl.keystore.type": "PEM", "ssl.keystore.location": ca.path("server-all.pem"),
            "ssl.truststore.type": "PEM", "ssl.truststore.location": ca.path("ca.pem"),
        }
        for listener in ("sasl_plaintext", "sasl_ssl"):
            settings[f"listener.name.{listener}.plain.sasl.jaas.config"] = \
                f'{SECURITY}.plain.PlainLoginModule required user_alice="pw1";'
            for size in (256, 512):
                settings[f"listener.name.{listener}.scram-sha-{size}.sasl.jaas.config"] = \
                    f"{SECURITY}.scram.ScramLoginModule required;"
            # Tokens without a signature, which Kafka's own handler takes: {"alg":"none"}.
            settings[f"listener.name.{listener}.oauthbearer.sasl.jaas.config"] = \
                f'{SECURITY}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        (self.folder / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def command(self):
        java = [*JAVA, "-cp", f"{self.jars}/*"]
        settings = str(self.folder / "server.properties")
        if self._prepared:
            return [*java, "kafka.Kafka", settings]
        # Formatting takes seconds too; in one command with the start nobody waits for it.
        words = [*java, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "--ignore-formatted", "-c", settings, "--add-scram",
                 "SCRAM-SHA-256=[name=bob,password=pw2]", "--add-scram", "SCRAM-SHA-512=[name=carol,password=pw3]"]
        script = '"$0" "$@" && exec ' + " ".join(f"'{w}'" for w in [*java, "kafka.Kafka", settings])
        return ["sh", "-c", script, *words]

    def ready(self):
        """An open port is not enough: the broker must know itself."""
        try:
            answer = request(self.port, 3, 1, struct.pack(">i", 0), timeout=2.0)
        except (OSError, struct.error):
            return False
        brokers = answer.array(lambda: (answer.take("i"), answer.text(), answer.take("i"), answer.text()))
        return len(brokers) == 1 and answer.take("i") >= 0

    def env(self):
        return {"KAFKA_BROKERS": f"127.0.0.1:{self.port}"}

    # ---- Looking inside ----

    def create_topic(self, topic, partitions=1, **config):
        """config: max_message_bytes=1000 and the like; returns when the topic can be written."""
        options = _array(_text(k.replace("_", ".")) + _text(str(v)) for k, v in config.items())
        body = _array([_text(topic) + struct.pack(">ih", partitions, 1) + _array([]) + options])
        answer = request(self.port, 19, 2, body + struct.pack(">i?", 60000, False))
        answer.take("i")
        for name, code, text in answer.array(lambda: (answer.text(), answer.take("h"), answer.text())):
            if code:
                raise KafkaError(f"{name}: error {code}: {text}")
        deadline = time.monotonic() + PATIENCE_S
        while self.partitions(topic) != partitions:
            assert time.monotonic() < deadline, f"topic {topic} has no leaders"
            time.sleep(0.02)

    def delete_topic(self, topic):
        request(self.port, 20, 1, _array([_text(topic)]) + struct.pack(">i", 60000))

    def grant(self, user, topic, *operations):
        """From now on only these users may do only these things to the topic; ANONYMOUS (`port`) may do everything."""
        numbers = {"read": 3, "write": 4, "describe": 8}
        entries = _array(struct.pack(">b", 2) + _text(topic) + struct.pack(">b", 3) + _text(f"User:{user}") + _text("*") +
                         struct.pack(">bb", numbers[o], 3) for o in operations)
        answer = request(self.port, 30, 1, entries)
        answer.take("i")
        failed = [text for code, text in answer.array(lambda: (answer.take("h"), answer.text())) if code]
        if failed:
            raise KafkaError(f"no rights for {user}: {failed[0]}")

    def add_partitions(self, topic, count):
        """So that it has that many."""
        body = _array([_text(topic) + struct.pack(">ii", count, -1)]) + struct.pack(">ib", 60000, 0)
        answer = request(self.port, 37, 0, body)
        answer.take("i")
        failed = [code for _, code, _ in answer.array(lambda: (answer.text(), answer.take("h"), answer.text())) if code]
        if failed:
            raise KafkaError(f"partitions cannot be added to {topic}: error {failed[0]}")

    def fresh_topic(self, topic, partitions=1, **config):
        """An empty topic of this name, whatever was there before."""
        self.delete_topic(topic)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.create_topic(topic, partitions, **config)
            except KafkaError:  # the old one is still on its way out
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def partitions(self, topic):
        """How many partitions have a leader; 0 for a topic that is not there."""
        a = request(self.port, 3, 1, _array([_text(topic)]))
        a.array(lambda: (a.take("i"), a.text(), a.take("i"), a.text()))
        a.take("i")

        def partition():
            error, _, leader = a.take("h"), a.take("i"), a.take("i")
            a.array(lambda: a.take("i"))
            a.array(lambda: a.take("i"))
            return not error and leader >= 0
        topics = a.array(lambda: (a.take("h"), a.text(), a.take("?"), a.array(partition)))
        return sum(topics[0][3])

    def end_offsets(self, topic):
        """The next offset of each partition."""
        count = self.partitions(topic)
        wanted = _array(struct.pack(">iq", p, -1) for p in range(count))
        a = request(self.port, 2, 1, struct.pack(">i", -1) + _array([_text(topic) + wanted]))
        found = a.array(lambda: (a.text(), a.array(lambda: (a.take("i"), a.take("h"), a.take("q"), a.take("q")))))
        return [offset for _, _, _, offset in sorted(found[0][1])]

    def committed(self, group, topic):
        """The committed offset of each partition, -1 where there is none."""
        count = self.partitions(topic)
        wanted = _array([_text(topic) + _array(struct.pack(">i", p) for p in range(count))])
        deadline = time.monotonic() + PATIENCE_S
        while True:
            a = request(self.port, 9, 2, _text(group) + wanted)
            found = a.array(lambda: (a.text(), a.array(lambda: (a.take("i"), a.take("q"), a.text(), a.take("h")))))
            error = a.take("h")
            if not error:
                return [offset for _, offset, _, _ in sorted(found[0][1])]
            if error not in (14, 15, 16) or time.monotonic() > deadline:  # these say: the coordinator is not ready yet
                raise KafkaError(f"error {error} for group {group}")
            if error != 14:
                request(self.port, 10, 0, _text(group))  # asking who coordinates makes it somebody's task
            time.sleep(0.05)

    def records(self, topic, *options):
        """All records of a topic, by partition and offset; key and value are bytes or None, headers "a=1,b=2"."""
        # As bytes: text would lose the difference between line ends.
        done = subprocess.run(["kcat", "-b", f"127.0.0.1:{self.port}", "-C", "-e", "-q", "-t", topic, *options, "-f",
                               r"%p %o %T %K %S\n%k\n%s\n%h\n"], capture_output=True, timeout=300, check=True)
        out = done.stdout.decode("latin-1")
        found, at = [], 0
        while at < len(out):
            end = out.index("\n", at)
            partition, offset, stamp, keys, values = map(int, out[at:end].split())
            at = end + 1
            key, at = out[at:at + max(keys, 0)], at + max(keys, 0) + 1
            value, at = out[at:at + max(values, 0)], at + max(values, 0) + 1
            end = out.index("\n", at)
            found.append(Record(partition, offset, stamp, None if keys < 0 else key.encode("latin-1"),
                                None if values < 0 else value.encode("latin-1"), out[at:end]))
            at = end + 1
        return sorted(found)

    def produce(self, topic, *values, key=None, options=()):
        """Values (text without newlines) one after another."""
        flags = ["-K", "\t"] if key is not None else []
        lines = "".join((f"{key}\t" if key is not None else "") + v + "\n" for v in values)
        run("kcat", "-b", f"127.0.0.1:{self.port}", "-P", "-t", topic, *flags, *options, input=lines)

    def warm_up(self):
        """The first idempotent producer of a broker waits up to a second for a coordinator; let it be ours."""
        self.fresh_topic("warm-up")
        self.produce("warm-up", "x", options=["-X", "enable.idempotence=true"])

    def errors(self):
        """Lines of the log that complain."""
        return [line for line in self.log().splitlines() if re.search(r"\b(ERROR|FATAL)\b", line)]
