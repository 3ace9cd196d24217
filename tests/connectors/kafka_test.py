"""The kafka connector against a real broker: what a rule sends is what a topic holds, and nothing is lost on the way."""
import base64
import json
import os
import socket
import subprocess
import threading
import time
import unittest

from harness.broker import BIN, ROOT, Broker, run_program, temp_folder, wait_until
from harness.client import Client, Closed
from harness.proxy import Proxy
from harness.servers import Kafka, Net, TestCa, shared

SELECT = 'SELECT payload FROM "in/#"'


class KafkaTest(unittest.TestCase):
    """One broker of ours per test, one rule `r`, one connector `lake`."""

    def setUp(self):
        self.kafka = shared(Kafka)
        self.topic = "t-" + self._testMethodName.rsplit("__", maxsplit=1)[-1].replace("_", "-")[:60]

    def config(self, action=None, sql=SELECT, **connector):
        connector = {"type": "kafka", "brokers": f"127.0.0.1:{self.kafka.port}", "reconnect": {"max": "1s"}, **connector}
        return {"connectors": {"lake": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "lake", "topic": self.topic, "retry": {"first": "50ms", "max": "500ms"}, **(action or {})}]}}}

    def broker(self, action=None, sql=SELECT, **connector):
        return Broker(self.config(action, sql, **connector))

    def publish(self, broker, *payloads, topic="in/a", client="dev"):
        with Client(broker.port) as c:
            c.connect(client)
            for payload in payloads:
                text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                c.publish(topic, text, qos=1)

    def deliver(self, *payloads, action=None, sql=SELECT, partitions=1, topic_config=None, rejected=0, **connector):
        """The records that a fresh topic holds after these messages."""
        self.kafka.fresh_topic(self.topic, partitions, **(topic_config or {}))
        with self.broker(action, sql, **connector) as b:
            self.publish(b, *payloads)
            n = b.wait_settled("r")
            self.assertEqual((n["rejected"], n["delivered"]), (rejected, len(payloads) - rejected))
            self.dead = self.dead_letters(b)
        return self.kafka.records(self.topic)

    def dead_letters(self, broker):
        path = broker.folder / "data/dead/r.0.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def state(self, broker):
        return broker.connector("lake")

    def wait_state(self, broker, state, timeout=30):
        return broker.wait_connector("lake", state, timeout)


class Records(KafkaTest):
    def test_kafka__value_is_the_row_and_the_time_that_of_the_message(self):
        before = int(time.time() * 1000)
        records = self.deliver({"d": "x", "t": 21.50}, sql='SELECT payload.d AS device, payload.t AS t FROM "in/#"')
        self.assertEqual(records[0].value, b'{"device":"x","t":21.5}')
        self.assertIsNone(records[0].key)
        self.assertLessEqual(before, records[0].timestamp)

    def test_kafka__key_value_headers_timestamp_partition(self):
        records = self.deliver(
            {"k": "key1", "v": "text", "ts": 1700000000123, "p": 2, "h": 7},
            {"k": "key2", "v": {"a": [1]}, "ts": "2024-01-01T08:00:00.250+08:00", "p": 0, "h": None}, partitions=3,
            sql='SELECT payload.k AS k, payload.v AS v, payload.ts AS ts, payload.p AS p, payload.h AS h FROM "in/#"',
            action={"key": "${k}", "value": "${v}", "timestamp": "${ts}", "partition": "${p}",
                    "headers": {"fixed": "yes", "h": "${h}", "text": "<${k}>"}})
        self.assertEqual([(r.partition, r.timestamp, r.key, r.value) for r in records],
                         [(0, 1704067200250, b"key2", b'{"a":[1]}'), (2, 1700000000123, b"key1", b"text")])
        self.assertEqual(records[1].headers, "fixed=yes,h=7,text=<key1>")
        self.assertEqual(records[0].headers, "fixed=yes,h=NULL,text=<key2>")

    def test_kafka__a_timestamp_that_cannot_be_sent_says_why(self):
        wrong = {"0": "0 cannot be sent", "-1": "-1 is before 1970", "0.5": "0.5 is neither a whole number", '"1960-01-01T00:00:00Z"': "is before 1970",
                 '"1970-01-01T00:00:00Z"': "cannot be sent", "true": "true is neither a whole number"}
        records = self.deliver(*(b'{"ts":' + text.encode() + b"}" for text in [*wrong, "1.7e12", '"1700000000000"', "1"]), rejected=len(wrong),
                               sql='SELECT payload.ts AS ts FROM "in/#"', action={"timestamp": "${ts}"})
        self.assertEqual(sorted(r.timestamp for r in records), [1, 1700000000000, 1700000000000])
        reasons = [letter["reason"] for letter in self.dead]
        for said in wrong.values():
            self.assertTrue(any(said in reason for reason in reasons), (said, reasons))

    def test_kafka__headers_are_called_like_options(self):
        """Each value has a name of its own in a dead letter, so that a tool which reads JSON does not lose one."""
        names = {"key": "k", "value": "v", "topic": "t", "timestamp": "s", "partition": "p", "header.key": "h", "own": "o"}
        records = self.deliver(
            {"t": "no time"}, {"t": 1700000000123}, rejected=1, sql='SELECT payload.t AS t, topic(1) AS x FROM "in/#"',
            action={"key": "K${x}", "value": "V${x}", "timestamp": "${t}", "headers": {n: v + "${x}" for n, v in names.items()}})
        self.assertEqual(records[0].headers, ",".join(f"{n}={v}in" for n, v in names.items()))
        self.assertEqual(self.dead[0]["row"], {
            "key": "Kin", "value": "Vin", "timestamp": "no time", "header.key": "kin", "header.value": "vin", "header.topic": "tin",
            "header.timestamp": "sin", "header.partition": "pin", "header.header.key": "hin", "own": "oin"})

    def test_kafka__null_is_a_tombstone_and_empty_text_is_not(self):
        records = self.deliver({"v": None}, {}, {"v": ""}, action={"key": "k", "value": "${v}"},
                               sql='SELECT payload.v AS v FROM "in/#"')
        self.assertEqual([r.value for r in records], [None, None, b""])

    def test_kafka__headers_from_one_template(self):
        records = self.deliver(
            {"h": {"a": "1", "b": {"c": 2}, "n": None, "e": "q\"\u00e9"}}, {"h": [{"key": "x", "value": "1"}, {"key": "x", "value": 2}]}, {},
            {"h": "no headers"}, rejected=1, sql='SELECT payload.h AS h FROM "in/#"', action={"headers": "${h}"})
        self.assertEqual([r.headers for r in records], ['a=1,b={"c":2},n=NULL,e=q"\xc3\xa9', "x=1,x=2", ""])
        self.assertIn("headers: ", self.dead[0]["reason"])

    def test_kafka__headers_are_charged_what_librdkafka_takes_for_them(self):
        """Some sixty bytes each, where their JSON text has nine: else a few rows would take several times node.buffer_memory."""
        headers = {f"{n:x}": "" for n in range(1000)}
        for action in ({"headers": "${h}"}, {"headers": {f"h{n}": "" for n in range(1000)}}):
            with self.subTest(one=isinstance(action["headers"], str)):
                self.kafka.fresh_topic(self.topic)
                with self.broker({"value": "x", **action}, 'SELECT payload.h AS h FROM "in/#"') as b:
                    self.publish(b, {"h": {}})
                    b.wait_settled("r")
                    with Net.dropped(self.kafka.port):
                        self.publish(b, *[{"h": headers}] * 5)
                        wait_until(lambda: b.action("r")["in_flight"] == 5, 20, lambda: str(b.action("r")))
                        self.assertGreater(b.action("r")["memory"]["clients"], 5 * 1000 * 60)
                    b.wait_settled("r")
                self.assertEqual(len(self.kafka.records(self.topic)), 6)

    def test_kafka__topics_made_of_data(self):
        for topic in ("hot.a", "hot.b"):
            self.kafka.fresh_topic(topic)
        with self.broker({"topic": "hot.${d}"}, sql='SELECT payload.d AS d FROM "in/#"') as b:
            self.publish(b, {"d": "a"}, {"d": "b"}, {"d": "a"}, {"d": "a b"}, {"d": None}, {"d": "x" * 250})
            n = b.wait_settled("r")
            self.assertEqual((n["delivered"], n["rejected"]), (3, 3))
            reasons = [d["reason"] for d in self.dead_letters(b)]
        self.assertEqual((len(self.kafka.records("hot.a")), len(self.kafka.records("hot.b"))), (2, 1))
        for reason, part in zip(reasons, ('"hot.a b" is no name of a topic', "${d} is NULL", "longer than 249 bytes")):
            self.assertIn(part, reason)

    def test_kafka__a_key_goes_where_java_clients_send_it(self):
        # Java: (murmur2(key) & 0x7fffffff) % partitions; the hashes are those of Kafka's own test of Utils.murmur2().
        hashes = {"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536,
                  "a-little-bit-longer-string": -1486304829, "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
                  "abc": 479470107}
        records = self.deliver(*({"k": k} for k in hashes), partitions=7, action={"key": "${k}"},
                               sql='SELECT payload.k AS k FROM "in/#"')
        self.assertEqual({r.key.decode(): r.partition for r in records},
                         {k: (h & 0x7fffffff) % 7 for k, h in hashes.items()})

    def test_kafka__every_compression(self):
        for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
            with self.subTest(codec=codec):
                records = self.deliver(*({"n": n, "pad": "x" * 500} for n in range(50)), compression=codec)
                self.assertEqual([json.loads(r.value)["payload"]["n"] if isinstance(json.loads(r.value)["payload"], dict)
                                  else json.loads(json.loads(r.value)["payload"])["n"] for r in records], list(range(50)))
        records = self.deliver({"n": 1}, compression="lz4", action={"compression": "zstd"})
        self.assertEqual(len(records), 1)

    def test_kafka__acks_linger_partitioner_and_properties(self):
        for options in ({"acks": "leader", "idempotence": False}, {"acks": "none", "idempotence": False},
                        {"linger": "0", "partitioner": "fnv1a"}, {"client_id": "plant-7", "batch_bytes": "16KB"},
                        {"properties": {"socket.keepalive.enable": "true", "max.in.flight": "1"}},
                        {"queue": {"rows": 10, "bytes": "1MB"}}):
            with self.subTest(**options):
                self.assertEqual(len(self.deliver(*range(100), **options)), 100)


class RowsOfDoom(KafkaTest):
    def test_kafka__one_poison_row_in_ten_thousand(self):
        """Larger than the topic takes: the broker refuses the whole request, halves find the row."""
        self.kafka.fresh_topic(self.topic, 3, max_message_bytes=20000)
        with self.broker({"key": "${k}", "value": "${n} ${v}"},
                         sql='SELECT payload.n AS n, payload.n mod 10 AS k, payload.v AS v FROM "in/#"') as b:
            self.publish(b, *({"n": n, "v": "x" * (30000 if n == 5000 else 20)} for n in range(10000)))
            n = b.wait_settled("r", timeout=120)
            self.assertEqual((n["delivered"], n["rejected"]), (9999, 1))
            reason = self.dead_letters(b)[0]["reason"]
        self.assertIn("max.message.bytes", reason)
        self.in_order(set(range(10000)) - {5000})

    def in_order(self, wanted):
        """What the topic holds, values beginning with a number: all that are wanted, and those of each key in their order."""
        by_key, late = {}, []
        for r in self.kafka.records(self.topic):
            by_key.setdefault(r.key, []).append(int(r.value.split()[0]))
        for key, numbers in by_key.items():
            first = list(dict.fromkeys(numbers))
            late += [(key, a, b) for a, b in zip(first, first[1:]) if b < a]
        self.assertEqual({n for numbers in by_key.values() for n in numbers}, wanted)
        self.assertEqual(late, [], "rows of a key that came before an earlier one")

    def test_kafka__refused_rows_do_not_change_the_order_of_the_others(self):
        """At the start of a producer as well, when the broker takes whatever comes behind a request that it refused."""
        for linger, poison in (("5ms", {0}), ("0", {0, 1, 2, 700}), ("0", {3, 4, 5, 6, 1195, 1199}), ("5ms", {1, 40, 41, 300, 900})):
            with self.subTest(linger=linger, poison=poison):
                self.kafka.delete_topic(self.topic)
                with self.broker({"key": "${k}", "value": "${n} ${v}"}, linger=linger,
                                 sql='SELECT payload.n AS n, payload.n mod 7 AS k, payload.v AS v FROM "in/#"') as b:
                    self.publish(b, *({"n": n, "v": "x" * (30000 if n in poison else 20)} for n in range(1200)))
                    self.kafka.fresh_topic(self.topic, 3, max_message_bytes=20000)  # and all go at once
                    n = b.wait_settled("r", timeout=120)
                    self.assertEqual((n["delivered"], n["rejected"]), (1200 - len(poison), len(poison)))
                self.in_order(set(range(1200)) - poison)

    def clients_made(self, broker):
        return self.state(broker)["about"]["clients_made"]

    def refused_in_time(self, bad, rows=1200):
        """Rows of a time that the topic does not take: its broker refuses the request and names none of them."""
        self.kafka.delete_topic(self.topic)
        now = int(time.time() * 1000)
        with self.broker({"key": "${k}", "value": "${n}", "timestamp": "${ts}"},
                         sql='SELECT payload.n AS n, payload.n mod 7 AS k, payload.ts AS ts FROM "in/#"') as b:
            self.publish(b, *({"n": n, "ts": now + (1 << 40 if n in bad else 0)} for n in range(rows)))
            # All go at once: of bad rows that come more than a second after each other each takes a client.
            self.kafka.fresh_topic(self.topic, 3, message_timestamp_after_max_ms=3600000)
            n = b.wait_settled("r", timeout=240)
            made = self.clients_made(b)
            dead = self.dead_letters(b)
        self.assertEqual((n["delivered"], n["rejected"]), (rows - len(bad), len(bad)))
        self.assertTrue(all("timestamp" in d["reason"] for d in dead), dead[:1])
        self.in_order(set(range(rows)) - bad)
        # A new client takes half a second; one for each of them would be without end.
        self.assertLess(made, 12)

    def test_kafka__many_refused_rows_take_few_clients(self):
        self.refused_in_time({n for n in range(1200) if n * n % 17 == 4})

    def test_kafka__all_rows_refused_take_few_clients(self):
        self.refused_in_time(set(range(300)), rows=300)

    def test_kafka__refused_rows_do_not_slow_the_next_ones_for_long(self):
        """A partition is scouted for a second after the last refusal, then it goes on as before."""
        self.kafka.fresh_topic(self.topic, 1, message_timestamp_after_max_ms=3600000)
        now = int(time.time() * 1000)
        with self.broker({"key": "k", "value": "${n}", "timestamp": "${ts}"},
                         sql='SELECT payload.n AS n, payload.ts AS ts FROM "in/#"') as b:
            for round_ in range(3):
                rows = range(round_ * 100, round_ * 100 + 100)
                self.publish(b, *({"n": n, "ts": now + (1 << 40 if n % 100 == 50 else 0)} for n in rows))
                self.assertEqual(b.wait_settled("r", timeout=120)["rejected"], round_ + 1)
            time.sleep(1.1)
            for n in range(300, 310):  # the first of these is the last that is scouted
                self.publish(b, {"n": n, "ts": now})
                b.wait_settled("r")
            made = self.clients_made(b)
            self.publish(b, *({"n": n, "ts": now} for n in range(310, 20000)))
            b.wait_settled("r", timeout=60)
            self.assertEqual(self.clients_made(b), made)
        self.in_order(set(range(20000)) - {50, 150, 250})

    def test_kafka__larger_than_max_message_never_leaves(self):
        records = self.deliver({"v": "x" * 5000}, {"v": "y"}, rejected=1, max_message="1KB",
                               sql='SELECT payload.v AS v FROM "in/#"', action={"value": "${v}"})
        self.assertEqual([r.value for r in records], [b"y"])
        self.assertIn("the row has 5000 bytes (key, value, headers), and the connector's max_message is 1024", self.dead[0]["reason"])

    def test_kafka__larger_than_max_message_by_its_headers(self):
        sql = 'SELECT payload.v AS v, payload.h AS h FROM "in/#"'
        for headers, big, small, wanted in (({"a": "${h}", "bc": "1"}, "x" * 5000, "y", 1 + 1 + 5000 + 2 + 1),
                                            ("${h}", {"name": "x" * 4990}, {"name": "y"}, 1 + 4 + 4990)):
            with self.subTest(headers=headers):
                self.deliver({"v": "z", "h": big}, {"v": "z", "h": small}, rejected=1, max_message="1KB", sql=sql,
                             action={"value": "${v}", "headers": headers})
                self.assertIn(f"the row has {wanted} bytes (key, value, headers)", self.dead[0]["reason"])

    def test_kafka__wrong_partition_and_time_are_told(self):
        self.deliver({"p": 9}, {"p": "x"}, {"p": -1}, {"ts": "yesterday"}, {"ts": -5}, rejected=5,
                     sql='SELECT payload.p AS p, payload.ts AS ts FROM "in/#"', action={"partition": "${p}", "timestamp": "${ts}"})
        for dead, part in zip(sorted(d["reason"] for d in self.dead),
                              ("Local: Unknown partition", 'partition: "x"', "partition: -1", 'timestamp: "yesterday"', "timestamp: -5")):
            self.assertIn(part.split(":")[0], dead)

    def test_kafka__compacted_topic_refuses_a_row_without_a_key(self):
        records = self.deliver({"k": "a"}, {"k": None}, {"k": "b"}, rejected=1, topic_config={"cleanup_policy": "compact"},
                               sql='SELECT payload.k AS k FROM "in/#"', action={"key": "${k}"})
        self.assertEqual([r.key for r in records], [b"a", b"b"])
        self.assertIn("`key`", self.dead[0]["reason"])

    def test_kafka__hostile_values_are_stored_as_they_are(self):
        values = ["'; DROP TABLE x; --", 'q"uo\\te', "$1 ${x} $${y}", "nul\0byte", "\u202e\ud7ff", "%s%n", "a=b,c=d\r"]
        records = self.deliver(*({"v": v} for v in values), sql='SELECT payload.v AS v FROM "in/#"',
                               action={"key": "${v}", "value": "${v}", "headers": {"h": "${v}"}})
        self.assertEqual([(r.key.decode(), r.value.decode()) for r in records], [(v, v) for v in values])
        raw = b"\xff\x00\xfe'\"\\"
        records = self.deliver(raw, action={"value": "${payload}", "key": "${payload}"})
        self.assertEqual((records[0].key, records[0].value), (raw, raw))


class Topics(KafkaTest):
    def test_kafka__missing_topic_waits_and_is_found(self):
        self.kafka.delete_topic(self.topic)
        with self.broker() as b:
            self.publish(b, *range(20))
            reason = self.wait_state(b, "degraded")
            self.assertIn(self.topic, reason)
            self.assertIn("create it", reason)
            self.kafka.create_topic(self.topic)
            n = b.wait_settled("r")
            self.assertEqual((n["delivered"], n["rejected"]), (20, 0))
            self.wait_state(b, "up")
        self.assertEqual(len(self.kafka.records(self.topic)), 20)

    def test_kafka__one_missing_topic_of_many_holds_up_nobody_else(self):
        self.kafka.fresh_topic("dyn.there")
        self.kafka.delete_topic("dyn.missing")
        with self.broker({"topic": "dyn.${d}", "order_key": "${d}"}, sql='SELECT payload.d AS d FROM "in/#"') as b:
            self.publish(b, {"d": "missing"}, *({"d": "there"} for _ in range(20)))
            wait_until(lambda: b.action("r")["delivered"] == 20, 20, lambda: str(b.action("r")))
            self.assertEqual(b.action("r")["queued"], 1)
            b.wait_log("rows wait for a topic.*dyn.missing")
            retried = b.action("r")["retried"]
            wait_until(lambda: b.action("r")["retried"] > retried + 2, 30, lambda: str(b.action("r")))
            self.assertEqual(b.log().count("rows wait for a topic"), 1)
            reason = self.wait_state(b, "degraded", 120)
            for words in ("rows of action r.0 wait", "dyn.missing", "create it"):
                self.assertIn(words, reason)
            self.assertIn("dyn.missing", b.action("r")["reason"])
            self.kafka.create_topic("dyn.missing")
            self.assertEqual(b.wait_settled("r")["delivered"], 21)
            self.wait_state(b, "up")
            self.assertNotIn("reason", b.action("r"))

    def test_kafka__missing_topic_whose_rows_are_given_up_is_forgotten(self):
        self.kafka.delete_topic("dyn.never")
        with self.broker({"topic": "dyn.${d}", "retry": {"first": "50ms", "max": "500ms", "attempts": 5}},
                         sql='SELECT payload.d AS d FROM "in/#"') as b:
            self.publish(b, {"d": "never"})
            b.wait_log("degraded.*dyn.never")
            self.assertEqual(b.wait_settled("r")["rejected"], 1)
            self.wait_state(b, "up")

    def poisoned(self, rows, bad, dead, **connector):
        """Rows of one client, n to the topic doom.<rows[n]>, of which those that are bad are given up and nobody else."""
        with self.broker({"topic": "doom.${d}", "topic_timeout": "2s", "value": "${n}"},
                         sql='SELECT payload.d AS d, payload.n AS n FROM "in/#"', **connector) as b:
            payloads = [{"d": d, "n": n} for n, d in enumerate(rows)]
            self.publish(b, *payloads[:bad[-1] + 1])
            b.wait_log("rows wait for a topic")  # it is known to be missing: the others are held
            self.publish(b, *payloads[bad[-1] + 1:])
            n = b.wait_settled("r", timeout=120)
            self.assertEqual((n["delivered"], n["rejected"]), (len(rows) - len(bad), len(bad)))
            letters = self.dead_letters(b)
            self.wait_state(b, "up")
        self.assertEqual([int(letter["row"]["value"]) for letter in letters], bad)
        for letter in letters:
            for words in (dead, f"topic doom.{letter['row']['topic']} ", "sluice replay"):
                self.assertIn(words, letter["reason"])

    def test_kafka__one_row_whose_topic_is_missing_among_those_of_a_client(self):
        """It waits for topic_timeout, and those behind it do; then it is a dead letter, and they go on."""
        self.kafka.delete_topic("doom.no")
        for at in (0, 150):
            with self.subTest(at=at):
                self.kafka.fresh_topic("doom.yes")
                self.poisoned(["no" if n == at else "yes" for n in range(300)], [at], "does not exist")
                self.assertEqual([int(r.value) for r in self.kafka.records("doom.yes")], [n for n in range(300) if n != at])

    def test_kafka__a_client_whose_topic_is_missing_has_more_rows_than_a_batch(self):
        """All of them wait behind that row: several batches that go out at once must not overtake each other."""
        self.kafka.fresh_topic("doom.yes")
        self.kafka.delete_topic("doom.later")
        with self.broker({"topic": "doom.${d}", "value": "${n}", "key": "k", "batch": {"rows": 20}},
                         sql='SELECT payload.d AS d, payload.n AS n FROM "in/#"') as b:
            self.publish(b, *({"d": "later" if n == 30 else "yes", "n": n} for n in range(31)))
            b.wait_log("rows wait for a topic")
            self.publish(b, *({"d": "yes", "n": n} for n in range(31, 300)))
            retried = b.action("r")["retried"]
            wait_until(lambda: b.action("r")["retried"] > retried + 5, 60, lambda: str(b.action("r")))
            self.assertEqual(b.action("r")["delivered"], 30)
            self.kafka.create_topic("doom.later")
            self.assertEqual(b.wait_settled("r", timeout=120)["delivered"], 300)
        self.assertEqual([int(r.value) for r in self.kafka.records("doom.yes")], [n for n in range(300) if n != 30])

    def test_kafka__one_row_whose_topic_is_not_ours(self):
        """One that we may not see, and one that we may see and not write to."""
        for d in ("all", "see", "hidden"):
            self.kafka.fresh_topic(f"doom.{d}")
        self.kafka.grant("alice", "doom.all", "describe", "write")
        self.kafka.grant("alice", "doom.see", "describe")
        self.kafka.grant("bob", "doom.hidden", "describe", "write")
        rows = ["all"] * 100
        rows[50:52] = ["see", "hidden"]
        self.poisoned(rows, [50, 51], "Write and Describe", brokers=f"127.0.0.1:{self.kafka.sasl_port}",
                      sasl={"username": "alice", "password": "pw1"})

    def test_kafka__many_missing_topics_take_as_long_as_one_until_they_are_there(self):
        """Those of rows that are held are asked for, too; and what is known to be missing need not wait for that again."""
        self.kafka.fresh_topic("many.yes")
        self.kafka.delete_topic("many.7")
        with self.broker({"topic": "many.${d}", "topic_timeout": "3s"}, sql='SELECT payload.d AS d FROM "in/#"') as b:
            self.publish(b, *({"d": n % 100} for n in range(300)), {"d": "yes"})
            n = b.wait_settled("r", timeout=150)  # one after the other they would take twice as long
            self.assertEqual((n["delivered"], n["rejected"]), (1, 300))
            self.kafka.create_topic("many.7")

            def taken():
                self.publish(b, {"d": 7})
                return b.wait_settled("r")["delivered"] > 1
            wait_until(taken, 60, lambda: str(b.action("r")))
            self.publish(b, *[{"d": 7}] * 20)
            n_after = b.wait_settled("r")
            self.publish(b, *[{"d": 7}] * 20)
            self.assertEqual(b.wait_settled("r")["rejected"], n_after["rejected"])

    def test_kafka__no_right_to_write_is_asked_for_without_new_clients(self):
        """Who may describe a topic and not write to it is refused by the topic's broker; other topics go on meanwhile."""
        self.kafka.fresh_topic("may.not")
        self.kafka.fresh_topic("may.all")
        self.kafka.grant("alice", "may.not", "describe")
        with self.broker({"topic": "may.${d}", "key": "${d}", "order_key": "${d}", "value": "${n}"},
                         sql='SELECT payload.d AS d, payload.n AS n FROM "in/#"', brokers=f"127.0.0.1:{self.kafka.sasl_port}",
                         sasl={"username": "alice", "password": "pw1"}) as b:
            self.publish(b, *({"d": "not", "n": n} for n in range(20)))
            b.wait_log("rows wait for a topic.*may.not")
            wait_until(lambda: b.action("r")["retried"] > 10, 60, lambda: str(b.action("r")))
            self.publish(b, *({"d": "all", "n": n} for n in range(200)))
            wait_until(lambda: b.action("r")["delivered"] == 200, 60, lambda: str(b.action("r")))
            self.assertLess(self.state(b)["about"]["clients_made"], 5)
            self.kafka.grant("alice", "may.not", "write")
            n = b.wait_settled("r")
            self.assertEqual((n["delivered"], n["rejected"]), (220, 0))
        self.assertEqual([int(r.value) for r in self.kafka.records("may.not")], list(range(20)))

    def test_kafka__deleted_and_created_again(self):
        self.kafka.fresh_topic(self.topic)
        with self.broker() as b:
            self.publish(b, 1)
            b.wait_settled("r")
            self.kafka.fresh_topic(self.topic)
            self.publish(b, 2)
            self.assertEqual(b.wait_settled("r")["delivered"], 2)
        self.assertEqual(len(self.kafka.records(self.topic)), 1)


class Security(KafkaTest):
    def test_kafka__sasl_and_tls(self):
        ca = TestCa.shared()
        plain = {"mechanism": "plain", "username": "alice", "password": "pw1"}
        scram = {"mechanism": "scram-sha-256", "username": "bob", "password": "pw2"}
        mine = {"ca": ca.path("ca.pem"), "cert": ca.path("client.pem"), "key": ca.path("client.key")}
        k = self.kafka
        for port, options in ((k.sasl_port, {"sasl": plain}), (k.sasl_port, {"sasl": scram}),
                              (k.tls_port, {"tls": {"ca": ca.path("ca.pem")}}), (k.tls_port, {"tls": mine}),
                              (k.tls_port, {"tls": {"verify": False}}),
                              (k.sasl_tls_port, {"sasl": scram, "tls": {"ca": ca.path("ca.pem")}}),
                              (k.sasl_tls_port, {"sasl": {"mechanism": "scram-sha-512", "username": "carol", "password": "pw3"},
                                                 "tls": {"ca": ca.path("ca.pem")}})):
            with self.subTest(port=port, **options):
                self.assertEqual(len(self.deliver(1, 2, brokers=f"127.0.0.1:{port}", **options)), 2)

    def test_kafka__what_is_wrong_is_said(self):
        ca = TestCa.shared()
        k = self.kafka
        cases = (
            (k.sasl_port, {"sasl": {"username": "alice", "password": "wrong-pw"}}, "check sasl.username, sasl.password"),
            (k.sasl_port, {"sasl": {"mechanism": "scram-sha-256", "username": "bob", "password": "wrong-pw"}}, "With Kafka 4 the login fails"),
            (k.tls_port, {"tls": {"ca": ca.path("other.pem")}}, "`tls.ca`"),
            (k.port, {"tls": {"ca": ca.path("ca.pem")}}, "SSL"),
            (k.tls_port, {}, "add `tls: {}`"),
            (1, {}, "refused"),
        )
        # In one broker, for a stop waits ten seconds for rows that cannot be delivered.
        config = self.config()
        config["connectors"] = {f"lake{i}": {**config["connectors"]["lake"], "brokers": f"127.0.0.1:{port}", **options}
                                for i, (port, options, _) in enumerate(cases)}
        (action,) = config["rules"]["r"]["actions"]
        config["rules"]["r"]["actions"] = [{**action, "connector": name} for name in config["connectors"]]
        with Broker(config) as b:
            self.publish(b, 1)
            for i, (port, options, part) in enumerate(cases):
                with self.subTest(port=port, **options):
                    self.assertIn(part, b.wait_connector(f"lake{i}", "down", 60))
                    self.assertEqual(b.action("r", i)["queued"], 1)
            self.assertNotIn("wrong-pw", b.log())
            self.assertNotIn("%3|", b.log())

    def test_kafka__token_from_a_file(self):
        path = temp_folder() / "token"

        def token(seconds):
            parts = ({"alg": "none"}, {"sub": "me", "iat": time.time() - 10, "exp": time.time() + seconds})
            path.write_text(".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + ".\n")
        options = {"brokers": f"127.0.0.1:{self.kafka.sasl_port}", "sasl": {"mechanism": "oauthbearer", "token_file": str(path)}}
        token(600)
        self.assertEqual(len(self.deliver(1, 2, **options)), 2)
        token(-5)
        with self.broker(**options) as b:
            self.publish(b, 1)
            self.assertIn("has run out", self.wait_state(b, "down", 20))
            token(600)
            self.assertEqual(b.wait_settled("r")["delivered"], 1)

    def test_kafka__secrets_are_shown_nowhere(self):
        with self.broker(brokers=f"127.0.0.1:{self.kafka.sasl_port}", sasl={"username": "alice", "password": "pw1-secret"},
                         properties={"ssl.keystore.password": "hidden"}) as b:
            shown = json.dumps(b.status()) + b.log()
        self.assertNotIn("pw1-secret", shown)
        self.assertNotIn("hidden", shown)


class Check(KafkaTest):
    def check(self, action=None, **connector):
        folder = temp_folder()
        config = self.config(action, **connector)
        config["node"] = {"data_dir": str(folder)}
        (folder / "c.yaml").write_text(json.dumps(config))
        done = run_program("check", "-c", str(folder / "c.yaml"))
        return done.returncode, done.stderr + done.stdout

    def test_check__properties_are_text_or_plain_numbers_and_booleans(self):
        code, text = self.check(properties={"socket.keepalive.enable": True, "socket.send.buffer.bytes": 65536, "queue.buffering.backpressure.threshold": "1"})
        self.assertEqual(code, 0, text)

    def test_check__says_what_is_wrong_and_what_to_do(self):
        ca = TestCa.shared()
        cases = (
            ({"properties": {"soket.keepalive.enable": "true"}}, "did you mean `socket.keepalive.enable`?"),
            ({"properties": {"linger.ms": "7"}}, "use the option `linger`"),
            ({"properties": {"linger.msx": 7}}, "did you mean `linger.ms`?"),
            ({"properties": {"mesage.timeout.ms": 7}}, "did you mean `message.timeout.ms`?"),
            ({"properties": {"socket.keepalive.enable": None}}, "has no value"),
            ({"properties": {"max.in.flight": "many"}}, "properties.max.in.flight: "),
            ({"properties": {"transactional.id": "x"}}, "Sluice sets this itself"),
            ({"properties": {"plugin.library.paths": "libc.so.6"}}, "would load foreign code into the broker"),
            ({"properties": {"ssl.engine.location": "/lib/x.so"}}, "ssl.engine.location: would load foreign code into the broker"),
            ({"properties": {"sasl.password": "geheim"}}, "use the option `sasl.password`"),
            ({"acks": "leader"}, "idempotence: false"),
            ({"sasl": {"mechanism": "scram-sha-512"}}, "needs `username` and `password`"),
            ({"sasl": {"mechanism": "oauthbearer"}}, "token_file"),
            ({"sasl": {"mechanism": "aws-msk-iam", "region": "x", "access_key": "a", "secret_key": "b"}}, "add `tls: {}`"),
            ({"tls": {"ca": ca.path("ca.pem"), "server_name": "x"}}, "tls.server_name"),
            ({"tls": {"ca": "/nowhere.pem"}}, "/nowhere.pem"),
            ({"pasword": "geheim"}, "did you mean `sasl.password`?"),
            ({"sasl.mechanism": "PLAIN"}, "did you mean `sasl.mechanism`?"),
            ({"security.protocol": "SASL_SSL"}, "write `tls: {}` for SSL, `sasl: {...}` for SASL_PLAINTEXT"),
            ({"brokers": "u:geheim@a:9092"}, "brokers[0]: write host:port alone"),
            ({"compression": "brotli"}, "`none`, `gzip`, `snappy`"),
        )
        for connector, part in cases:
            with self.subTest(**connector):
                code, text = self.check(**connector)
                self.assertEqual(code, 1, text)
                self.assertIn(part, text)
                self.assertNotIn("geheim", text)
        code, text = self.check(action={"topic": "a b"})
        self.assertEqual(code, 1)
        self.assertIn("cannot be in the name of a topic", text)

    def test_check__scram_of_an_old_library_is_pointed_out(self):
        code, text = self.check(sasl={"mechanism": "scram-sha-256", "username": "u", "password": "p"})
        self.assertEqual(code, 0, text)
        self.assertIn("older than 2.6.1", text)


class Faults(KafkaTest):
    """Whatever happens: at least once, and in order for each key."""

    def begin(self, timeout="10s", **connector):
        self.kafka.fresh_topic(self.topic, 3)
        self.b = self.broker({"key": "${c}", "value": "${n}", "timeout": timeout},
                             sql='SELECT clientid AS c, payload.n AS n FROM "in/#"', **connector)
        self.addCleanup(self.b.stop, check=False)
        self.sent, self.stopping = {}, threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(f"c{i}",)) for i in range(4)]
        for t in self.threads:
            t.start()

    def send(self, name):
        while not self.stopping.is_set():
            try:
                with Client(self.b.port) as c:
                    c.connect(name)
                    while not self.stopping.is_set():
                        n = self.sent.get(name, 0) + 1
                        c.publish("in/" + name, b'{"n":%d}' % n, qos=1)
                        self.sent[name] = n
                        time.sleep(0.002)
            except (OSError, AssertionError, Closed):
                time.sleep(0.1)

    def finish(self, timeout=60):
        self.stopping.set()
        for t in self.threads:
            t.join()
        n = self.b.wait_settled("r", timeout=timeout)
        self.assertEqual(n["rejected"], 0)
        seen, twice = {}, 0
        for r in self.kafka.records(self.topic):
            seen.setdefault(r.key.decode(), []).append(int(r.value))
        for name, last in self.sent.items():
            numbers = seen[name]
            self.assertLessEqual(set(range(1, last + 1)), set(numbers))
            first = list(dict.fromkeys(numbers))
            if first != sorted(first):
                at = next(i for i, n in enumerate(first) if n != sorted(first)[i])
                self.fail(f"{name} is out of order: {first[max(at - 5, 0):at + 15]}, all: {numbers[max(at - 5, 0):at + 30]}\n{self.b.log()}")
            twice += len(numbers) - len(first)
        self.b.stop()
        return sum(self.sent.values()), twice

    def test_faults__server_killed_and_started_again(self):
        self.begin(timeout="120s")  # longer than the server takes to start on a busy machine
        time.sleep(1)
        self.kafka.kill9()
        self.wait_state(self.b, "down", 20)
        time.sleep(1)
        self.kafka.restart()
        self.wait_state(self.b, "up", 60)
        time.sleep(0.5)
        self.assertEqual(self.finish(timeout=120)[1], 0, "idempotence: librdkafka keeps the rows, nothing comes twice")

    def test_faults__packets_dropped_in_silence(self):
        self.begin(request_timeout="3s")
        time.sleep(0.5)
        with Net.dropped(self.kafka.port):
            time.sleep(7)
        self.finish()

    def test_faults__no_answer_for_longer_than_the_timeout(self):
        self.begin(request_timeout="5m")
        time.sleep(0.5)
        with Net.dropped(self.kafka.port):
            self.wait_state(self.b, "down", 30)
        self.finish()

    def test_faults__we_are_killed(self):
        self.begin()
        for _ in range(3):
            time.sleep(0.7)
            self.b.kill()
            self.b.start()
        time.sleep(0.3)
        self.finish()

    def test_faults__idle_connections_that_end_are_no_outage(self):
        self.kafka.fresh_topic(self.topic)
        with Proxy(self.kafka.behind_proxy_port, self.kafka.proxied_port) as proxy:
            with self.broker(brokers=f"127.0.0.1:{proxy.port}") as b:
                for n in range(3):
                    self.publish(b, n)
                    b.wait_settled("r")
                    proxy.end_connections()
                    time.sleep(2.5)
                self.assertEqual(b.action("r")["delivered"], 3)
                self.assertNotIn("down", b.log())

    def test_faults__stops_while_the_server_is_away(self):
        self.kafka.fresh_topic(self.topic)
        with self.broker() as b:
            self.publish(b, 1)
            b.wait_settled("r")
            self.kafka.kill9()
            self.publish(b, *range(50))
            began = time.monotonic()
            b.stop()
            self.assertLess(time.monotonic() - began, 80)
            self.kafka.restart()
            b.start()
            self.assertEqual(b.wait_settled("r")["delivered"], 50)
        self.assertEqual(len(self.kafka.records(self.topic)), 51)


class Peers(KafkaTest):
    """Peers that are no broker: nothing hangs, grows or is lost."""

    def peer(self, serve):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def accept():
            while True:
                try:
                    s, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(s,), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def test_peers__hold_rows_whatever_they_do(self):
        """Silence, garbage, an end at once; in one broker, for a stop waits ten seconds for rows that cannot be delivered."""
        def garbage(s):
            try:
                while s.recv(4096):
                    s.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
            except OSError:
                pass
        kept = []
        config = self.config(connect_timeout="1s", properties={"api.version.request.timeout.ms": "1000"})
        peers = {"silent": kept.append, "garbage": garbage, "end": lambda s: s.close()}
        config["connectors"] = {name: {**config["connectors"]["lake"], "brokers": f"127.0.0.1:{self.peer(serve)}"} for name, serve in peers.items()}
        (action,) = config["rules"]["r"]["actions"]
        config["rules"]["r"]["actions"] = [{**action, "connector": name} for name in peers]
        with Broker(config) as b:
            self.publish(b, *range(10))
            for name in peers:
                with self.subTest(name):
                    self.assertIn("127.0.0.1", b.wait_connector(name, "down", 60))
            time.sleep(2)
            for i in range(len(peers)):
                n = b.action("r", i)
                self.assertEqual((n["queued"], n["rejected"]), (10, 0))


# What an expression gives, and what key, value and header become: text for "NULL", else bytes. TYPES.md is printed from it.
KINDS = (
    ("absent", "payload.absent", None),
    ("null of JSON", "payload.nothing", None),
    ("boolean", "payload.yes", b"true"),
    ("integer", "payload.n + 0", b"9007199254740993"),
    ("integer beyond 64 bits, as it stood", "payload.big", b"123456789012345678901234567890"),
    ("float", "payload.f * 2", b"0.3"),
    ("number as it stood", "payload.f", b"0.150"),
    ("text", "payload.s", "h\u00e9llo \"q\"".encode()),
    ("empty text", "payload.empty", b""),
    ("binary", "payload", None),
    ("array", "payload.list", b'[1,"a",null]'),
    ("object", "payload.object", b'{"b":{"c":1.0}}'),
    ("the whole row", ".", None),
)
MESSAGE = (b'{"nothing":null,"yes":true,"n":9007199254740993,"big":123456789012345678901234567890,"f":0.150,'
           b'"s":"h\xc3\xa9llo \\"q\\"","empty":"","list":[1, "a", null],"object":{"b": {"c": 1.0}}}')
TYPES_MD = ROOT / "connectors/kafka/TYPES.md"


class Matrix(KafkaTest):
    def test_matrix__every_kind_of_value(self):
        """Every cell of TYPES.md, on the real broker."""
        lines = ["# What a value becomes in Kafka", "",
                 "Printed by a test that sends every cell to a real broker. Key, value and header take a value in the same way.", "",
                 "| value | for example | value | key | header |", "| --- | --- | --- | --- | --- |"]
        for kind, expression, expected in KINDS:
            whole = expression == "."
            message = b"\xff\x00'" if kind == "binary" else MESSAGE
            records = self.deliver(message, sql=f'SELECT {"payload.n AS x" if whole else expression + " AS x"} FROM "in/#"',
                                   action={"key": "${.}" if whole else "${x}", "value": "${.}" if whole else "${x}",
                                           "headers": {"h": "${.}" if whole else "${x}"}})
            if kind == "binary":
                expected = message
            if whole:
                expected = b'{"x":9007199254740993}'
            r = records[0]
            self.assertEqual((r.key, r.value), (expected, expected), kind)
            if kind != "binary":  # kcat prints headers up to a NUL
                self.assertEqual(r.headers.encode("latin-1"), b"h=" + (b"NULL" if expected is None else expected), kind)
            shown = "null" if expected is None else "its bytes" if kind == "binary" else \
                "empty" if expected == b"" else f"`{expected.decode()}`"
            null = expected is None
            lines.append(f"| {kind} | `${{{'.' if whole else expression}}}` | {shown + (', a tombstone' if null else '')} | "
                         f"{'no key' if null else shown} | {shown} |")
        text = "\n".join(lines) + "\n"
        if os.environ.get("DESCRIBE_WRITE"):
            TYPES_MD.write_text(text)
        self.assertEqual(TYPES_MD.read_text(), text)


class Example(KafkaTest):
    def test_example__prints_what_it_promises(self):
        self.kafka.fresh_topic("example.hot", retention_ms=-1)
        self.kafka.fresh_topic("example.state", cleanup_policy="compact")
        self.kafka.fresh_topic("example.commands")
        done = subprocess.run([str(ROOT / "examples/kafka/run.sh")], capture_output=True, text=True, timeout=300, check=False,
                              env={**os.environ, "KAFKA_BROKERS": f"127.0.0.1:{self.kafka.port}", "SLUICE_BIN": BIN})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("as expected", done.stdout)
