"""Payloads of JSON whose text is not UTF-8: every message is stored as what it is, or is a dead letter, at every kind."""
import base64
import json
import sqlite3
import unittest

import kafka_test
import mongodb_test
import postgres_test
from redis_case import RedisCase

from harness.broker import Broker, temp_folder, wait_until
from harness.client import Client
from harness.packet import PUBLISH
from harness.servers import FerretDB, MongoJava

# How a text is spelled in the payload, and its bytes. Half of a surrogate pair, which JSON can spell and UTF-8 cannot, is the
# three bytes that it would have.
TEXTS = [(b'"ab\xff"', b"ab\xff"), (b'"\xc3"', b"\xc3"), (b'"\\ud800"', b"\xed\xa0\x80"), (b'"\xed\xa0\x80"', b"\xed\xa0\x80"),
         (b'"z\\udfff\\u00e4"', b"z\xed\xbf\xbf\xc3\xa4"), (b'"\'; DROP TABLE t; -- \xff"', b"'; DROP TABLE t; -- \xff"),
         (b'"\\u0000\xfe\\"\\\\"', b'\0\xfe"\\'), (b'"nul\\u0000"', b"nul\0"), (b'"$1 ${v} \xc0\x80"', b"$1 ${v} \xc0\x80"),
         (b'"\\ud83d\\ude00"', "\U0001f600".encode()), (b'"good"', b"good")]
OBJECT = b'{"n\xff": 1, "t": ["\xfe", "good"], "deep": {"s": "\\ud800"}}'  # and what becomes of it where it is written as JSON:
WRITTEN = {"bv8=": 1, "t": ["/g==", "good"], "deep": {"s": "7aCA"}}
SELECT = 'SELECT payload.id AS id, payload.v AS v FROM "in/#"'


def payload(n, value):
    """Names that are not UTF-8, and values that nobody asks for, stand beside it."""
    return b'{"id": %d, "\xff": "x", "v": %s, "unread": ["\xfd", "\\ud800"]}' % (n, value)


PAYLOADS = [payload(n, spelled) for n, (spelled, _) in enumerate(TEXTS)]


def is_text(data):
    return data.decode(errors="replace").encode() == data


def as_json(data):
    return data.decode() if is_text(data) else base64.b64encode(data).decode()


class Counted:
    """What `deliver` of the kinds' own tests leaves open: whether a run of the rule failed, and what of a message is kept."""

    def broker(self, *args, **more):
        outer, case = super().broker(*args, **more), self
        settled = outer.wait_settled

        def wait_settled(rule, *a, **m):
            n = settled(rule, *a, **m)
            run = outer.rule(rule)
            case.assertEqual((run["failed"], run["produced"]), (0, run["matched"]), run)
            return n
        outer.wait_settled = wait_settled
        return outer

    def lost(self, letters):
        return sorted(base64.b64decode(d["message"]["payload_base64"]) for d in letters)


class AnyTextRedis(Counted, RedisCase):
    def test_redis__stores_the_bytes(self):
        self.deliver(*PAYLOADS, sql=SELECT, action={"commands": [["SET", "k${id}", "${v}"], ["SET", "${v}", "${id}"]]})
        for n, (_, data) in enumerate(TEXTS):
            self.assertEqual(self.redis.execute("GET", f"k{n}"), data)
        self.assertEqual({self.redis.execute("GET", data) for _, data in TEXTS}, {str(n).encode() for n in range(len(TEXTS))} - {b"2"})

    def test_redis__objects(self):
        self.deliver(payload(1, OBJECT), sql=SELECT, action={"commands": [["SET", "json", "${v}"], ["HSET", "hash", "${v}"]]})
        self.assertEqual(json.loads(self.redis.execute("GET", "json")), WRITTEN)
        self.assertEqual(self.redis.execute("HGET", "hash", "bv8="), b"1")
        self.deliver(b'{"v": {"f\\udc00": "\\ud800"}}', sql=SELECT, action={"command": ["HSET", "half", "${v}"]})
        self.assertEqual(self.redis.execute("HGET", "half", b"f\xed\xb0\x80"), b"\xed\xa0\x80")


class AnyTextKafka(Counted, kafka_test.KafkaTest):
    def test_kafka__stores_the_bytes(self):
        records = self.deliver(*PAYLOADS, sql=SELECT, action={"key": "${v}", "value": "v=${v}", "headers": {"h": "${v}"}})
        self.assertEqual([(r.key, r.value) for r in records], [(data, b"v=" + data) for _, data in TEXTS])

    def test_kafka__a_row_is_json_with_base64(self):
        records = self.deliver(*PAYLOADS, payload(99, OBJECT), sql=SELECT)
        rows = [json.loads(r.value.decode()) for r in records]
        self.assertEqual([r["v"] for r in rows], [as_json(data) for _, data in TEXTS] + [WRITTEN])
        records = self.deliver(*PAYLOADS, sql='SELECT payload FROM "in/#"', action={"value": "${payload}"})
        self.assertEqual([r.value for r in records], PAYLOADS)

    def test_kafka__a_topic_cannot_have_it(self):
        self.kafka.fresh_topic(self.topic + ".good")
        self.deliver(*PAYLOADS, sql=SELECT, action={"topic": self.topic + ".${v}"}, rejected=len(PAYLOADS) - 1)
        self.assertEqual(self.lost(self.dead), sorted(PAYLOADS[:-1]))


class AnyTextPostgres(Counted, postgres_test.PostgresTest):
    WAYS = {"table": None, "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}}

    def test_postgres__text_refuses_it_and_bytea_takes_it(self):
        stored = [data for _, data in TEXTS if is_text(data) and b"\0" not in data]
        for way, action in self.WAYS.items():
            with self.subTest(way=way):
                self.table("id int, v text")
                self.deliver(PAYLOADS, action, SELECT, rejected=len(TEXTS) - len(stored))
                self.assertEqual([r[0].encode() for r in self.rows("v", order="id")], stored)
                self.assertEqual(self.lost(self.letters), sorted(p for p, (_, d) in zip(PAYLOADS, TEXTS) if d not in stored))
                for letter in self.letters:
                    self.assertRegex(letter["reason"], "not UTF-8|NUL character")
                self.table("id int, v bytea")
                self.deliver(PAYLOADS, action, SELECT)
                self.assertEqual([bytes.fromhex(r[0]) for r in self.rows("encode(v, 'hex')", order="id")], [d for _, d in TEXTS])

    def test_postgres__jsonb(self):
        half = payload(2, b'{"half": "\\ud800"}')  # all of it UTF-8: the server knows that it is no text
        only = b'{"id": 3, "v": {"half": "\\udfff"}}'
        for way, action in self.WAYS.items():
            with self.subTest(way=way):
                self.table("id int, v jsonb")
                self.deliver([payload(1, OBJECT), half, only, payload(4, b'"\xff"'), payload(5, b'[1]')], action, SELECT, rejected=2)
                self.assertEqual([(r[0], json.loads(r[1])) for r in self.rows()], [("1", WRITTEN), ("2", {"half": "7aCA"}), ("5", [1])])


class AnyTextMongo(Counted, mongodb_test.MongoTest):
    def check_server(self, kind):
        self.server_kind = kind
        self.setUp()
        self.deliver(PAYLOADS + [payload(99, OBJECT)], {"document": {"id": "${id}", "v": "${v}"}}, SELECT)
        found = [d["v"] for d in self.documents(sort={"id": 1})]
        self.assertEqual(found, [data.decode() if is_text(data) else data for _, data in TEXTS] + [WRITTEN])

    def test_mongodb__bytes_are_binary(self):
        self.check_server(FerretDB)
        self.check_server(MongoJava)

    def test_mongodb__a_collection_cannot_have_it(self):
        self.server_kind = MongoJava  # which would make U+FFFD of it
        self.setUp()
        self.deliver([payload(1, b'"ab\xff"'), payload(2, b'"\\ud800"'), payload(3, b'"good"')], {"collection": "c_${v}"}, SELECT, rejected=2)
        self.assertIn("collection: this row's name is empty, over 200 bytes, not UTF-8", self.letters[0]["reason"])

    def test_mongodb__where_text_is_asked_for_it_is_refused(self):
        stored = [data for _, data in TEXTS if is_text(data)]
        self.deliver(PAYLOADS, {"document": {"id": "${id}", "v": "${v}"}, "types": {"v": "string"}}, SELECT, rejected=len(TEXTS) - len(stored))
        self.assertEqual([d["v"].encode() for d in self.documents(sort={"id": 1})], stored)
        self.assertIn("field v: these bytes are not UTF-8 text", self.letters[0]["reason"])

    def test_mongodb__names(self):
        self.deliver([b'{"id": 1, "v": {"half\\ud800": 1}}', b'{"id": 2, "v": {"nul\\u0000": 1}}', payload(3, OBJECT)],
                     {"document": {"id": "${id}", "v": "${v}"}}, SELECT, rejected=2)
        self.assertEqual([d["v"] for d in self.documents()], [WRITTEN])
        self.assertIn("a name is not UTF-8", self.letters[0]["reason"])
        self.assertIn("a name holds a zero byte", self.letters[1]["reason"])


class AnyTextLocal(unittest.TestCase):
    """The kinds that need no server; and what republishes."""

    def test_status__says_why_a_rule_failed(self):
        with Broker({"rules": {"r": {"sql": 'SELECT int(payload.v) AS v FROM "in/#"', "actions": [{"console": {}}]}}}) as b, Client(b.port) as c:
            c.connect("dev")
            c.publish_all("in/a", PAYLOADS[:1])
            wait_until(lambda: b.rule("r")["failed"] == 1)
            self.assertIn("int(): 'ab?' is no such value", b.rule("r")["failures"][0]["reason"])

    def test_sqlite_and_file__store_the_bytes(self):
        folder = temp_folder()
        db = sqlite3.connect(folder / "a.db")
        db.execute("CREATE TABLE t (id INTEGER, v TEXT)")
        db.commit()
        config = {"connectors": {"db": {"type": "sqlite", "path": str(folder / "a.db")}, "out": {"type": "file", "dir": str(folder)}},
                  "rules": {"r": {"sql": SELECT, "actions": [
                      {"connector": "db", "table": "t", "columns": {"id": "${id}", "v": "${v}"}},
                      {"connector": "out", "file": "lines", "line": "${id} ${v}"},
                      {"connector": "out", "file": "rows.jsonl"},
                      {"republish": {"topic": "again/${id}", "payload": "${v}"}}]}}}
        with Broker(config) as b, Client(b.port) as c, Client(b.port) as reader:
            reader.connect("reader")
            reader.subscribe("again/#")
            c.connect("dev")
            c.publish_all("in/a", PAYLOADS)
            again = [reader.expect(PUBLISH).payload for _ in PAYLOADS]
            for i in range(3):
                n = b.wait_settled("r", i)
                self.assertEqual((n["delivered"], n["rejected"]), (len(PAYLOADS), 0))
            run = b.rule("r")
            self.assertEqual((run["failed"], run["produced"]), (0, len(PAYLOADS)))
        data = [d for _, d in TEXTS]
        self.assertEqual(again, data)
        self.assertEqual([bytes(v) for (v,) in db.execute("SELECT CAST(v AS BLOB) FROM t ORDER BY id")], data)
        self.assertEqual((folder / "lines").read_bytes().splitlines(), [b"%d %s" % (n, d) for n, d in enumerate(data)])
        rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text("utf-8").splitlines()]
        self.assertEqual([r["v"] for r in rows], [as_json(d) for d in data])
