"""The way back: topics of a real Kafka into rules, and the promise that what is committed is durable or delivered."""
import json
import os
import signal
import time
import unittest
from unittest import mock

from connectors.source_case import SourceCase
from harness.broker import Broker, run_program, wait_until
from harness.client import Client
from harness.servers import Kafka, Net, TestCa, shared
from harness.servers.base import run

COLUMNS = 'SELECT key AS k, value.n AS n, topic AS t, partition AS p, offset AS o FROM "$sources/kafka:in"'


class SourceTest(SourceCase):
    limit_s = 60

    def setUp(self):
        super().setUp()
        self.kafka = shared(Kafka)
        self.name = "s-" + self._testMethodName.rsplit("__", maxsplit=1)[-1].replace("_", "-")[:40]

    def config(self, sql=COLUMNS, action=None, connector=None, actions=None, **source):
        return {
            "connectors": {"lake": {"type": "kafka", "brokers": f"127.0.0.1:{self.kafka.port}", **(connector or {})}, "far": self.far()},
            "sources": {"in": {"connector": "lake", "topics": [self.name], "group": self.name, "start": "earliest",
                               "commit_interval": "200ms", "session_timeout": "6s", **source}},
            "rules": {"r": {"sql": sql, "actions": actions if actions is not None else [self.action("kntpo", **(action or {}))]}},
        }

    def produce(self, *numbers, topic=None, key="k", partition=None):
        where = ["-p", str(partition)] if partition is not None else []
        self.kafka.produce(topic or self.name, *(json.dumps({"n": n}) for n in numbers), key=key, options=where)

    def committed(self):
        return sum(max(0, o) for o in self.kafka.committed(self.name, self.name))


class Messages(SourceTest):
    def test_kafka_source__columns_of_a_message(self):
        self.kafka.fresh_topic(self.name, 2)
        sql = 'SELECT *, payload.n AS pn, value.n AS vn FROM "$sources/kafka_consumer:in"'
        with Broker(self.config(sql=sql, actions=[{"republish": {"topic": "out/${key}", "payload": "${.}", "qos": 1}}],
                                start="latest")) as b, Client(b.port) as c:
            self.wait_source(b, state="up", parts=2)
            c.connect("reader")
            c.subscribe("out/#", qos=1)
            before = int(time.time() * 1000)
            self.kafka.produce(self.name, '{"n": 7}', key="k1", options=["-p", "1", "-H", "a=1", "-H", "a=2", "-H", "b=x"])
            row = json.loads(c.recv().payload)
            self.wait_source(b, received=1, acknowledged=1, pending=0)
        self.assertEqual((row["key"], row["value"], row["topic"], row["partition"], row["offset"], row["source"], row["kind"]),
                         ("k1", '{"n": 7}', self.name, 1, 0, "in", "kafka"))
        self.assertEqual((row["pn"], row["vn"]), (7, 7))
        self.assertNotIn("payload", row)
        self.assertEqual(row["headers"], {"a": "2", "b": "x"})
        self.assertEqual(row["headers_list"], [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}, {"key": "b", "value": "x"}])
        self.assertEqual((row["ts_type"], row["event"], len(row["id"])), ("create", "source.message", 32))
        self.assertTrue(before - 60000 <= row["ts"] <= row["timestamp"] + 1000)

    def test_kafka_source__tombstones_empty_values_and_what_is_no_json(self):
        self.kafka.fresh_topic(self.name)
        for value, flags in (("", ["-Z"]), ("text", []), ('{"n":1}', [])):
            run("kcat", "-b", f"127.0.0.1:{self.kafka.port}", "-P", "-t", self.name, "-K", ":", *flags, input=f"k:{value}\n")
        sql = 'SELECT value IS NULL AS gone, value AS v FROM "$sources/kafka:in"'
        with Broker(self.config(sql=sql, action={"columns": {"gone": "${gone}", "v": "${v}"}})) as b:
            self.wait_source(b, acknowledged=3)
            b.wait_settled("r")
        self.assertEqual(self.got("gone, v"), [(1, None), (0, "text"), (0, '{"n":1}')])

    def test_kafka_source__a_rule_that_fails_does_not_block_what_follows(self):
        self.kafka.fresh_topic(self.name)
        self.kafka.produce(self.name, '{"n": 1}', "no json", '{"n": 2}', key="k")
        with Broker(self.config()) as b:
            self.wait_source(b, acknowledged=3, pending=0)
            b.wait_settled("r")
            rule = b.rule("r")
        self.assertEqual(self.numbers(), [1, 2])
        self.assertEqual((rule["matched"], rule["failed"], rule["produced"]), (3, 1, 2))
        self.assertEqual(rule["failures"][0]["topic"], "$sources/kafka:in")
        self.assertEqual(self.committed(), 3)

    def test_kafka_source__order_of_a_partition_and_patterns_of_sources(self):
        self.kafka.fresh_topic(self.name, 4)
        for p in range(4):
            self.produce(*range(p * 1000, p * 1000 + 1000), key=f"k{p}", partition=p)
        sql = COLUMNS.replace("$sources/kafka:in", "$sources/#")
        with Broker(self.config(sql=sql)) as b:
            self.wait_source(b, acknowledged=4000)
            b.wait_settled("r")
        by_partition = {}
        for n, p in self.got("n, p"):
            by_partition.setdefault(p, []).append(n)
        self.assertEqual(by_partition, {p: list(range(p * 1000, p * 1000 + 1000)) for p in range(4)})

    def test_kafka_source__one_message_through_both_worlds(self):
        """Into MQTT, there a rule again, back to Kafka: each way counts its own."""
        self.kafka.fresh_topic(self.name)
        self.kafka.fresh_topic(self.name + ".back")
        config = self.config(actions=[{"republish": {"topic": "mqtt/${n}", "payload": "${.}", "qos": 1}}])
        config["rules"]["back"] = {"sql": 'SELECT payload.n AS n FROM "mqtt/+"',
                                   "actions": [{"connector": "lake", "topic": self.name + ".back", "value": "${n}"}]}
        self.produce(*range(50))
        with Broker(config) as b:
            self.wait_source(b, acknowledged=50)
            b.wait_settled("back")
        self.assertEqual([int(r.value) for r in self.kafka.records(self.name + ".back")], list(range(50)))


    def test_kafka_source__messages_of_all_sorts_block_nothing(self):
        self.kafka.fresh_topic(self.name, max_message_bytes=12000000)
        self.produce(1)
        for value, flags in ((b"\xff\x00{", []), (b"x" * 10000000, ["-X", "message.max.bytes=12000000"]), (b"[1,", [])):
            (self.folder / "value").write_bytes(value)
            run("kcat", "-b", f"127.0.0.1:{self.kafka.port}", "-P", "-t", self.name, *flags, str(self.folder / "value"))
        self.produce(2)
        sql = 'SELECT key AS k, value IS NOT NULL AS n FROM "$sources/kafka:in"'
        config = self.config(sql=sql, action={"columns": {"k": "${k}", "n": "${n}"}}, max_pending={"messages": 100, "bytes": "1MB"})
        config["rules"]["strict"] = {"sql": COLUMNS, "actions": [{"republish": {"topic": "x/${n}", "payload": "${.}"}}]}
        with Broker(config) as b:
            self.wait_source(b, acknowledged=5, pending=0)
            b.wait_settled("r")
        self.assertEqual([k for (k,) in self.got("k")], ["k", None, None, None, "k"])
        self.assertEqual(self.committed(), 5)


class Begin(SourceTest):
    def test_kafka_source__latest_holds_from_the_moment_of_joining(self):
        """A group that has received nothing goes on where it joined, also when it was away meanwhile."""
        self.kafka.fresh_topic(self.name)
        self.produce(1, 2, 3)
        with Broker(self.config(start="latest")) as b:
            self.wait_source(b, state="up", parts=1)
            wait_until(lambda: self.committed() == 3, 10, "the place was not stored")
            b.stop()
            self.produce(4, 5)
            b.start()
            self.wait_numbers(2)
            b.wait_settled("r")
        self.assertEqual(self.numbers(), [4, 5])

    def test_kafka_source__start_at_a_time(self):
        self.kafka.fresh_topic(self.name)
        self.produce(1, 2)
        time.sleep(1.1)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        time.sleep(1.1)
        self.produce(3, 4)
        with Broker(self.config(start=stamp)) as b:
            self.wait_numbers(2)
            self.wait_source(b, acknowledged=2)
        self.assertEqual(self.numbers(), [3, 4])

    def test_kafka_source__topics_that_come_later_by_name_and_by_pattern(self):
        for topic in (".a", ".b", "-other"):
            self.kafka.delete_topic(self.name + topic)
        with Broker(self.config(topics=[self.name + ".a"], pattern=f"^{self.name}[.].$")) as b:
            self.wait_source(b, state=lambda s: s in ("up", "degraded"))
            for topic in (".a", ".b", "-other"):
                self.kafka.create_topic(self.name + topic)
                self.produce(topic, topic=self.name + topic)
            wait_until(lambda: len(self.got()) == 2, 40, lambda: b.log()[-3000:])
            self.wait_source(b, state="up", parts=2)
        self.assertEqual(sorted(t for (t,) in self.got("t")), [self.name + ".a", self.name + ".b"])


    def test_kafka_source__partitions_that_are_added_are_read_from_their_beginning(self):
        self.kafka.fresh_topic(self.name)
        self.produce(0)
        with Broker(self.config(start="latest")) as b:
            self.wait_source(b, state="up", parts=1)
            self.kafka.add_partitions(self.name, 3)
            for p in range(3):
                self.produce(p + 1, partition=p)
            self.wait_numbers(3)
            self.wait_source(b, parts=3)
        self.assertEqual(sorted(self.numbers()), [1, 2, 3])

    def test_kafka_source__a_topic_that_is_deleted_and_made_again_is_read_from_its_beginning(self):
        """Its offsets begin at 0 again, which is below what was read of the old one."""
        for start in ("latest", "earliest"):
            with self.subTest(start=start):
                self.db = self.folder / f"{start}.db"
                self.kafka.fresh_topic(self.name)
                with Broker(self.config(start=start, group=f"{self.name}-{start}")) as b:
                    self.wait_source(b, state="up", parts=1)
                    self.produce(*range(20))
                    self.wait_source(b, acknowledged=20)
                    self.kafka.fresh_topic(self.name)
                    self.produce(100, 101, 102)
                    self.wait_numbers(23)
                    b.wait_settled("r")
                    self.wait_source(b, state="up", parts=1)
                    wait_until(lambda: sum(self.kafka.committed(f"{self.name}-{start}", self.name)) == 3, 20,
                               lambda: f"{self.kafka.committed(f'{self.name}-{start}', self.name)} {b.log()[-3000:]}")
                self.assertEqual(list(dict.fromkeys(self.numbers())), [*range(20), 100, 101, 102])


class Members(SourceTest):
    def test_kafka_source__a_static_member_goes_on_at_once_after_a_kill(self):
        """Others are waited for as long as the session."""
        self.kafka.fresh_topic(self.name)
        with Broker(self.config(session_timeout="2m", group_instance="the-one")) as b:
            self.produce(1)
            self.wait_numbers(1)
            self.wait_source(b, acknowledged=1)
            b.kill()
            self.produce(2)
            b.start()
            self.wait_numbers(2, 60)  # half a session

    def test_kafka_source__after_a_kill_says_what_it_waits_for(self):
        self.kafka.fresh_topic(self.name)
        with Broker(self.config(session_timeout="2m")) as b:
            self.wait_source(b, state="up", parts=1)
            b.kill()
            b.start()
            self.wait_source(b, 60, reason="waits until the group gives up its former members, up to 2m (session_timeout); "
                                           "`group_instance` avoids it")

    def test_kafka_source__two_members_with_one_name_are_told(self):
        self.kafka.fresh_topic(self.name)
        other = self.folder / "other"
        other.mkdir()
        with Broker(self.config(group_instance="the-one")) as first:
            self.wait_source(first, state="up", parts=1)
            with Broker(self.config(group_instance="the-one"), folder=other):
                first.wait_log("give each broker a name of its own", 60)

    def test_kafka_source__members_that_come_and_go_lose_nothing(self):
        """Three of ours in one group while messages flow, one of them killed. What comes twice has the same msgid()."""
        self.kafka.fresh_topic(self.name, 6)
        sql = 'SELECT value.n AS n, msgid() AS id FROM "$sources/kafka:in"'
        config = self.config(sql=sql, action={"columns": {"n": "${n}", "id": "${id}"}})
        brokers = []
        for name in "abc":
            (self.folder / name).mkdir()
            brokers.append(Broker(config, folder=self.folder / name, start=False))
        a, b, c = brokers
        sent = 0
        try:
            for step in (a.start, b.start, c.start, a.stop, b.kill, a.start):
                step()
                for p in range(6):
                    self.produce(*range(sent, sent + 100), partition=p)
                    sent += 100
            self.wait_numbers(sent, 120)
            a.wait_settled("r")
            c.wait_settled("r")
        finally:
            a.stop(check=False)
            c.stop(check=False)
        rows = self.got("n, id")
        self.assertEqual({n for n, _ in rows}, set(range(sent)))
        self.assertEqual(len(set(rows)), sent, "a message that came twice had another name")


class Promises(SourceTest):
    def test_kafka_source__our_own_kill_loses_nothing(self):
        self.kafka.fresh_topic(self.name, 3)
        for p in range(3):
            self.produce(*range(p * 5000, p * 5000 + 5000), partition=p)
        with Broker(self.config(max_pending={"messages": 500}, action={"batch": {"rows": 50}})) as b:
            for least in (1500, 6000):
                self.wait_numbers(least)
                b.kill()
                b.start()
            self.wait_numbers(15000, 120)
            b.wait_settled("r")
        self.assertEqual(set(self.numbers()), set(range(15000)))

    def test_kafka_source__rows_in_memory_count_when_they_are_delivered(self):
        self.kafka.fresh_topic(self.name)
        with Broker(self.config(action={"buffer": {"durability": "memory"}})) as b:
            self.produce(0)
            self.wait_source(b, acknowledged=1)
            with self.locked():
                self.produce(*range(1, 101))
                self.wait_source(b, received=101)
                time.sleep(1)
                n = self.source(b)
                self.assertEqual((n["acknowledged"], n["pending"], self.committed()), (1, 100, 1))
                b.kill()  # what is in memory only dies with us, and comes again
            b.start()
            self.wait_numbers(101)
            self.wait_source(b, pending=0, acknowledged=100)
            wait_until(lambda: self.committed() == 101, 10, "not committed")

    def test_kafka_source__messages_that_come_during_a_stop_come_again(self):
        """Partitions go when what is under way is through; until then librdkafka hands out more."""
        self.kafka.fresh_topic(self.name)
        with Broker(self.config(action={"buffer": {"durability": "memory"}})) as b:
            self.produce(0)
            self.wait_source(b, acknowledged=1)
            with self.locked():
                self.produce(*range(1, 101))
                self.wait_source(b, received=101)
                b.process.send_signal(signal.SIGTERM)
                b.wait_log("stopping")
                for n in range(101, 131):
                    self.produce(n)
            self.assertEqual(b.stop(), 0)
            b.start()
            self.wait_numbers(131)

    def test_kafka_source__a_slow_action_pauses_the_consumer(self):
        self.kafka.fresh_topic(self.name, 2)
        self.produce("first")
        bounded = {"messages": 2000, "bytes": "1MB"}
        with Broker(self.config(max_pending=bounded, action={"buffer": {"memory": "1MB", "disk": "2MB"}})) as b:
            self.wait_source(b, acknowledged=1)
            with self.locked():
                before = b.rss_kb()
                for p in range(2):
                    self.kafka.produce(self.name, *(json.dumps({"n": p * 20000 + n, "pad": "x" * 500}) for n in range(20000)),
                                       options=["-p", str(p)])
                n = self.wait_source(b, paused=True)
                time.sleep(7)  # longer than the session: the membership must hold
                n = self.source(b)
                self.assertTrue(n["paused"], n)
                self.assertLess(n["pending"], 2000 + 1000)
                self.assertGreater(n["lag"], 10000)
                self.assertLess(b.rss_kb() - before, 60000 if "release" in b.program else 250000)
                page = b.get("/metrics")[1]
                self.assertIn('sluice_source_paused{source="in",connector="lake"} 1', page)
            self.wait_numbers(40001, 120)
            n = self.wait_source(b, paused=False, pending=0)
            self.assertEqual(n["received"], n["acknowledged"] + n["forgotten"])
            self.assertNotIn("partitions went", b.log())
            wait_until(lambda: self.committed() == 40001, 10, "not committed")
        self.assertEqual(len(self.numbers()), 40001)

    def test_kafka_source__kafka_killed_and_back(self):
        self.kafka.fresh_topic(self.name, 2)
        with Broker(self.config()) as b:
            self.produce(*range(1000), partition=0)
            self.wait_numbers(1000)
            self.kafka.kill9()
            try:
                reason = self.wait_source(b, state="down")["reason"]
                self.assertTrue(reason)
            finally:
                self.kafka.restart()
            self.produce(*range(1000, 2000), partition=1)
            self.wait_numbers(2000, 90)
            self.wait_source(b, 60, state="up", pending=0)
        self.assertEqual(set(self.numbers()), set(range(2000)))

    @mock.patch.dict(os.environ, ASAN_OPTIONS="exitcode=99:abort_on_error=0:detect_leaks=1:max_free_fill_size=65536")
    def test_kafka_source__kafka_away_for_longer_than_the_session(self):
        """Clients end and begin while nobody answers; one broker is stopped meanwhile, the other goes on by itself. The library is
        not compiled with the sanitizer, so memory that is given back is filled: who still looks into a client that has ended falls."""
        self.kafka.fresh_topic(self.name, 2)
        folder = self.folder / "other"
        folder.mkdir()
        anew = "no broker for long: the addresses of the configuration are asked anew"
        with Broker(self.config()) as b, Broker(self.config(group=self.name + "2"), folder=folder) as other:
            self.produce(*range(100), partition=0)
            self.wait_numbers(100)
            self.wait_source(other, acknowledged=100)
            self.kafka.kill9()
            try:
                other.wait_log(anew, 90)
                b.wait_log(anew, 90)
                b.wait_log(anew, 90, after=b.log().rindex(anew) + len(anew))  # so the second client was asked, and the third begins
                self.assertEqual(self.source(b)["state"], "down")
                self.assertEqual(other.stop(), 0)
            finally:
                self.kafka.restart()
            self.produce(*range(100, 200), partition=1)
            self.wait_numbers(200, 90)
            self.wait_source(b, 60, state="up", pending=0)
        self.assertEqual(set(self.numbers()), set(range(200)))

    def test_kafka_source__a_network_that_says_nothing(self):
        self.kafka.fresh_topic(self.name, 2)
        with Broker(self.config(connector={"request_timeout": "3s"})) as b:
            self.produce(*range(100))
            self.wait_numbers(100)
            with Net.dropped(self.kafka.port):
                time.sleep(10)
                self.assertLess(self.source(b)["pending"], 1)
            self.produce(*range(100, 200), partition=1)
            self.wait_numbers(200)
            self.wait_source(b, 60, state="up", pending=0, parts=2)
            wait_until(lambda: self.committed() == 200, 20, "not committed")

    def test_kafka_source__two_brokers_share_the_partitions(self):
        self.kafka.fresh_topic(self.name, 4)
        other = self.folder / "other"
        other.mkdir()
        with Broker(self.config()) as first:
            self.wait_source(first, parts=4, state="up")
            for p in range(4):
                self.produce(*range(p * 1000, p * 1000 + 500), partition=p)
            with Broker(self.config(), folder=other) as second:
                self.wait_source(second, parts=2, state="up")
                self.wait_source(first, parts=2, state="up")
                for p in range(4):
                    self.produce(*range(p * 1000 + 500, p * 1000 + 800), partition=p)
                self.wait_numbers(3200)
                self.assertGreater(self.source(second)["received"], 0)
            self.wait_source(first, parts=4, state="up")
            for p in range(4):
                self.produce(*range(p * 1000 + 800, p * 1000 + 1000), partition=p)
            self.wait_numbers(4000)
            first.wait_settled("r")
        self.assertEqual(set(self.numbers()), {p * 1000 + n for p in range(4) for n in range(1000)})
        # Both left in order: what was through was committed, and came once.
        self.assertEqual(len(self.numbers()), 4000)


class Settings(SourceTest):
    def test_kafka_source__reload_leaves_equal_ones_alone(self):
        self.kafka.fresh_topic(self.name)
        self.kafka.fresh_topic(self.name + ".2")
        with Broker(self.config()) as b:
            self.produce(1)
            self.wait_numbers(1)
            at = self.wait_source(b, acknowledged=1)["since_ms"]
            more = self.config(sql=COLUMNS.replace("$sources/kafka:in", "$sources/kafka:+"))
            more["sources"]["two"] = {**more["sources"]["in"], "topics": [self.name + ".2"], "group": self.name + "2"}
            b.write_config(more)
            b.reload()
            self.wait_source(b, name="two", state="up")
            self.produce(2, topic=self.name + ".2")
            self.wait_numbers(2)
            self.assertEqual(self.source(b)["since_ms"], at)
            b.config["sources"] = {"two": {**more["sources"]["two"], "commit_interval": "300ms"}}
            b.config["rules"] = self.config(sql=COLUMNS.replace("kafka:in", "kafka:two"))["rules"]
            b.write_config({})
            b.reload()
            wait_until(lambda: [s["name"] for s in b.status()["sources"]] == ["two"], 20, lambda: str(b.status()["sources"]))
            self.produce(3, topic=self.name + ".2")
            self.wait_numbers(3)
        self.assertEqual(sorted(self.numbers()), [1, 2, 3])

    def test_kafka_source__wrong_login_says_what_to_do(self):
        self.kafka.fresh_topic(self.name)
        login = {"brokers": f"127.0.0.1:{self.kafka.sasl_tls_port}", "tls": {"ca": TestCa.shared().path("ca.pem")},
                 "sasl": {"mechanism": "scram-sha-512", "username": "carol", "password": "geheim17"}}
        with Broker(self.config(connector=login)) as b:
            reason = self.wait_source(b, state="down")["reason"]
            self.assertIn("sasl.password", reason)
            login["sasl"]["password"] = "pw3"
            b.write_config(self.config(connector=login))
            b.reload()
            self.produce(1)
            self.wait_numbers(1)
            self.assertNotIn("geheim17", json.dumps(b.status()) + b.log())

    def check(self, **changes):
        path = self.folder / "c.yaml"
        config = {"auth": {"anonymous": True}, **self.config(), **changes}
        path.write_text(json.dumps(config))
        done = run_program("check", "-c", str(path))
        return done.returncode, done.stderr

    def test_kafka_source__mistakes_are_found_before_a_start(self):
        self.assertEqual(self.check()[0], 0, self.check()[1])
        good = self.config()["sources"]["in"]
        for source, part in (({"connector": "lak"}, "did you mean `lake`"), ({"connector": "far"}, "can only be written to"),
                             ({"topics": []}, "has 0 entries"), ({"start": "noon"}, "none of earliest"), ({"pattern": "("}, "no regular expression"),
                             ({"topics": ["^a"]}, "write it as `pattern`"), ({"topics": ["a", "b", "a"]}, "`a` is there twice"),
                             ({"topic": "a"}, "topics"),
                             ({"properties": {"group.id": "x"}}, "use the option `group`"),
                             ({"properties": {"fetch.mim.bytes": "x"}}, "fetch.min.bytes"),
                             ({"properties": {"enable.auto.commit": "true"}}, "sets this itself")):
            with self.subTest(**source):
                code, said = self.check(sources={"in": {**good, **source}})
                self.assertEqual(code, 1)
                self.assertIn(part, said)
        code, said = self.check(sources={"inn": good})
        self.assertEqual(code, 1)
        self.assertIn("no such source; did you mean 'inn'?", said)
        code, said = self.check(sources={"a/b": good, "in": good})
        self.assertIn("the name of a source stands in FROM", said)

    def test_kafka_source__clients_may_not_pretend_to_be_one(self):
        self.kafka.fresh_topic(self.name)
        with Broker(self.config()) as b, Client(b.port, version=5) as c:
            c.connect("liar")
            self.assertEqual(c.publish("$sources/kafka:in", b'{"n": 1}', qos=1).code, 0x87)
            self.produce(2)
            self.wait_numbers(1)
        self.assertEqual(self.numbers(), [2])


class Rights(SourceTest):
    def test_kafka_source__a_topic_that_may_not_be_read_disturbs_no_other(self):
        """Who may describe it sees that it has messages; that nothing comes of them is no reason to leave the group again and again."""
        closed = self.name + ".closed"
        self.kafka.fresh_topic(self.name)
        self.kafka.fresh_topic(closed)
        self.kafka.grant("alice", closed, "describe")
        login = {"brokers": f"127.0.0.1:{self.kafka.sasl_port}", "sasl": {"username": "alice", "password": "pw1"}}
        self.produce(1, topic=closed)
        with Broker(self.config(connector=login, topics=[self.name, closed])) as b:
            reason = self.wait_source(b, state="degraded", parts=2)["reason"]
            watched = time.monotonic() + 45  # it is looked at every ten seconds, and three times in a row tell
            wait_until(lambda: time.monotonic() > watched or "begins anew" in b.log(), 90, "time stands still")
            self.assertNotIn("begins anew", b.log())
            self.assertIn(closed, reason)
            self.produce(2)
            self.wait_numbers(1)
            self.kafka.grant("alice", closed, "read")
            self.wait_numbers(2)
            self.wait_source(b, state="up")


class Pages(SourceTest):
    def test_kafka_source__metrics_add_up(self):
        self.kafka.fresh_topic(self.name)
        self.produce(*range(100))
        with Broker(self.config()) as b:
            self.wait_source(b, acknowledged=100)
            page = b.get("/metrics")[1].splitlines()
        of = 'source="in",connector="lake"'
        for line in (f"sluice_source_received_total{{{of}}} 100", f"sluice_source_acknowledged_total{{{of}}} 100",
                     f"sluice_source_pending{{{of}}} 0", f'sluice_source_state{{{of},state="up"}} 1', f"sluice_source_lag{{{of}}} 0"):
            self.assertIn(line, page)


if os.environ.get("SLUICE_INSIDE") and __name__ == "__main__":
    unittest.main()
