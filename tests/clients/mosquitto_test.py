"""Debian's mosquitto_pub and mosquitto_sub talk to the broker, in 3.1.1 and 5.0."""
import itertools
import subprocess
import time
import unittest

from everywhere import Everywhere
from harness.broker import Broker, free_port, temp_folder
from harness.pki import Pki

_numbers = itertools.count(1)


class MosquittoCases:
    version = ""
    config = {}

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def setUp(self):
        self.t = f"clients/{next(_numbers)}"

    def address(self):
        return ["-h", "127.0.0.1", "-p", str(self.broker.port), "-V", self.version]

    def sub(self, count, *args, wait=True):
        """A subscriber that ends after `count` messages; it is subscribed when this returns. It would keep its
        SUBACK line in a buffer; stdbuf makes it speak at once."""
        s = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *self.address(), "-C", str(count), "-W", "90", "-d", *args],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(s.stdout.close)
        self.addCleanup(s.wait)
        self.addCleanup(s.kill)
        while wait and "received SUBACK" not in (line := s.stdout.readline()):
            self.assertTrue(line, "mosquitto_sub ended before it was subscribed")
        return s

    def lines(self, s):
        """What it printed, without its debug lines."""
        out = s.stdout.read().splitlines()
        s.wait()
        self.assertEqual(s.returncode, 0, out)
        return [line for line in out if not line.startswith(("Client ", "Subscribed "))]

    def pub(self, *args, stdin=None):
        subprocess.run(["mosquitto_pub", *self.address(), *args], input=stdin, text=True, timeout=90, check=True)

    def round_trip(self, qos):
        s = self.sub(1, "-t", self.t, "-q", str(qos), "-F", "%q %r %t %p")
        self.pub("-t", self.t, "-q", str(qos), "-m", "hello world")
        self.assertEqual(self.lines(s), [f"{qos} 0 {self.t} hello world"])

    def test_qos0__round_trip(self):
        self.round_trip(0)

    def test_qos1__round_trip(self):
        self.round_trip(1)

    def test_qos2__round_trip(self):
        self.round_trip(2)

    def test_many_lines__arrive_in_order(self):
        s = self.sub(200, "-t", self.t, "-q", "1")
        self.pub("-t", self.t, "-q", "1", "-l", stdin="".join(f"{i}\n" for i in range(200)))
        self.assertEqual(self.lines(s), [str(i) for i in range(200)])

    def test_retained__reaches_a_late_subscriber_and_can_be_removed(self):
        self.pub("-t", self.t, "-q", "1", "-r", "-m", "kept")
        self.assertEqual(self.lines(self.sub(1, "-t", self.t, "-F", "%r %p")), ["1 kept"])
        self.pub("-t", self.t, "-q", "1", "-r", "-n")
        s = self.sub(1, "-t", self.t, "-F", "%r %p")
        self.pub("-t", self.t, "-q", "1", "-m", "live")
        self.assertEqual(self.lines(s), ["0 live"])

    def test_wildcards__plus_and_hash(self):
        s = self.sub(3, "-t", f"{self.t}/+/b", "-t", f"{self.t}/x/#", "-F", "%t")
        for topic in ("a/b", "a/c", "x/y/z", "x"):
            self.pub("-t", f"{self.t}/{topic}", "-q", "1", "-m", "1")
        self.assertEqual(self.lines(s), [f"{self.t}/{topic}" for topic in ("a/b", "x/y/z", "x")])

    def test_will__is_sent_when_the_client_is_killed(self):
        s = self.sub(1, "-t", self.t)
        victim = self.sub(1, "-t", self.t + "/nothing", "--will-topic", self.t, "--will-payload", "gone",
                          "--will-qos", "1")
        victim.kill()
        self.assertEqual(self.lines(s), ["gone"])

    def test_shared__two_subscribers_share_the_messages(self):
        two = [self.sub(10, "-t", f"$share/g/{self.t}", "-q", "1") for _ in range(2)]
        self.pub("-t", self.t, "-q", "1", "-l", stdin="".join(f"{i}\n" for i in range(20)))
        got = [self.lines(s) for s in two]
        self.assertEqual(sorted(sum(got, []), key=int), [str(i) for i in range(20)])

    def test_session__keeps_messages_for_an_absent_client(self):
        name = ["-i", f"keeper{next(_numbers)}{self.version}", "-q", "1", "-t", self.t]
        keep = ["-c", "-x", "300"] if self.version == "mqttv5" else ["-c"]
        first = self.sub(1, *name, *keep)
        first.kill()  # told to end in the wrong moment, it never does
        first.wait()
        time.sleep(0.1)
        self.pub("-t", self.t, "-q", "1", "-m", "while you were away")
        self.assertEqual(self.lines(self.sub(1, *name, *keep, wait=False)), ["while you were away"])


class MosquittoMutual(MosquittoCases, unittest.TestCase):
    """Over TLS, with a certificate of its own; and with a pre-shared key."""
    version = "mqttv5"

    @classmethod
    def setUpClass(cls):
        cls.pki, cls.port = Pki(temp_folder()), free_port()
        cls.pki.make("device")
        (cls.pki.folder / "psk.txt").write_text("device:000102030405060708090a0b0c0d0e0f\n")
        cls.broker = Broker(start=False)
        cls.broker.write_config({"listeners": cls.broker.config["listeners"] + [
            {"name": "mqtts", "type": "tls", "bind": f"127.0.0.1:{cls.port}",
             "tls": {"cert": cls.pki.path("server.pem"), "key": cls.pki.path("server.key"), "ca": cls.pki.path("ca.pem"),
                     "verify_peer": "required", "psk_file": cls.pki.path("psk.txt")}}]})
        cls.broker.start()

    def address(self):
        return ["-h", "localhost", "-p", str(self.port), "-V", self.version, "--cafile", self.pki.path("ca.pem"),
                "--cert", self.pki.path("device.pem"), "--key", self.pki.path("device.key")]

    def test_psk__round_trip(self):
        s = self.sub(2, "-t", self.t)
        for version in ("tlsv1.2", "tlsv1.3"):
            subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", str(self.port), "-V", self.version, "--psk",
                            "000102030405060708090a0b0c0d0e0f", "--psk-identity", "device", "--tls-version", version,
                            "-t", self.t, "-q", "1", "-m", version], timeout=90, check=True)
        self.assertEqual(self.lines(s), ["tlsv1.2", "tlsv1.3"])


class MosquittoV311(MosquittoCases, unittest.TestCase):
    version = "mqttv311"


class MosquittoV5(MosquittoCases, unittest.TestCase):
    version = "mqttv5"
    config = {"rules": {"made": {"sql": "SELECT payload AS text FROM \"told\"", "actions": [{"republish": {
        "topic": "made", "payload": "${text}", "payload_format": 1, "message_expiry": "1m", "content_type": "text/plain",
        "response_topic": "answer/${text}", "correlation_data": "${pub_props.'Correlation-Data'}",
        "user_properties": "${pub_props.'User-Property'}"}}]}}}

    def test_properties__pass_from_pub_to_sub(self):
        s = self.sub(1, "-t", self.t, "-F", "%C|%R|%D|%P|%p")
        self.pub("-t", self.t, "-q", "1", "-m", "x", "-D", "publish", "content-type", "text/plain",
                 "-D", "publish", "response-topic", "answer", "-D", "publish", "correlation-data", "corr",
                 "-D", "publish", "user-property", "key", "value")
        self.assertEqual(self.lines(s), ["text/plain|answer|corr|key:value|x"])

    def test_properties__of_a_message_that_a_rule_made(self):
        s = self.sub(1, "-t", "made", "-F", "%C|%R|%D|%F|%E|%P|%p")
        self.pub("-t", "told", "-q", "1", "-m", "x", "-D", "publish", "correlation-data", "corr",
                 "-D", "publish", "user-property", "key", "value")
        self.assertEqual(self.lines(s), ["text/plain|answer/x|corr|1|60|key:value|x"])

    def test_topic_alias__of_the_publisher_is_understood(self):
        s = self.sub(3, "-t", self.t, "-q", "1")
        self.pub("-t", self.t, "-q", "1", "-l", "-D", "publish", "topic-alias", "3", stdin="a\nb\nc\n")
        self.assertEqual(self.lines(s), ["a", "b", "c"])


class MosquittoOverUnix(MosquittoCases, unittest.TestCase):
    """Over a unix socket; Debian's have no WebSocket."""
    version = "mqttv311"

    @classmethod
    def setUpClass(cls):
        cls.everywhere = Everywhere()
        cls.broker = cls.everywhere.broker

    def address(self):
        return ["--unix", self.everywhere.socket, "-V", self.version]

    def test_large__a_message_of_300_KB(self):
        s = self.sub(1, "-t", self.t, "-q", "1", "-F", "%l")
        self.pub("-t", self.t, "-q", "1", "-s", stdin="x" * 300000)
        self.assertEqual(self.lines(s), ["300000"])
