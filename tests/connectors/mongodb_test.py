"""The mongodb connector against servers that speak its protocol: what a rule sends is what a collection holds, typed, and
nothing is lost on the way. FerretDB has logins and TLS and keeps what it acknowledged; mongo-java-server has decimal128, NaN and
nested lists; what neither shows (a changing primary, retried writes, partial errors) a script plays."""
import json
import os
import subprocess
import unittest

from harness.broker import BIN, ROOT, Broker, wait_until
from harness.client import Client
from harness.proxy import Proxy
from harness.servers import FerretDB, MongoJava, Net, TestCa, shared
from harness.servers.mongo_script import MongoScript
from harness.servers.mongo_wire import Binary, Date, Decimal128, ObjectId

SELECT = 'SELECT payload.id AS id, payload.v AS v, payload.t AS t FROM "in/#"'
ROW = 'SELECT payload.a AS a, payload.b AS b FROM "in/#"'


class MongoTest(unittest.TestCase):
    """One broker of ours per test, one rule `r`, one connector `docs`, one database `iot`, mostly one collection `c`."""
    server_kind = FerretDB

    def setUp(self):
        self.server = shared(self.server_kind)
        with self.server.client() as c:
            c.drop("iot", "c")

    def config(self, action=None, sql=SELECT, **connector):
        connector = {"type": "mongodb", "url": connector.get("url") or self.server.url(), "database": "iot",
                     "reconnect": {"first": "50ms", "max": "500ms"}, **connector}
        connector = {k: v for k, v in connector.items() if v is not None}
        return {"connectors": {"docs": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "docs", "collection": "c", "retry": {"first": "50ms", "max": "500ms"}, **(action or {})}]}}}

    def broker(self, action=None, sql=SELECT, **connector):
        return Broker(self.config(action, sql, **connector))

    def publish(self, broker, payloads, topic="in/a", client="dev"):
        with Client(broker.port) as c:
            c.connect(client)
            c.publish_all(topic, payloads)

    def dead(self, broker):
        path = broker.folder / "data/dead/r.0.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def deliver(self, payloads, action=None, sql=SELECT, rejected=0, **connector):
        """Publishes and waits for the end; afterwards self.letters has the dead letters."""
        payloads = list(payloads)
        with self.broker(action, sql, **connector) as b:
            self.publish(b, payloads)
            n = b.wait_settled("r")
            self.letters = self.dead(b)
            self.assertEqual((n["delivered"], n["rejected"]), (len(payloads) - rejected, rejected), self.letters[:3])
        return n

    def documents(self, where=None, **options):
        return self.server.find("iot", "c", where, **options)

    def state(self, broker):
        return broker.connector("docs")

    def wait_state(self, broker, state, timeout=30):
        return broker.wait_connector("docs", state, timeout)


class Writing(MongoTest):
    def test_insert__the_whole_row_is_the_document(self):
        self.deliver([{"a": i, "b": {"c": [1, 2.5, "x", None, True]}} for i in range(500)], sql=ROW)
        found = self.documents(sort={"a": 1})
        self.assertEqual([d["a"] for d in found], list(range(500)))
        self.assertEqual(found[0]["b"], {"c": [1, 2.5, "x", None, True]})
        self.assertEqual(len({d["_id"] for d in found}), 500)
        self.assertIsInstance(found[0]["_id"], ObjectId)

    def test_insert__a_template_as_yaml_and_as_json_text(self):
        yaml = {"who": "${id}", "in": {"v": "${v}", "text": "from ${topic}", "n": 7}, "at": {"$date": "${t}"}}
        text = '{"who": ${id}, "in": {"v": ${v}, "text": "from ${topic}", "n": 7}, "at": {"$date": ${t}}, "q": "${v}"}'
        for document in (yaml, text):
            with self.subTest(document=document):
                self.setUp()
                self.deliver([{"id": "d\"1", "v": 2.5, "t": 1700000000123}], {"document": document})
                (found,) = self.documents()
                self.assertEqual(found["who"], "d\"1")
                self.assertEqual(found["in"], {"v": 2.5, "text": "from in/a", "n": 7})
                self.assertEqual(found["at"], Date(1700000000123))
                self.assertEqual(found.get("q"), "2.5" if document is text else None)


    def test_insert__collections_by_name(self):
        with self.server.client() as c:
            for name in ("c_a", "c_b"):
                c.drop("iot", name)
        self.deliver([{"id": "ab"[i % 2], "v": i} for i in range(60)] + [{"id": "$x", "v": 1}, {"id": "", "v": 1}],
                     {"collection": "c_${id}"}, rejected=1)
        self.assertIn("collection: this row's name", self.letters[0]["reason"])
        self.assertEqual([d["v"] for d in self.server.find("iot", "c_a", sort={"v": 1})], list(range(0, 60, 2)))
        self.assertEqual([d["v"] for d in self.server.find("iot", "c_b", sort={"v": 1})], list(range(1, 60, 2)))

    def test_insert__absent_fields(self):
        document = {"v": "${v}", "t": "${t}"}
        self.deliver([{"id": 1, "t": 2}], {"document": document})
        self.deliver([{"id": 1, "t": 3, "v": None}, {"id": 1, "t": 4}], {"document": document, "absent": "omit"})
        found = self.documents(sort={"t": 1})
        self.assertEqual([{k: v for k, v in d.items() if k != "_id"} for d in found],
                         [{"v": None, "t": 2}, {"v": None, "t": 3}, {"t": 4}])

    def test_filter__a_value_that_is_not_there_finds_nothing(self):
        """null would fit every document that does not have the field."""
        for action in ({"operation": "delete", "many": True}, {"operation": "update", "update": {"$set": {"v": 1}}}, {"operation": "replace"}):
            for where in ({"k": "${id}"}, {"k": {"$in": [7, "${id}"]}}, {"$or": [{"k": {"$gte": "${id}"}}]}):
                with self.subTest(action=action, where=where):
                    self.setUp()
                    with self.server.client() as c:
                        c.insert("iot", "c", {"_id": 1}, {"_id": 2, "k": None})
                    self.deliver([{"v": 1}, {"id": None, "v": 1}], {**action, "filter": where}, rejected=2)
                    self.assertIn("null would fit documents without the field", self.letters[0]["reason"])
                    self.assertEqual(self.documents(sort={"_id": 1}), [{"_id": 1}, {"_id": 2, "k": None}])

    def test_update__upsert_replace_delete(self):
        twice = [{"id": "a", "v": 1}, {"id": "b", "v": 2}, {"id": "a", "v": 3}]
        self.deliver(twice, {"operation": "update", "id": "${id}", "update": {"$set": {"v": "${v}"}}})
        self.assertEqual(self.documents(), [])
        self.deliver(twice, {"operation": "upsert", "id": "${id}", "update": {"$set": {"v": "${v}"}, "$inc": {"n": 1}}})
        self.assertEqual(self.documents(sort={"_id": 1}), [{"_id": "a", "v": 3, "n": 2}, {"_id": "b", "v": 2, "n": 1}])
        self.deliver([{"id": "a", "v": 9}], {"operation": "upsert", "id": "${id}", "document": {"w": "${v}"}})
        self.assertEqual(self.documents({"_id": "a"}), [{"_id": "a", "v": 3, "n": 2, "w": 9}])
        self.deliver([{"id": "a", "v": 10}], {"operation": "upsert", "id": "${id}"}, sql='SELECT payload.id AS id, payload.v AS x FROM "in/#"')
        self.assertEqual(self.documents({"_id": "a"}), [{"_id": "a", "v": 3, "n": 2, "w": 9, "id": "a", "x": 10}])  # the row
        self.deliver([{"id": "a", "v": 7}, {"id": "z", "v": 8}],
                     {"operation": "replace", "filter": {"_id": "${id}"}, "document": {"v": "${v}"}})
        self.assertEqual(self.documents(sort={"_id": 1}), [{"_id": "a", "v": 7}, {"_id": "b", "v": 2, "n": 1}, {"_id": "z", "v": 8}])
        self.deliver([{"v": 5}], {"operation": "delete", "filter": {"v": {"$gt": "${v}"}}, "many": True})
        self.assertEqual(self.documents(), [{"_id": "b", "v": 2, "n": 1}])


class Refused(MongoTest):
    """What the server refuses is a dead letter with its reason; everything else is stored."""

    def unique(self, field="v"):
        with self.server.client() as c:
            c.command("iot", {"createIndexes": "c", "indexes": [{"key": {field: 1}, "name": field + "_1", "unique": True}]})

    def test_poison__one_row_in_ten_thousand(self):
        self.unique()
        payloads = [{"id": i, "v": i} for i in range(10_000)]
        payloads[5000] = {"id": 5000, "v": 17}
        self.deliver(payloads, rejected=1)
        self.assertIn("(code 11000)", self.letters[0]["reason"])
        self.assertEqual(self.letters[0]["row"]["document"]["id"], 5000)
        self.assertEqual(len(self.documents()), 9_999)

    def test_poison__a_value_of_the_wrong_type(self):
        payloads = [{"id": i, "v": 1} for i in range(1000)]
        payloads[10] = {"id": "seven", "v": {"a": 1}}
        self.deliver(payloads, {"types": {"id": "int64"}}, rejected=1)
        self.assertEqual(self.letters[0]["reason"], "field id: this text cannot be stored as int64")

    def test_poison__a_document_of_more_than_16_mb(self):
        wide = {"id": 1, "v": [0] * 300_000}  # 0.9 MB of JSON, and three times 7 MB of BSON
        document = {"id": "${id}", "a": "${v}", "b": "${v}", "c": "${v}"}
        types = {name: "decimal128" for name in "abc"}
        self.deliver([{"id": 0, "v": None}, wide, {"id": 2, "v": None}], {"document": document, "types": types}, rejected=1)
        self.assertIn("MongoDB", self.letters[0]["reason"])
        self.assertEqual([d["id"] for d in self.documents(sort={"id": 1})], [0, 2])

    def test_duplicates__of_an_id(self):
        payloads = [{"id": 1, "v": 1}, {"id": 2, "v": 2}, {"id": 1, "v": 3}]
        self.deliver(payloads, {"id": "${id}"}, rejected=1)
        self.assertIn("11000", self.letters[0]["reason"])
        self.deliver(payloads, {"id": "${id}", "duplicates": "done"})
        self.assertEqual([d["v"] for d in self.documents(sort={"_id": 1})], [1, 2])

    def test_duplicates__of_another_index_are_always_refused(self):
        self.unique()
        self.deliver([{"id": 1, "v": 1}, {"id": 2, "v": 1}], {"id": "${id}", "duplicates": "done"}, rejected=1)

    def test_duplicates__a_thousand_at_once_of_a_server_that_names_no_index(self):
        """As after a restart in the middle: one question for all of them, and what another index refuses is told apart."""
        self.unique()
        action = {"id": "${id}", "duplicates": "done", "batch": {"rows": 1001, "linger": "2s"}}
        payloads = [{"id": i if i % 2 else f"s{i}", "v": i} for i in range(1000)]
        self.deliver(payloads, action)
        again = [*payloads[:500], {"id": "other", "v": 17}, *payloads[500:]]
        finds = []
        with Proxy(self.server.port) as proxy:
            proxy.rewrite = lambda data: finds.append(data.count(b"\x02find\0")) or data
            self.deliver(again, action, rejected=1, url=self.server.url().replace(str(self.server.port), str(proxy.port)))
        self.assertIn(sum(finds), range(1, 50))
        self.assertEqual(self.letters[0]["row"]["id"], "other")
        self.assertEqual(len(self.documents()), 1000)

    def test_timeseries__a_server_that_has_none(self):
        with self.broker({"timeseries": {"time": "t", "meta": "id"}}) as b:
            self.publish(b, [{"id": 1, "v": 1, "t": 1}])
            reason = self.wait_state(b, "degraded")
            self.assertIn("the time-series collection c cannot be made", reason)
            self.assertEqual(b.action("r")["queued"], 1)


class Ordered(MongoTest):
    """FerretDB does not survive some hundred upserts in one command."""
    server_kind = MongoJava

    def test_update__rows_of_a_key_in_their_order(self):
        self.deliver([{"id": i % 7, "v": i} for i in range(600)],
                     {"operation": "upsert", "id": "${id}", "update": {"$set": {"v": "${v}"}, "$push": {"all": "${v}"}}})
        for d in self.documents():
            self.assertEqual(d["all"], list(range(d["_id"], 600, 7)))

    def test_poison__an_update_that_fails_among_others(self):
        payloads = [{"id": i % 50, "v": 1} for i in range(600)]
        payloads[377] = {"id": 3, "v": "text"}
        self.deliver(payloads, {"operation": "upsert", "id": "${id}", "update": {"$inc": {"n": "${v}"}}}, rejected=1)
        self.assertEqual(sum(d["n"] for d in self.documents()), 599, self.letters)


HOSTILE = ["it's \"quoted\" \\ and `ticked`", "\x00nul\x00", "'; db.dropDatabase(); //", "$where", "{\"$gt\": \"\"}", "$1 ${v} %s",
           "\u202e\U0001f600", "a" * 60000, "ISODate(2023-11-14T22:13:20.000Z) "]


class Hostile(MongoTest):
    """Whatever a value looks like, it is a value."""
    server_kind = MongoJava

    def test_text__comes_back_as_it_was(self):
        for action in ({}, {"document": {"id": "${id}", "v": "${v}"}}, {"document": '{"id": ${id}, "v": "${v}"}'},
                       {"operation": "upsert", "filter": {"id": "${id}"}, "update": {"$set": {"v": "${v}"}}}):
            with self.subTest(action=action):
                self.setUp()
                self.deliver([{"id": i, "v": text} for i, text in enumerate(HOSTILE)], action)
                self.assertEqual([d["v"] for d in self.documents(sort={"id": 1})], HOSTILE)

    def test_objects__are_compared_with_not_obeyed(self):
        self.deliver([{"id": i, "v": f"secret {i}"} for i in range(5)])
        for condition in ({"$gt": ""}, {"$ne": None}, {"$exists": True}):
            self.deliver([{"id": condition}], {"operation": "delete", "filter": {"id": "${id}"}, "many": True})
        self.assertEqual(len(self.documents()), 5)

    def test_objects__as_an_id_are_compared_with_as_well(self):
        self.deliver([{"id": f"id {i}", "v": i} for i in range(3)], {"id": "${id}"})
        for condition in ({"$gt": ""}, {"$ne": None}, {"$exists": True}):
            self.deliver([{"id": condition}], {"operation": "delete", "id": "${id}"})
            self.deliver([{"id": condition, "v": "taken"}], {"operation": "update", "id": "${id}", "update": {"$set": {"v": "${v}"}}})
        self.assertEqual(sorted(d["v"] for d in self.documents()), [0, 1, 2])

    def test_objects__cannot_be_operators(self):
        self.deliver([{"id": 1, "v": 1}])
        self.deliver([{"id": 1, "v": {"$set": {"admin": True}}}], {"operation": "replace", "filter": {"id": "${id}"},
                                                                  "document": "${v}"}, rejected=1)
        self.assertIn("field $set: this name begins with $", self.letters[0]["reason"])
        self.assertEqual(self.documents()[0]["v"], 1)

    def test_names__with_dollars_and_dots(self):
        odd = {"$set": {"a.b": 1}, "a.b": 2, "": 3}
        self.deliver([{"id": 1, "v": odd}])
        self.assertEqual(self.documents()[0]["v"], odd)

    def test_bytes__that_are_no_text(self):
        sql = 'SELECT payload AS v, topic FROM "in/#"'
        self.deliver([b"\xff\x00\xfe", b"plain"], {"document": {"v": "${v}"}}, sql=sql)
        self.assertEqual(sorted(str(d["v"]) for d in self.documents()), sorted([str(b"\xff\x00\xfe"), "plain"]))


class HostileNames(MongoTest):
    def test_names__that_the_server_refuses(self):
        self.deliver([{"id": 1, "v": {"$set": 1}}, {"id": 2, "v": {"a.b": 1}}, {"id": 3, "v": {"ok": 1}}], rejected=2)
        self.assertEqual([d["id"] for d in self.documents()], [3])
        self.assertIn("(code 2)", self.letters[0]["reason"])


class Logins(MongoTest):
    def broken(self, *said, **connector):
        with self.broker(**connector) as b:
            reason = self.wait_state(b, "down")
            for text in said:
                self.assertIn(text, reason)
            self.assertNotIn("pw", b.log())
            return reason

    def test_login__by_scram(self):
        for mechanism in ("SCRAM-SHA-1", "SCRAM-SHA-256"):
            self.deliver([{"id": 1}], url=self.server.url(authMechanism=mechanism))

    def test_login__refused(self):
        self.broken("the login was refused; check user, password and authSource",
                    url=self.server.url().replace("u:pw@", "u:xpwx@"))

    def test_tls__in_the_url_and_as_options(self):
        ca = TestCa.shared()
        self.deliver([{"id": 1}], url=self.server.url(tls=True))
        plain = self.server.url(tls=True).split("?")[0]
        self.deliver([{"id": 2}], url=plain, tls={"ca": ca.path("ca.pem"), "cert": ca.path("client.pem"), "key": ca.path("client.key")})
        self.assertEqual(len(self.documents()), 2)
        self.broken("TLS: ", url=plain, tls={"ca": ca.path("other.pem")}, server_selection_timeout="2s")
        self.broken("TLS: ", url=plain, tls={"ca": ca.path("ca.pem"), "server_name": "elsewhere.example"}, server_selection_timeout="2s")

    def test_down__says_where_and_what(self):
        self.broken("no server that takes writes was found", "127.0.0.1:1", url="mongodb://127.0.0.1:1/",
                    server_selection_timeout="300ms")
        self.broken("the name no.such.host.invalid is not found", url="mongodb://no.such.host.invalid/",
                    server_selection_timeout="300ms")


class Outages(MongoTest):
    hurried = {"server_selection_timeout": "500ms", "timeout": "1s", "connect_timeout": "500ms"}

    def test_kill__nothing_is_lost(self):
        with self.broker({"id": "${id}", "duplicates": "done"}, **self.hurried) as b:
            self.publish(b, [{"id": i} for i in range(1000)])
            self.server.kill9()
            self.publish(b, [{"id": i} for i in range(1000, 2000)])
            self.wait_state(b, "down")
            self.server.restart()
            b.wait_settled("r")
        self.assertEqual([d["_id"] for d in self.documents(sort={"_id": 1})], list(range(2000)))

    def test_silence__is_noticed_and_overcome(self):
        with self.broker({"id": "${id}", "duplicates": "done"}, **self.hurried) as b:
            self.publish(b, [{"id": i} for i in range(100)])
            b.wait_settled("r")
            with Net.dropped(self.server.port):
                self.publish(b, [{"id": i} for i in range(100, 200)])
                self.wait_state(b, "down", 10)
            b.wait_settled("r")
        self.assertEqual(len(self.documents()), 200)

    def test_stop__does_not_wait_for_a_server_that_hangs(self):
        b = self.broker({"id": "${id}", "timeout": "300s"}, timeout="300s")
        self.publish(b, [{"id": 0}])
        b.wait_settled("r")
        self.server.pause()
        try:
            self.publish(b, [{"id": 1}])
            wait_until(lambda: b.action("r")["in_flight"] == 1, 60, lambda: str(b.action("r")))
            b.stop(timeout=120)
        finally:
            self.server.resume()


class Scripted(MongoTest):
    """What a replica set does when it is wanted: the server plays a script. How rows fall into batches is up to the machine: every
    script holds for one batch of all rows, for one of each, and for those between."""
    hurried = {"server_selection_timeout": "1s", "pool": 1}
    for_ever = "300s"

    def setUp(self):
        self.stored = []

    def store(self, command):
        documents = command.get("documents") or command.get("updates")
        self.stored += [d.get("id", d.get("u")) for d in documents]
        return {"ok": 1, "n": len(documents)}

    def run_script(self, play, payloads, action=None, rejected=0, **connector):
        with MongoScript(play) as self.server:
            self.commands = self.server.commands
            n = self.deliver(payloads, action, rejected=rejected, **{"pool": 1, **connector})
            self.assertEqual(self.server.fake.errors, [])
        return n

    def test_hello__a_replica_set_and_a_retried_write(self):
        lost = []

        def play(command, conn):
            if not lost:  # carried out, and the answer is lost
                lost.append(command["txnNumber"])
                self.store(command)
                return None
            if command["txnNumber"] in lost:
                return {"ok": 1, "n": len(command["documents"])}
            return self.store(command)
        n = self.run_script(play, [{"id": i} for i in range(50)])
        self.assertEqual(self.stored, list(range(50)))
        self.assertEqual(n["maybe_duplicate"], 0)
        again = [c for c in self.commands if c["txnNumber"] == lost[0]]
        self.assertEqual([len(again), again[0]["lsid"] == again[1]["lsid"]], [2, True])

    def test_retry_writes__can_be_turned_off(self):
        self.run_script(lambda command, conn: self.store(command), [{"id": 1}], retry_writes=False)
        self.assertNotIn("txnNumber", self.commands[0])

    def test_primary__steps_down_and_comes_back(self):
        fallen = []

        def play(command, conn):
            if len(fallen) < 3:
                fallen.append(1)
                return {"ok": 0, "code": 189, "codeName": "PrimarySteppedDown", "errmsg": "stepped down",
                        "errorLabels": ["RetryableWriteError"]}
            return self.store(command)
        n = self.run_script(play, [{"id": i} for i in range(20)])
        self.assertEqual(self.stored, list(range(20)))
        self.assertEqual((n["retried"], n["maybe_duplicate"]), (0, 0))

    def test_primary__there_is_none_for_a_while(self):
        with MongoScript(lambda command, conn: self.store(command)) as self.server:
            self.server.primary = False
            with self.broker(**self.hurried) as b:
                self.assertIn("no server that takes writes was found", self.wait_state(b, "down"))
                self.publish(b, [{"id": 1}])
                self.server.primary = True
                b.wait_settled("r")
        self.assertEqual(self.stored, [1])

    def test_errors__of_single_documents(self):
        bad = {3: 121, 5: 112, 7: 11000, 9: 4711}

        def play(command, conn):
            found = self.store(command)
            errors = [{"index": i, "code": bad[d["id"]], "errmsg": f"says {bad[d['id']]}"}
                      for i, d in enumerate(command["documents"]) if d["id"] in bad]
            if 5 in self.stored:
                bad.pop(5, None)  # a write conflict passes
            return {**found, "writeErrors": errors} if errors else found
        n = self.run_script(play, [{"id": i} for i in range(10)], rejected=3, action={"batch": {"linger": "100ms"}})
        self.assertEqual(sorted(letter["reason"] for letter in self.letters),
                         ["says 11000 (code 11000)", "says 121 (code 121)", "says 4711 (code 4711)"])
        self.assertEqual(n["retried"], 1)
        self.assertEqual(list(dict.fromkeys(self.stored)), list(range(10)))
        self.assertEqual(sorted(self.stored), sorted([*range(10), 5]))

    def duplicates(self, find):
        """A server that has every row, and in its errors names no index."""
        def play(command, conn):
            if "find" in command:
                return find(command, conn)
            found = self.store(command)
            return {**found, "n": 0, "writeErrors": [{"index": i, "code": 11000, "errmsg": "Insert failed"}
                                                     for i in range(len(command["documents"]))]}
        return play

    def finds(self):
        return [c for c in self.commands if "find" in c]

    twice = {"id": "${id}", "duplicates": "done", "batch": {"rows": 3000, "linger": "1s"}}

    def test_duplicates__are_asked_for_together(self):
        def find(command, conn):  # a row stored as another kind of number is the same _id
            ids = [float(i) if i == 5 else i for i in command["filter"]["_id"]["$in"] if i != 7]
            return {"ok": 1, "cursor": {"id": 0, "ns": "iot.c", "firstBatch": [{"_id": i} for i in ids]}}
        self.run_script(self.duplicates(find), [{"id": i} for i in range(2500)], self.twice, rejected=1)
        self.assertEqual(self.letters[0]["reason"], "Insert failed (code 11000)")
        self.assertEqual(self.letters[0]["row"]["id"], 7)
        self.assertLessEqual(len(self.finds()), 2 + len([c for c in self.commands if "insert" in c]))
        self.assertLessEqual(max(len(c["filter"]["_id"]["$in"]) for c in self.finds()), 1000)

    def test_duplicates__that_a_server_compares_more_loosely(self):
        def find(command, conn):
            stored = [{"a": i, "b": float(i)} for i in range(8) if i != 3]
            ids = [i for i in stored if i in command["filter"]["_id"]["$in"]]
            return {"ok": 1, "cursor": {"id": 0, "ns": "iot.c", "firstBatch": [{"_id": i} for i in ids]}}
        self.run_script(self.duplicates(find), [{"id": {"a": i, "b": i}} for i in range(8)], self.twice, rejected=1)
        self.assertEqual(self.letters[0]["row"]["id"], {"a": 3, "b": 3})

    def test_duplicates__a_question_that_fails_rejects_nothing(self):
        broken = []

        def find(command, conn):
            broken.append(1)
            if len(broken) == 1:
                return None
            if len(broken) == 2:
                return {"ok": 0, "code": 4711, "errmsg": "no answer today"}
            return {"ok": 1, "cursor": {"id": 0, "ns": "iot.c", "firstBatch": [{"_id": i} for i in command["filter"]["_id"]["$in"]]}}
        self.run_script(self.duplicates(find), [{"id": i} for i in range(50)], self.twice)
        self.assertEqual(self.letters, [])
        inserted = [[d["id"] for d in c["documents"]] for c in self.commands if "insert" in c]
        asked = [c["filter"]["_id"]["$in"] for c in self.finds()]
        self.assertEqual(asked, inserted)  # one question for each command
        self.assertEqual([i for ids in asked[2:] for i in ids], list(range(50)))  # and the rows of those that failed again

    def test_duplicates__the_end_does_not_wait_for_the_answer(self):
        asked = []

        def find(command, conn):
            asked.append(1)
            conn.hang()
        with MongoScript(self.duplicates(find)) as self.server:
            b = self.broker({**self.twice, "timeout": self.for_ever, "retry": {"attempts": 1}}, pool=1, timeout=self.for_ever)
            self.publish(b, [{"id": i} for i in range(200)])
            wait_until(lambda: asked, 60)
            b.stop(timeout=120)
            self.assertEqual(self.dead(b), [])
            self.assertRegex(b.log(), "rows wait in the log for the next start.* rows=200 ")
            self.assertIn("ended by the stop, which waits ten seconds", b.log())

    def test_errors__what_a_reload_cuts_short_says_so(self):
        asked = []

        def play(command, conn):
            asked.append(1)
            if len(asked) == 1:
                conn.hang()
            return self.store(command)
        with MongoScript(play) as self.server, self.broker({"timeout": self.for_ever}, timeout=self.for_ever, pool=1) as b:
            self.publish(b, [{"id": i} for i in range(20)])
            wait_until(lambda: asked, 60)
            b.write_config(self.config({"timeout": self.for_ever, "batch": {"rows": 7}}, timeout=self.for_ever, pool=1))
            b.reload()
            b.wait_log("ended by a reload")
            self.assertEqual(b.wait_settled("r")["delivered"], 20)
            self.assertNotIn("no answer within", b.log())

    def test_errors__answers_that_make_no_sense(self):
        """Whatever it is that they do not say, no row is lost, and nobody dies of it."""
        error = {"index": 0, "code": 11000, "errmsg": "x"}
        senseless = [{}, {"ok": 0}, {"ok": "yes"}, {"ok": 1, "n": "x"}, {"ok": None, "n": 5}, {"n": 5}, {"ok": 1}, {"ok": 1, "n": -1}, {"ok": 1, "writeErrors": []},
                     {"ok": 1, "writeErrors": {}}, {"ok": 1, "writeErrors": ["x"]},
                     {"ok": 1, "writeErrors": [{**error, "index": -1}]}, {"ok": 1, "writeErrors": [error, {**error, "index": 1000}]},
                     {"ok": 1, "writeErrors": [{"code": 11000}]}, {"ok": 1, "n": 5, "writeConcernError": "x"},
                     {"ok": 1, "n": 5, "writeConcernError": None}, {"ok": 1, "n": 5, "writeConcernError": {"errorLabels": "x"}},
                     {"ok": 0, "code": 1, "errmsg": "x", "errorLabels": "x"}, {"ok": 0, "errorLabels": {"a": 1}}, {"ok": 1, "$clusterTime": 5}]
        change = {"operation": "upsert", "id": "${id}", "update": {"$set": {"v": "${v}"}}}
        left = []
        for action, answers in (({}, [*senseless, {"ok": 1, "n": 0}]), (change, senseless[::3])):
            with MongoScript(lambda command, conn: left.pop() if left else self.store(command)) as self.server:
                with self.broker({**action, "batch": {"linger": "50ms"}}, pool=1, retry_writes=False) as b:
                    for answer in answers:
                        with self.subTest(answer=answer, action=action):
                            self.stored, left[:] = [], [answer]
                            self.publish(b, [{"id": i, "v": i} for i in range(5)])
                            n = b.wait_settled("r")
                            self.assertEqual((len(self.stored), n["rejected"], len(left)), (5, 0, 0))

    def test_stop__what_the_second_signal_ends_is_no_timeout(self):
        with MongoScript(lambda command, conn: conn.hang()) as self.server:
            b = self.broker({"timeout": self.for_ever, "retry": {"attempts": 1}}, pool=1, timeout=self.for_ever)
            self.publish(b, [{"id": 1}])
            wait_until(lambda: self.server.commands, 60)
            b.stop_at_once()
        self.assertIn("ended by the second signal to stop", b.log())
        self.assertNotIn("no answer within", b.log())
        self.assertEqual(self.dead(b), [])
        self.assertRegex(b.log(), "rows wait in the log for the next start.* rows=1 ")

    def test_errors__an_ordered_command_stops_at_the_first(self):
        def play(command, conn):
            for i, update in enumerate(command["updates"]):
                if update["u"]["$set"]["v"] == 4:
                    self.stored += [u["u"]["$set"]["v"] for u in command["updates"][:i]]
                    return {"ok": 1, "n": i, "writeErrors": [{"index": i, "code": 66, "errmsg": "immutable"}]}
            self.stored += [u["u"]["$set"]["v"] for u in command["updates"]]
            return {"ok": 1, "n": len(command["updates"])}
        action = {"operation": "upsert", "id": "${id}", "update": {"$set": {"v": "${v}"}}, "batch": {"linger": "100ms"}}
        self.run_script(play, [{"id": 1, "v": i} for i in range(10)], action, rejected=1)
        self.assertEqual(self.stored, [0, 1, 2, 3, 5, 6, 7, 8, 9])
        self.assertTrue(self.commands[0]["ordered"])

    def test_errors__of_an_update_that_a_server_puts_on_the_first(self):
        """FerretDB says of the first of many what it has against any of them, and not how many it carried out."""
        def play(command, conn):
            for update in command["updates"]:
                if update["u"]["$set"]["v"] == 4:
                    return {"ok": 1, "writeErrors": [{"index": 0, "code": 14, "errmsg": "not that one"}]}
                self.stored.append(update["u"]["$set"]["v"])
            return {"ok": 1, "n": len(command["updates"])}
        action = {"operation": "update", "id": "${id}", "update": {"$set": {"v": "${v}"}}, "batch": {"linger": "100ms"}}
        self.run_script(play, [{"id": 1, "v": i} for i in range(10)], action, rejected=1)
        self.assertEqual(self.letters[0]["row"]["id"], 1)
        self.assertEqual(json.loads(self.letters[0]["message"]["payload"])["v"], 4)
        at_last = list(dict.fromkeys(reversed(self.stored)))[::-1]  # those before the bad one came twice
        self.assertEqual(at_last, [0, 1, 2, 3, 5, 6, 7, 8, 9])

    def test_duplicates__of_an_upsert_that_somebody_else_made_first(self):
        """Two that are to be added at once: who comes second finds it there when it tries again."""
        def play(command, conn):
            for i, update in enumerate(command["updates"]):
                v = update["u"]["$set"]["v"]
                if v in self.first:
                    self.first.remove(v)
                    return {"ok": 1, "n": i, "writeErrors": [{"index": i, "code": 11000, "errmsg": "E11000", **self.named}]}
                self.stored.append(v)
            return {"ok": 1, "n": len(command["updates"])}
        action = {"operation": "upsert", "id": "${id}", "update": {"$set": {"v": "${v}"}}, "batch": {"linger": "100ms"}}
        for self.named in ({"keyPattern": {"_id": 1}}, {}):
            self.stored, self.first = [], [3, 4, 9]
            self.run_script(play, [{"id": i, "v": i} for i in range(10)], action)
            self.assertEqual(self.stored, list(range(10)))
        for self.named in ({"keyPattern": {"v": 1}}, {"keyPattern": {"_id": 1}}, {}):
            self.stored, self.first = [], [3] * (1 if "v" in self.named.get("keyPattern", {}) else 100)
            self.run_script(play, [{"id": i, "v": i} for i in range(10)], action, rejected=1)
            self.assertEqual(self.stored, [0, 1, 2, 4, 5, 6, 7, 8, 9])
            self.assertIn("E11000 (code 11000)", self.letters[0]["reason"])

    def test_errors__of_a_whole_command(self):
        def play(command, conn):
            if any(d["id"] == 6 for d in command["documents"]):
                return {"ok": 0, "code": 4712, "errmsg": "something in there"}
            return self.store(command)
        self.run_script(play, [{"id": i} for i in range(10)], rejected=1, action={"batch": {"linger": "100ms"}})
        self.assertEqual(sorted(self.stored), [0, 1, 2, 3, 4, 5, 7, 8, 9])
        self.assertIn("something in there (code 4712)", self.letters[0]["reason"])

    def test_errors__of_a_time_limit_make_commands_smaller(self):
        def play(command, conn):
            if len(command["documents"]) > 20:
                return {"ok": 0, "code": 50, "errmsg": "operation exceeded time limit"}
            return self.store(command)
        self.run_script(play, [{"id": i} for i in range(100)], {"batch": {"linger": "200ms"}})
        self.assertEqual(self.stored, list(range(100)))

    def test_errors__inside_of_the_server_cost_no_row(self):
        """The row that meets one is found; it is not given up, for it may not be its fault. Later ones of its key stay behind it."""
        fits = [True] * 3

        def play(command, conn):
            if any(d["id"] == 6 for d in command["documents"]) and fits:
                if len(command["documents"]) == 1:
                    fits.pop()
                return {"ok": 0, "code": 1, "errmsg": "database is locked"}
            return self.store(command)
        n = self.run_script(play, [{"id": i} for i in range(10)], action={"batch": {"linger": "100ms"}})
        self.assertEqual(self.stored, list(range(10)))
        self.assertEqual(n["retried"], 3)

    def test_errors__no_right_makes_rows_wait(self):
        """Who has no login is told to give one, who has one what to ask for."""
        def play(command, conn):
            if "saslStart" in command:
                return {"ok": 1, "conversationId": 1, "done": True, "payload": b""}
            if forbidden:
                return {"ok": 0, "code": 13, "errmsg": "not authorized on iot"}
            return self.store(command)
        for login, options, advice in (("", {}, "the server lets nobody do this without a login; put a user and its password into `url`"),
                                       ("u:pw@", {"authMechanism": "PLAIN", "authSource": "$external"},
                                        "no right to do this; grant the user `readWrite` on the database")):
            with self.subTest(login=login):
                self.stored, forbidden = [], [True]
                with MongoScript(play) as self.server:
                    with self.broker(pool=1, url=self.server.url(**options).replace("//", "//" + login)) as b:
                        self.publish(b, [{"id": 1}])
                        reason = self.wait_state(b, "degraded")
                        self.assertIn(advice, reason)
                        self.assertIn("not authorized on iot", reason)
                        forbidden.clear()
                        b.wait_settled("r")
                self.assertEqual(self.stored, [1])

    def test_duplicates__of_a_message_id_under_whatever_name(self):
        """What comes again after a lost answer is told by the name that the message has, wherever the rule puts it."""
        cases = (("msgid() AS mid", {"id": "${mid}"}, 0),
                 ("msgid() AS mid, mid AS again", {"document": {"id": "${id}", "_id": "${again}"}}, 0),
                 ("msgid() AS _id", {}, 0),
                 ("1 AS x", {"id": "${msgid()}"}, 0),
                 ("msgid() AS mid", {"id": "${mid}", "duplicates": "reject"}, 20),
                 ("payload.id AS mid", {"id": "${mid}"}, 20))
        for columns, action, rejected in cases:
            with self.subTest(columns=columns, action=action):
                there, self.stored = [], []

                def play(command, conn):
                    ids = [d["_id"] for d in command["documents"]]
                    errors = [{"index": i, "code": 11000, "keyPattern": {"_id": 1}, "errmsg": "E11000 duplicate key"}
                              for i, one in enumerate(ids) if one in there]
                    lost = not all(one in there for one in ids)
                    there.extend(ids)
                    return None if lost else {"ok": 1, "n": 0, "writeErrors": errors}
                with MongoScript(play) as self.server:
                    self.deliver([{"id": i} for i in range(20)], action, rejected=rejected, pool=1, retry_writes=False,
                                 sql=f'SELECT payload.id AS id, {columns} FROM "in/#"')
                self.assertEqual(len(set(there)), 20)

    @staticmethod
    def by_id(there):
        """A server that stores each _id once, in `there`."""
        def play(command, _conn):
            errors = []
            for i, one in enumerate(d["_id"] for d in command["documents"]):
                if one in there:
                    errors.append({"index": i, "code": 11000, "keyPattern": {"_id": 1}, "errmsg": "E11000 duplicate"})
                else:
                    there.append(one)
            return {"ok": 1, "n": len(command["documents"]) - len(errors), "writeErrors": errors}
        return play

    def test_duplicates__of_rows_that_one_message_makes_are_no_repeats(self):
        """They share what names their message: the second is another row, and is not lost without a word."""
        for columns, action, stored in (("item.n AS n", {"id": "${msgid()}"}, 1),
                                        ("msgid() AS mid", {"id": "${mid}"}, 1),
                                        ("msgid() AS _id, item.n AS n", {}, 1),
                                        ("item.n AS n", {"id": "${msgid()}-${n}"}, 3)):
            with self.subTest(columns=columns, action=action):
                there = []
                with MongoScript(self.by_id(there)) as self.server:
                    with self.broker(action, sql=f'FOREACH payload.a AS item DO {columns} FROM "in/#"') as b:
                        self.publish(b, [{"a": [{"n": 1}, {"n": 2}, {"n": 3}]}])
                        b.wait_settled("r")
                        letters, said = self.dead(b), b.log().count("rows of one message have the same key")
                self.assertEqual(len(there), stored)
                self.assertEqual(len(letters), 3 - stored)
                self.assertTrue(all("E11000" in one["reason"] for one in letters))
                self.assertEqual(said > 0, stored == 1)

    def test_duplicates__of_events_about_several_receivers_are_no_repeats(self):
        """Deliveries of one message share its id."""
        there = []
        for action, stored in (({"document": {"_id": "${mid}"}}, 1), ({"id": "${msgid()}"}, 1), ({"id": "${msgid()}-${clientid}"}, 2)):
            there.clear()
            with self.subTest(action=action), MongoScript(self.by_id(there)) as self.server:
                with self.broker(action, sql='SELECT id AS mid, clientid FROM "$events/message/delivered"') as b:
                    with Client(b.port) as one, Client(b.port) as other, Client(b.port) as dev:
                        for client, name in ((one, "one"), (other, "other"), (dev, "dev")):
                            client.connect(name)
                        one.subscribe("x")
                        other.subscribe("x")
                        dev.publish("x", b"1", qos=1)
                        wait_until(lambda b=b: b.action("r")["received"] == 2)
                        n = b.wait_settled("r")
                self.assertEqual((len(there), n["delivered"], n["rejected"]), (stored, stored, 2 - stored))

    def denying(self, is_bad, by_row=False):
        """A server that says of some collections, or of some documents, what it mostly says to all."""
        def play(command, conn):
            name = command.get("insert") or command["update"]
            documents = command.get("documents") or [u["u"]["$set"] for u in command["updates"]]
            bad = [i for i, d in enumerate(documents) if is_bad(name, d)]
            if bad and not by_row:
                return {"ok": 0, "code": 13, "errmsg": f"not authorized on iot to write to {name}"}
            if bad and "update" in command:
                bad, documents = bad[:1], documents[:bad[0] + 1]
            self.stored += [d["id"] for i, d in enumerate(documents) if i not in bad]
            errors = [{"index": i, "code": 166, "errmsg": "not here"} for i in bad]
            return {"ok": 1, "n": len(documents) - len(bad), **({"writeErrors": errors} if errors else {})}
        return play

    def test_poison__a_row_that_names_a_collection_which_is_not_for_us(self):
        """The first, one in the middle, and the last of a batch: all are from one client, and the others are stored in their order."""
        action = {"collection": "c_${v}", "batch": {"rows": 30}}
        for at in (0, 50, 89):
            with self.subTest(at=at):
                self.stored = []
                payloads = [{"id": i, "v": "secret" if i == at else "open"} for i in range(201)]
                self.run_script(self.denying(lambda name, d: name == "c_secret"), payloads, action, rejected=1)
                self.assertEqual(sorted(self.stored), [i for i in range(201) if i != at])
                self.assertIn("not authorized on iot to write to c_secret", self.letters[0]["reason"])

    def test_poison__a_row_that_is_refused_like_a_collection(self):
        upsert = {"operation": "upsert", "id": "${id}", "update": {"$set": {"id": "${id}", "v": "${v}"}}}
        for action in ({}, upsert):
            for at in (0, 50, 89):
                with self.subTest(at=at, action=action):
                    self.stored = []
                    payloads = [{"id": i, "v": int(i == at)} for i in range(201)]
                    play = self.denying(lambda name, d: d["v"] == 1, by_row=True)
                    self.run_script(play, payloads, {**action, "batch": {"rows": 30}}, rejected=1)
                    self.assertEqual(self.stored, [i for i in range(201) if i != at])
                    self.assertIn("a view cannot be written to (the server says: not here, code 166)", self.letters[0]["reason"])

    def test_denied__rights_that_change_amid_a_batch_blame_no_row(self):
        """What was stored before proves nothing for what comes behind."""
        seen = []
        self.stored = []
        deny = self.denying(lambda name, d: 20 < len(seen) <= 150)

        def play(command, conn):
            seen.append(command)
            return deny(command, conn)
        payloads = [{"id": i, "v": f"n{i}"} for i in range(60)]
        self.run_script(play, payloads, {"collection": "c_${v}", "batch": {"rows": 60, "linger": "1s"}, "retry": {"first": "5ms", "max": "20ms"}})
        self.assertEqual(sorted(self.stored), list(range(60)))

    def test_denied__a_full_disk_blames_no_row(self):
        commands = []
        self.stored = []

        def play(command, conn):
            commands.append(command)
            bad = [i for i, d in enumerate(command["documents"]) if d["id"] % 2] if len(commands) < 5 else []
            self.stored += [d["id"] for i, d in enumerate(command["documents"]) if i not in bad]
            errors = [{"index": i, "code": 14031, "errmsg": "no room"} for i in bad]
            return {"ok": 1, "n": len(command["documents"]) - len(bad), **({"writeErrors": errors} if errors else {})}
        self.run_script(play, [{"id": i} for i in range(20)], {"retry": {"first": "5ms", "max": "20ms"}})
        self.assertEqual(sorted(self.stored), list(range(20)))

    def test_concern__not_met_is_sent_again_as_a_possible_duplicate(self):
        def play(command, conn):
            found = self.store(command)
            if len(self.commands) == 1:
                found["writeConcernError"] = {"code": 64, "errmsg": "waiting for replication timed out"}
            elif len(self.commands) == 2:
                found["writeErrors"] = [{"index": i, "code": 11000, "errmsg": "E11000 index: _id_ dup key"}
                                        for i, d in enumerate(command["documents"]) if d in self.commands[0]["documents"]]
                found["n"] -= len(found["writeErrors"])
            return found
        action = {"id": "${id}", "duplicates": "done", "batch": {"linger": "100ms"}}
        n = self.run_script(play, [{"id": i} for i in range(5)], action, write_concern={"w": "majority", "j": "yes", "wtimeout": "2s"})
        self.assertEqual(n["maybe_duplicate"], len(self.commands[0]["documents"]))
        self.assertEqual(self.commands[1]["documents"][:n["maybe_duplicate"]], self.commands[0]["documents"])
        self.assertEqual(self.commands[0]["writeConcern"], {"w": "majority", "j": True, "wtimeout": 2000})

    def test_timeout__of_a_server_that_never_answers(self):
        hung = []

        def play(command, conn):
            if not hung:
                hung.append(1)
                conn.hang()
                return None
            return self.store(command)
        n = self.run_script(play, [{"id": 1}], {"timeout": "1s"}, retry_writes=False)
        self.assertGreaterEqual(n["maybe_duplicate"], 1)
        self.assertEqual(n["maybe_duplicate"], len(self.commands) - 1)  # on a busy machine the script may be late once more
        self.assertEqual(set(self.stored), {1})


def decimal_text(data):
    bits = int.from_bytes(data, "little")
    if bits >> 122 & 30 == 30:
        return ("-" if bits >> 127 else "") + ("NaN" if bits >> 122 & 1 else "Infinity")
    digits, exponent = bits & (1 << 113) - 1, (bits >> 113 & 0x3fff) - 6176
    text = str(digits) if exponent >= 0 else str(digits).zfill(1 - exponent)
    text = text + "0" * exponent if exponent >= 0 else text[:exponent] + "." + text[exponent:]
    return ("-" if bits >> 127 else "") + text


class Matrix(MongoTest):
    """connectors/mongodb/TYPES.md: every kind of value as every type. DESCRIBE_WRITE=1 writes the page anew."""
    PAGE = ROOT / "connectors/mongodb/TYPES.md"
    TYPES = ["auto", "date", "objectid", "decimal128", "int32", "int64", "double", "binary", "base64", "uuid", "string"]
    VALUES = ["absent", "null", "true", "42", "42.0", "21.5", "0.1000000000000000055511151231257827", "4294967296", "9007199254740993",
              "1769860800000", "18446744073709551616", '"12.5"', '"NaN"', '"Infinity"', '"-Infinity"', '"warm"', '"AAE="', '"2026-01-31T12:00:00Z"',
              '"ISODate(2026-01-31T12:00:00.000Z)"', '"507f1f77bcf86cd799439011"', '"0190163d-8694-739b-aea5-966c26f8ad91"', '{"a":1}',
              '{"$date":0}', "[1,2]", "bytes ff 00"]
    BEYOND_FERRETDB = {"decimal128", "18446744073709551616", '{"$date":0}', '"NaN"', '"Infinity"', '"-Infinity"'}

    def fill(self, types, values):
        """{(type, value): what is stored, or None for a dead letter}"""
        actions = [{"connector": "docs", "collection": f"m_{kind}", "document": {"k": "${k}", "v": "${v}"}, "types": {"v": kind},
                    "batch": {"rows": 1}} for kind in types]
        rules = {"r": {"sql": 'SELECT payload.k AS k, payload.v AS v FROM "json/#"', "actions": actions},
                 "b": {"sql": f'SELECT {len(self.VALUES) - 1} AS k, hexstr2bin(payload.v) AS v FROM "bytes/#"', "actions": actions}}
        config = {**self.config(), "rules": rules}
        with self.server.client() as c:
            for kind in types:
                c.drop("iot", f"m_{kind}")
        cells = {}
        with Broker(config) as b:
            for k, value in enumerate(self.VALUES[:-1]):
                if value in values:
                    self.publish(b, [b'{"k":%d%s}' % (k, b"" if value == "absent" else b',"v":' + value.encode())], topic="json/x")
            self.publish(b, [{"v": "ff00"}], topic="bytes/x")
            for i, kind in enumerate(types):
                for rule in rules:
                    b.wait_settled(rule, i)
                    path = b.folder / f"data/dead/{rule}.{i}.jsonl"
                    for line in path.read_text().splitlines() if path.exists() else []:
                        cells[kind, self.VALUES[json.loads(line)["row"]["document.k"]]] = None
                for document in self.server.find("iot", f"m_{kind}", typed=True):
                    cells[kind, self.VALUES[document["k"][1]]] = self.shown(*document["v"])
        return cells

    def shown(self, kind, value):
        if kind == "null":
            return "null"
        if kind in ("document", "array"):
            inner = value.items() if kind == "document" else enumerate(value)
            return f"{kind} of " + ", ".join(self.shown(*v) for _, v in inner)
        text = {Date: lambda: f"{value.ms}", ObjectId: lambda: value.data.hex(), Decimal128: lambda: decimal_text(value.data),
                bytes: value.hex if isinstance(value, bytes) else None,
                Binary: lambda: f"({value.subtype}) {value.data.hex()}" if isinstance(value, Binary) else None,
                bool: lambda: str(value).lower(), float: lambda: {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), str(value))}.get(type(value), lambda: str(value))()
        return f"{kind} `{text}`"

    def page(self, cells):
        out = ["# What a value becomes", "",
               "Each cell was written to a real server; a test prints this page. Values are as they stand in the payload, dates in milliseconds.",
               "`auto` is what happens without a type; the others are what `types` or `{$date: ...}` and its like ask for. Refused: the row is a",
               "dead letter that names the field.", ""]
        for part in (self.TYPES[:4], self.TYPES[4:7], self.TYPES[7:]):
            out += ["| value | " + " | ".join(part) + " |", "| --- |" + " --- |" * len(part)]
            for value in self.VALUES:
                name = value if value in ("absent", "bytes ff 00") else f"`{value}`"
                out.append(f"| {name} | " + " | ".join(cells[kind, value] or "refused" for kind in part) + " |")
            out.append("")
        out += ["- Integers beyond 64 bits become decimal128; `large_numbers` says otherwise. Numbers with a fraction become the nearest double;",
                "  `decimal128` keeps their digits, up to 34.",
                "- A type holds for the elements of a list, and for `a.b` in each object of a list `a`.",
                "- Text that is not UTF-8 is stored as binary. NaN and infinities of a rule's arithmetic are doubles.",
                "- Of texts that are no numbers `double` and `decimal128` take `NaN`, `Infinity` and `-Infinity`, in just these letters: Extended",
                "  JSON writes them so.",
                "- A string may hold zero bytes, a name may not.",
                "- Of a name that an object has twice the last counts.", ""]
        return "\n".join(out)

    def test_matrix__every_kind_as_every_type(self):
        self.server = shared(MongoJava)
        cells = self.fill(self.TYPES, self.VALUES)
        self.assertEqual(len(cells), len(self.TYPES) * len(self.VALUES))
        page = self.page(cells)
        if os.environ.get("DESCRIBE_WRITE"):
            self.PAGE.write_text(page, encoding="utf-8")
        self.assertEqual(self.PAGE.read_text(encoding="utf-8"), page)
        self.server = shared(FerretDB)
        some = self.fill([t for t in self.TYPES if t not in self.BEYOND_FERRETDB],
                         [v for v in self.VALUES if v not in self.BEYOND_FERRETDB])
        self.assertEqual(some, {key: cells[key] for key in some})


class Examples(MongoTest):
    def test_example__prints_what_is_expected(self):
        env = {**os.environ, "SLUICE_BIN": os.path.abspath(BIN), "MONGODB_URL": self.server.url()}
        done = subprocess.run([str(ROOT / "examples/mongodb/run.sh")], capture_output=True, text=True, timeout=300, check=False, env=env)
        self.assertEqual((done.returncode, done.stdout[-12:]), (0, "as expected\n"), done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
