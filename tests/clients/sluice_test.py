"""The program's own client commands against its broker: `sluice pub`, `sluice sub`, `sluice bench`."""
import itertools
import json
import re
import subprocess
import threading
import time
import unittest

from harness.broker import BIN, SLOW, Broker, run_program, wait_until

_numbers = itertools.count(1)


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def setUp(self):
        self.t = f"own/{next(_numbers)}"

    def run_command(self, command, *args, stdin=None, expect=0):
        done = run_program(command, "-p", str(self.broker.port), *args, stdin=stdin, timeout=90 * SLOW)
        self.assertEqual(done.returncode, expect, done.stderr)
        return done

    def sub(self, count, *args):
        """A subscriber that ends after `count` messages; it is subscribed when this returns."""
        s = subprocess.Popen([BIN, "sub", "-p", str(self.broker.port), "-c", str(count), "-W", str(60 * SLOW), "--ready",
                              *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(s.stdout.close)
        self.addCleanup(s.stderr.close)
        self.addCleanup(s.wait)
        self.addCleanup(s.kill)
        self.assertEqual(s.stderr.readline(), "subscribed\n")
        return s

    def round_trip(self, version, qos):
        s = self.sub(2, "-t", self.t + "/#", "-q", qos, "-V", version, "-v")
        done = self.run_command("pub", "--topic-lines", "-q", qos, "-V", version,
                                stdin=f"{self.t}/a one\n{self.t} two words\n")
        self.assertTrue(done.stdout.startswith("2 sent, 2 acknowledged"), done.stdout)
        self.assertEqual(s.stdout.read(), f"{self.t}/a one\n{self.t} two words\n")

    def test_pub_sub__both_versions_and_every_qos(self):
        for version, qos in itertools.product(("3.1.1", "5"), "012"):
            with self.subTest(version=version, qos=qos):
                self.round_trip(version, qos)

    def test_sub__json_tells_properties_and_bytes(self):
        s = self.sub(1, "-t", self.t, "--format", "json")
        self.run_command("pub", "-t", self.t, "-m", 'say "x"', "--user-property", "k=v")
        message = json.loads(s.stdout.read())
        self.assertEqual((message["topic"], message["payload"]), (self.t, 'say "x"'))
        self.assertEqual(message["properties"], [{"name": "user property", "key": "k", "value": "v"}])

    def test_sub__a_kept_session_brings_what_was_missed(self):
        keep = ["-t", self.t, "-q", "1", "-i", "keeper", "--disable-clean"]
        first = self.sub(1, *keep)
        first.terminate()
        first.wait()
        self.run_command("pub", "-t", self.t, "-q", "1", "-m", "while away")
        self.assertEqual(self.run_command("sub", *keep, "-c", "1", "-W", "60").stdout, "while away\n")

    def test_sub__too_few_in_time_is_exit_code_1(self):
        self.assertIn("0 of 3 messages", self.run_command("sub", "-t", self.t, "-c", "3", "-W", "1", expect=1).stderr)

    def test_pub__mistakes_are_told(self):
        self.run_command("pub", "-t", "a/#", "-m", "x", expect=1)
        self.run_command("pub", "-t", "a", expect=2)
        self.assertIn("did you mean --topic", self.run_command("pub", "--tpic", "a", expect=2).stderr)

    def test_bench__nothing_is_lost_in_any_scenario(self):
        for words in ("fanin", "fanin -q 1", "pairs -q 1 -V 5", "pairs -q 2", "fanout --subs 20 -n 200",
                      "wild --filters 100", "sink -q 1", "pairs --rate 2000 -n 500", "idle --subs 50 --hold 1"):
            with self.subTest(words=words):
                args = words.split()
                if "-n" not in args:
                    args += ["-n", "3000"]
                result = json.loads(self.run_command("bench", *args, "--json").stdout)
                self.assertEqual([result[k] for k in ("lost", "repeated", "out_of_order", "refused")], [0] * 4)

    def test_bench__what_is_not_known_of_the_broker_is_not_zero(self):
        asked = {"broker_cpu_s", "broker_cpu_s_per_million", "connect_cpu_us", "rss_bytes_per_connection", "rss_bytes_per_filter", "rss_bytes"}
        for pid in ([], ["--broker-pid", str(self.broker.process.pid)]):
            with self.subTest(pid=pid):
                words = ["bench", "fanin", "-n", "2000", *pid]
                result = json.loads(self.run_command(*words, "--json").stdout)
                self.assertEqual({name for name, value in result.items() if value is None}, set() if pid else asked)
                said = self.run_command(*words).stdout
                self.assertEqual(len(re.findall(r"^  (?:broker|connect|RSS) .*  - \(needs --broker-pid", said, re.M)), 0 if pid else len(asked), said)


class Reconnect(unittest.TestCase):
    def test_pub__a_broker_that_is_killed_and_comes_back_gets_the_rest(self):
        with Broker() as broker:
            publisher = subprocess.Popen([BIN, "pub", "-p", str(broker.port), "-t", "t", "-q", "1", "-l", "--reconnect"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            back = threading.Event()
            self.addCleanup(back.set)  # should it fail midway
            feeder = threading.Thread(target=self.feed, args=(publisher.stdin, back))
            feeder.start()
            wait_until(lambda: not re.search(r'received_total{qos="1"} 0$', broker.get("/metrics")[1], re.M), 30 * SLOW,
                       "nothing comes")
            broker.kill()
            time.sleep(0.3)
            broker.start()
            back.set()
            feeder.join()
            summary = publisher.stdout.read()
            publisher.stdout.close()
            self.assertEqual(publisher.wait(), 0, summary)
        self.assertTrue(summary.startswith("2000 sent, 2000 acknowledged, 0 refused"), summary)
        self.assertIn("2 connections", summary)

    @staticmethod
    def feed(pipe, back):
        """Some messages before the kill and while the broker is away, the others when it is back."""
        for i in range(2000):
            pipe.write(f"{i}\n")
            if i % 100 == 0:
                pipe.flush()
                time.sleep(0.1)
            if i == 1000:
                back.wait()
        pipe.close()


if __name__ == "__main__":
    unittest.main()
