"""Rows that a MongoDB server refuses in the words that it has for a collection (no right, a view, no such collection): a script denies
what, and when, real servers cannot be made to."""
import itertools
import time
import unittest

import mongodb_test
from harness.broker import wait_until
from harness.client import Client
from harness.servers.mongo_script import MongoScript

UPSERT = {"operation": "upsert", "id": "${id}", "order_key": "${k}", "update": {"$set": {"id": "${id}", "k": "${k}", "v": "${v}"}}}
INSERT = {"order_key": "${k}", "document": {"id": "${id}", "k": "${k}", "v": "${v}"}}
NAMED = {**INSERT, "collection": "c_${v}"}
SQL = 'SELECT payload.id AS id, payload.k AS k, payload.v AS v FROM "in/#"'
SOON = {"retry": {"first": "5ms", "max": "20ms"}}


class Denied(mongodb_test.MongoTest):
    def setUp(self):
        self.stored = []  # documents, as they came
        self.asks = itertools.count()

    def run_denying(self, denies, payloads, action, rejected=0, by_name=False):
        """denies(document, n): of the n-th document that is tried; by_name: of the n-th command, which has rows of one collection."""
        def play(command, _conn):
            documents = command.get("documents") or [u["u"]["$set"] for u in command["updates"]]
            if by_name and denies(documents[0], next(self.asks)):
                return {"ok": 0, "code": 13, "errmsg": "not authorized on iot to write there"}
            errors = []
            for i, document in enumerate(documents):
                if not by_name and denies(document, next(self.asks)):
                    errors.append({"index": i, "code": 166, "errmsg": "not here"})
                    if "updates" in command:
                        documents = documents[:i + 1]
                        break
                else:
                    self.stored.append(document)
            return {"ok": 1, "n": len(documents) - len(errors), **({"writeErrors": errors} if errors else {})}
        with MongoScript(play) as self.server:
            n = self.deliver(payloads, {**action, **SOON}, sql=SQL, rejected=rejected, pool=1)
            self.assertEqual(self.server.fake.errors, [])
        return n

    def assert_in_order(self, payloads):
        for k in {p["k"] for p in payloads}:
            self.assertEqual([d["id"] for d in self.stored if d["k"] == k], [p["id"] for p in payloads if p["k"] == k])

    def test_rights__that_go_away_late_in_a_batch_blame_no_row(self):
        """Nearly all of it is stored, the rest is denied for some time, and then no more."""
        payloads = [{"id": i, "k": i % 7, "v": f"n{i}"} for i in range(60)]
        for action, by_name in ((NAMED, True), (INSERT, False), (UPSERT, False)):
            with self.subTest(action=action):
                self.setUp()
                self.run_denying(lambda d, n: 55 <= n < 800, payloads, {**action, "batch": {"rows": 60, "linger": "1s"}}, by_name=by_name)
                self.assertEqual(sorted(d["id"] for d in self.stored), list(range(60)))
                if not by_name and "operation" in action:
                    self.assert_in_order(payloads)

    def test_rights__that_come_and_go_blame_no_row(self):
        """Three times, for longer and for shorter than it takes to ask again."""
        times = ((20, 90), (120, 300), (310, 320))
        payloads = [{"id": i, "k": i % 7, "v": f"n{i}"} for i in range(300)]
        for action, by_name in ((NAMED, True), (INSERT, False), (UPSERT, False)):
            with self.subTest(action=action):
                self.setUp()
                self.run_denying(lambda d, n: any(a <= n < z for a, z in times), payloads, action, by_name=by_name)
                self.assertEqual(sorted(d["id"] for d in self.stored), list(range(300)))

    def test_poison__one_row_in_ten_thousand(self):
        for action, by_name in ((NAMED, True), (INSERT, False), (UPSERT, False)):
            for keys in (1, 50):
                with self.subTest(action=action, keys=keys):
                    self.setUp()
                    payloads = [{"id": i, "k": i % keys, "v": "bad" if i == 5000 else "good"} for i in range(10_000)]
                    self.run_denying(lambda d, n: d["v"] == "bad", payloads, action, rejected=1, by_name=by_name)
                    self.assertEqual(len(self.stored), 9_999)
                    self.assertEqual(self.letters[0]["row"]["document.id" if action is not UPSERT else "id"], 5000)
                    self.assertIn("the server says: not", self.letters[0]["reason"])
                    payloads.pop(5000)
                    self.assert_in_order(payloads)

    def test_poison__many_of_them(self):
        payloads = [{"id": i, "k": i % 50, "v": "bad" if i % 20 == 3 and i < 3000 else "good"} for i in range(3300)]
        for action, by_name in ((NAMED, True), (INSERT, False), (UPSERT, False)):
            with self.subTest(action=action):
                self.setUp()
                self.run_denying(lambda d, n: d["v"] == "bad", payloads, action, rejected=150, by_name=by_name)
                self.assertEqual(len(self.stored), 3150)
                self.assert_in_order([p for p in payloads if p["v"] == "good"])

    def test_poison__behind_it_one_that_fails_all_of_its_command(self):
        """Halves of a batch would not find that one: each would begin with the row that waits."""
        for action in (UPSERT, INSERT, NAMED):
            with self.subTest(action=action):
                self.setUp()

                def play(command, _conn):
                    documents = command.get("documents") or [u["u"]["$set"] for u in command["updates"]]
                    if any(d["v"] == "x" for d in documents):
                        return {"ok": 0, "code": 4712, "errmsg": "something in there"}
                    bad = [i for i, d in enumerate(documents) if d["v"] == "bad"]
                    if bad and "updates" in command:
                        bad, documents = bad[:1], documents[:bad[0] + 1]
                    self.stored += [d for i, d in enumerate(documents) if i not in bad]
                    return {"ok": 1, "n": len(documents) - len(bad),
                            **({"writeErrors": [{"index": i, "code": 166, "errmsg": "not here"} for i in bad]} if bad else {})}
                payloads = [{"id": i, "k": i, "v": {0: "bad", 1: "x"}.get(i, "good")} for i in range(60)]
                with MongoScript(play) as self.server:
                    self.deliver(payloads, {**action, **SOON, "batch": {"linger": "200ms"}}, sql=SQL, rejected=2, pool=1)
                self.assertEqual(sorted(d["id"] for d in self.stored), list(range(2, 60)))
                self.assertEqual({"4712" in letter["reason"] for letter in self.letters}, {True, False})

    def test_order__of_a_row_that_is_let_in_after_all(self):
        """Denied a few times, while rows of other keys are let in: those of its own stay behind it."""
        payloads = [{"id": i, "k": i % 7, "v": "late" if i == 100 else "v"} for i in range(600)]
        late = itertools.count()
        self.run_denying(lambda d, n: d["v"] == "late" and next(late) < 4, payloads, {**UPSERT, "batch": {"rows": 200, "linger": "1s"}})
        self.assertEqual(len(self.stored), 600)
        self.assert_in_order(payloads)

    def test_order__in_a_collection_whose_right_comes_back(self):
        """A third of the rows: too many to blame. When they are let in, each time after another number of denials, it is in order, though some
        were denied in batches before and others just now."""
        payloads = [{"id": i, "k": int(i % 3 == 0), "v": "late" if i % 3 == 0 else "v"} for i in range(600)]
        for action in (NAMED, {**UPSERT, "collection": "c_${v}"}):
            for times in range(6, 30, 4):
                with self.subTest(operation=action.get("operation"), times=times):
                    self.setUp()
                    late = itertools.count()
                    self.run_denying(lambda d, n, late=late, times=times: d["v"] == "late" and next(late) < times, payloads,
                                     {**action, "batch": {"rows": 60, "linger": "50ms"}}, by_name=True)
                    self.assert_in_order(payloads)

    def test_rights__to_one_collection_that_are_away_for_a_moment(self):
        """One row of twenty: few enough to blame, and asked again more often than it takes to."""
        payloads = [{"id": i, "k": int(i % 20 == 0), "v": "late" if i % 20 == 0 else "v"} for i in range(2000)]
        for action in (NAMED, {**UPSERT, "collection": "c_${v}"}):
            with self.subTest(operation=action.get("operation")):
                self.setUp()
                first = []

                def denies(document, _n, first=first):
                    if document["v"] != "late":
                        return False
                    first[:] = first or [time.monotonic()]
                    return time.monotonic() - first[0] < 1
                self.run_denying(denies, payloads, action, by_name=True)
                self.assert_in_order(payloads)

    def test_wait__the_last_row_until_others_come(self):
        """Behind it nobody was let in: it waits, and the connection says why. Rows come one by one then, and a few of them will do, also
        where the row has another value each time it goes."""
        for document in (NAMED["document"], {**NAMED["document"], "late": "${meta.delay_ms}"}):
            with self.subTest(document=document):
                self.setUp()
                self.last_row_waits({**NAMED, "document": document})

    def last_row_waits(self, action):
        def play(command, _conn):
            (document, *_rest) = command["documents"]
            if document["v"] == "bad":
                return {"ok": 0, "code": 13, "errmsg": "not authorized on iot"}
            self.stored += command["documents"]
            return {"ok": 1, "n": len(command["documents"])}
        with MongoScript(play) as self.server, self.broker({**action, **SOON}, sql=SQL, pool=1) as b:
            with Client(b.port) as c:
                c.connect("dev")
                c.publish_all("in/a", [{"id": i, "k": 0, "v": "bad" if i == 19 else "good"} for i in range(20)])
                self.assertIn("not authorized on iot", self.wait_state(b, "degraded"))
                self.assertEqual(b.action("r")["rejected"], 0)
                for i in range(20, 60):
                    c.publish_all("in/a", [{"id": i, "k": 0, "v": "good"}])
                    wait_until(lambda i=i: len(self.stored) == i)
                n = b.wait_settled("r")
        self.assertEqual((n["delivered"], n["rejected"]), (59, 1))

    def test_wait__rows_of_which_there_are_too_many(self):
        """Half of all rows are of a collection that is not ours to write: that is more likely a right that somebody forgot."""
        payloads = [{"id": i, "k": i % 7, "v": "a" if i % 2 else "b"} for i in range(400)]
        forgotten = [True]
        def play(command, _conn):
            if forgotten and command["insert"] == "c_a":
                return {"ok": 0, "code": 13, "errmsg": "not authorized on iot"}
            self.stored += command["documents"]
            return {"ok": 1, "n": len(command["documents"])}
        with MongoScript(play) as self.server, self.broker({**NAMED, **SOON}, sql=SQL, pool=1) as b:
            self.publish(b, payloads)
            wait_until(lambda: len(self.stored) == 200)
            self.wait_state(b, "degraded")
            forgotten.clear()
            n = b.wait_settled("r")
        self.assertEqual((n["delivered"], n["rejected"]), (400, 0))


if __name__ == "__main__":
    unittest.main()
