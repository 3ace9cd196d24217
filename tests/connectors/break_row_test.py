"""Rows at which a server ends the connection: all others are stored, they are dead letters that say so, and another action of the
same connector goes on meanwhile, also when several have such rows. FerretDB ends it at a decimal128, Redis where a command is longer than its query buffer may be,
PostgreSQL where a statement ends its own backend."""
import json
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness.broker import SLOW, Broker
from harness.client import Client
from harness.servers import FerretDB, Postgres, Redis, shared

ROWS, AT = 3000, 1500
END = "(SELECT pg_terminate_backend(pg_backend_pid())::int)"


class Far:
    """One server: two actions, and what is there afterwards."""
    name, poison, said = "", 0, ""

    def rules(self):
        quick = {"connector": self.name, "retry": {"first": "20ms", "max": "100ms"}}
        return {f"{self.name}_{what}": {"sql": f'SELECT payload.n AS n, payload.v AS v FROM "{self.name}/{what}"',
                                        "actions": [{**quick, **self.action(what)}]} for what in ("hit", "other")}

    def publish(self, broker):
        """Of one client, so all rows of an action are of one key; the others a little later, while it breaks."""
        with Client(broker.port) as c:
            c.connect(self.name)
            c.publish_all(f"{self.name}/hit", ({"n": n, "v": self.poison if n == AT else n} for n in range(ROWS)), window=100)
            c.publish_all(f"{self.name}/other", ({"n": n, "v": n} for n in range(ROWS)), window=100)

    def look(self, test, broker):
        other = broker.wait_settled(f"{self.name}_other", timeout=120 * SLOW)
        test.assertEqual((other["delivered"], other["rejected"]), (ROWS, 0))
        hit = broker.wait_settled(f"{self.name}_hit", timeout=120 * SLOW)
        test.assertEqual((hit["delivered"], hit["rejected"]), (ROWS - 1, 1), broker.log()[-3000:])
        test.assertEqual(list(dict.fromkeys(self.stored("hit"))), [n for n in range(ROWS) if n != AT])
        test.assertEqual(list(dict.fromkeys(self.stored("other"))), list(range(ROWS)))
        letter, = (broker.folder / f"data/dead/{self.name}_hit.0.jsonl").read_text().splitlines()
        test.assertIn("times when this row was sent alone", json.loads(letter)["reason"])
        test.assertIn(self.said, json.loads(letter)["reason"])
        lines = [x for x in broker.log().splitlines() if f"down name={self.name} " in x]
        test.assertLess(len(lines), 8, lines)


class ToFerretDB(Far):
    name, poison, said = "ferret", 9223372036854775808, "insert"

    def connector(self):
        self.server = shared(FerretDB)
        with self.server.client() as c:
            c.drop("iot", "hit")
            c.drop("iot", "other")
        return {"type": "mongodb", "url": self.server.url(), "database": "iot"}

    def action(self, what):
        return {"collection": what, "document": {"n": "${n}", "v": "${v}"}}

    def stored(self, what):
        return sorted(d["n"] for d in self.server.find("iot", what))  # a collection has no order


class ToRedis(Far):
    name, poison, said = "redis", "x" * 1100000, "127.0.0.1"

    def connector(self):
        self.server = shared(Redis)
        self.server.execute("DEL", "hit", "other")
        self.server.execute("CONFIG", "SET", "client-query-buffer-limit", "1048576")
        return {"type": "redis", "url": self.server.url()}

    def action(self, what):
        return {"command": ["RPUSH", what, "${n} ${v}"]}

    def stored(self, what):
        return [int(v.split()[0]) for v in self.server.execute("LRANGE", what, 0, -1)]


class ToPostgres(Far):
    name, poison, said = "pg", -1, "connection"

    def connector(self):
        self.server = shared(Postgres)
        self.server.execute("DROP TABLE IF EXISTS hit, other; CREATE TABLE hit (at bigserial, n int); CREATE TABLE other (at bigserial, n int)")
        return {"type": "postgres", "url": self.server.url()}

    def action(self, what):
        return {"sql": f"INSERT INTO {what} (n) SELECT CASE WHEN ${{v}}::int = -1 THEN {END} ELSE ${{n}}::int END"}

    def stored(self, what):
        return [int(n) for n, in self.server.query(f"SELECT n FROM {what} ORDER BY at")]


class BreakingRows(unittest.TestCase):
    def test_breaking_rows__are_dead_letters_and_all_others_are_stored(self):
        far = [ToFerretDB(), ToRedis(), ToPostgres()]
        again = {"reconnect": {"first": "20ms", "max": "200ms"}}
        config = {"mqtt": {"max_packet_size": "4MB"}, "connectors": {f.name: {**f.connector(), **again} for f in far},
                  "rules": {name: rule for f in far for name, rule in f.rules().items()}}
        self.addCleanup(far[1].server.execute, "CONFIG", "SET", "client-query-buffer-limit", "1gb")
        with Broker(config) as b, ThreadPoolExecutor() as pool:
            list(pool.map(lambda f: f.publish(b), far))
            for f in far:
                with self.subTest(f.name):
                    f.look(self, b)

    def test_breaking_rows__of_several_actions_do_not_keep_each_other_out(self):
        """Every 50th row of two actions, in a pool; those of the third are all good."""
        server, rows, every = shared(FerretDB), 200, 50
        with server.client() as c:
            for what in ("none", "key", "clean"):
                c.drop("iot", f"several_{what}")
        node = {"type": "mongodb", "url": server.url(), "database": "iot", "pool": 2, "reconnect": {"first": "20ms", "max": "200ms"}}
        actions = {what: {"connector": "several", "order": "none" if what == "none" else "key", "retry": {"first": "20ms", "max": "100ms"},
                          "batch": {"rows": 100}, "collection": f"several_{what}", "document": {"n": "${n}", "v": "${v}"}}
                   for what in ("none", "key", "clean")}
        rules = {f"several_{what}": {"sql": f'SELECT payload.n AS n, payload.v AS v FROM "several/{what}"', "actions": [action]}
                 for what, action in actions.items()}
        with Broker({"connectors": {"several": node}, "rules": rules}) as b:
            with Client(b.port) as c:
                c.connect("several")
                for what in ("none", "key", "clean"):
                    c.publish_all(f"several/{what}", ({"n": n, "v": ToFerretDB.poison if what != "clean" and n % every == 20 else n}
                                                      for n in range(rows)), window=100)
            for what in ("clean", "none", "key"):
                with self.subTest(what):
                    bad = 0 if what == "clean" else rows // every
                    got = b.wait_settled(f"several_{what}", timeout=120 * SLOW)
                    self.assertEqual((got["delivered"], got["rejected"]), (rows - bad, bad), b.log()[-3000:])
                    stored = {d["n"] for d in server.find("iot", f"several_{what}")}
                    self.assertEqual(stored, {n for n in range(rows) if not bad or n % every != 20})
                    if bad:
                        letters = (b.folder / f"data/dead/several_{what}.0.jsonl").read_text().splitlines()
                        self.assertTrue(all("times when this row was sent alone" in json.loads(x)["reason"] for x in letters))
