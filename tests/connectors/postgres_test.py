"""The postgres connector against real servers: what a rule sends is what a table holds, and nothing is lost on the way."""
import json
import socket
import threading
import time
import unittest

from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.fake import Fake
from harness.proxy import Proxy
from harness.servers import Net, PgBouncer, Postgres, TestCa, shared

SELECT = 'SELECT payload.id AS id, payload.v AS v, payload.t AS t FROM "in/#"'
COLUMNS = {"id": "${id}", "v": "${v}"}
WINDOW = 20


class PostgresTest(unittest.TestCase):
    """One broker of ours per test, one rule `r`, one connector `db`, mostly one table `t`."""

    def setUp(self):
        self.pg = shared(Postgres)
        self.pg.execute("DROP TABLE IF EXISTS t CASCADE")

    def table(self, columns):
        self.pg.execute(f"DROP TABLE IF EXISTS t CASCADE; CREATE TABLE t ({columns}); GRANT ALL ON t TO PUBLIC")

    def config(self, action=None, sql=SELECT, **connector):
        action = {"table": "t", "columns": COLUMNS} if action is None else action
        connector = {"type": "postgres", "url": self.pg.url(), "reconnect": {"first": "50ms", "max": "500ms"}, **connector}
        connector = {k: v for k, v in connector.items() if v is not None}
        return {"connectors": {"db": connector},
                "rules": {"r": {"sql": sql, "actions": [
                    {"connector": "db", "retry": {"first": "50ms", "max": "500ms"}, **action}]}}}

    def broker(self, action=None, sql=SELECT, **connector):
        return Broker(self.config(action, sql, **connector))

    def publish(self, broker, payloads, topic="in/a", client="dev"):
        with Client(broker.port) as c:
            c.connect(client)
            waiting = 0
            for number, payload in enumerate(payloads):
                text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                c.send(m.publish(topic, text, 1, number % 60000 + 1))
                waiting += 1
                if waiting == WINDOW:
                    c.expect(m.PUBACK)
                    waiting -= 1
            for _ in range(waiting):
                c.expect(m.PUBACK)

    def rows(self, what="id, v", order="1"):
        return self.pg.query(f"SELECT {what} FROM t ORDER BY {order}")

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

    def state(self, broker):
        return next(c for c in broker.status()["connectors"] if c["name"] == "db")

    def wait_state(self, broker, state, timeout=30):
        wait_until(lambda: self.state(broker)["state"] == state, timeout, lambda: f"not {state}: {self.state(broker)}\n{broker.log()}")
        return self.state(broker).get("reason")


class Writing(PostgresTest):
    def test_table__rows_are_stored(self):
        self.table("id int, v text")
        self.deliver({"id": i, "v": f"value {i}"} for i in range(100))
        self.assertEqual(self.rows(), [[str(i), f"value {i}"] for i in range(100)])

    def test_sql__parameters_take_the_types_that_the_server_finds(self):
        self.table("id int, v numeric(10,2), at timestamptz")
        self.deliver([{"id": 1, "v": "12.5", "t": 1700000000123}, {"id": "2", "v": 3, "t": 0}],
                     {"sql": "INSERT INTO t(id, v, at) VALUES (${id}, ${v}, to_timestamp(${t} / 1000.0))"})
        self.assertEqual(self.rows("id, v, at AT TIME ZONE 'UTC'"),
                         [["1", "12.50", "2023-11-14 22:13:20.123"], ["2", "3.00", "1970-01-01 00:00:00"]])

    def test_table__on_conflict(self):
        self.table("id int PRIMARY KEY, v text, n int DEFAULT 7")
        self.pg.execute("INSERT INTO t VALUES (1, 'old')")
        twice = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}, {"id": 2, "v": "c"}, {"id": 1, "v": "d"}]
        self.deliver(twice, {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"})
        self.assertEqual(self.rows("id, v, n"), [["1", "old", "7"], ["2", "b", "7"]])
        self.deliver(twice, {"table": "t", "columns": COLUMNS, "on_conflict": {"update": ["v"]}})
        self.assertEqual(self.rows(), [["1", "d"], ["2", "c"]])
        self.deliver(twice, rejected=4)
        self.assertIn("Key (id)=(1) already exists. (SQLSTATE 23505)", self.letters[0]["reason"])


class Refused(PostgresTest):
    """What does not fit is a dead letter with its reason; everything else is stored."""
    WAYS = {
        "copy": {"table": "t", "columns": COLUMNS},
        "insert": {"table": "t", "columns": COLUMNS, "on_conflict": "ignore", "conflict_on": ["id"]},
        "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"},
    }
    KINDS = {  # the bad row among the good ones, and what is said of it
        "wrong type": ({"id": "seven", "v": "x"}, "does not take the string \"seven\": it is no number"),
        "constraint": ({"id": -1, "v": "x"}, 'violates check constraint "t_id_check" (SQLSTATE 23514)'),
        "oversize": ({"id": 5, "v": "x" * 30}, "value too long for type character varying(20) (SQLSTATE 22001)"),
    }

    def poison(self, action, bad, count, **connector):
        self.table("id int PRIMARY KEY CHECK (id >= 0), v varchar(20)")
        payloads = [{"id": i + 10, "v": f"value {i}"} for i in range(count)]
        payloads[count // 2] = bad
        self.deliver(payloads, action, rejected=1, **connector)
        self.assertEqual(self.pg.value("SELECT count(*) FROM t"), str(count - 1))

    def test_poison__one_row_in_ten_thousand_for_each_way(self):
        for way, action in self.WAYS.items():
            for kind, (bad, said) in self.KINDS.items():
                with self.subTest(way=way, kind=kind):
                    self.poison(action, bad, 10_000 if kind == "constraint" else 1_000)
                    self.assertIn(said, self.letters[0]["reason"])

    def test_poison__many_bad_rows_are_found_together(self):
        for way, action in self.WAYS.items():
            for connector in ({}, {"url": shared(PgBouncer).url(), "statement_timeout": "20s"}):
                with self.subTest(way=way, connector=connector):
                    self.table("id int PRIMARY KEY CHECK (id % 3 > 0), v varchar(20)")
                    n = self.deliver([{"id": i, "v": "v"} for i in range(3000)], action, rejected=1000, **connector)
                    self.assertEqual(self.pg.value("SELECT count(*) FROM t"), "2000")
                    self.assertLess(n["batches"], 120)

    def test_poison__a_deferred_constraint_names_no_row(self):
        self.table("id int, v text, UNIQUE (id) DEFERRABLE INITIALLY DEFERRED")
        for action in (self.WAYS["copy"], self.WAYS["sql"]):
            self.pg.execute("TRUNCATE t")
            self.deliver([{"id": i % 99, "v": "v"} for i in range(100)], action, rejected=1)
            self.assertEqual(self.pg.value("SELECT count(*) FROM t"), "99")

    def test_poison__a_trigger_and_a_foreign_key(self):
        self.pg.execute("DROP TABLE IF EXISTS parent CASCADE; CREATE TABLE parent (id int PRIMARY KEY);"
                        "INSERT INTO parent SELECT generate_series(0, 98)")
        self.table("id int REFERENCES parent, v text")
        self.deliver([{"id": i, "v": "v"} for i in range(100)], rejected=1)
        self.assertIn("foreign key", self.letters[0]["reason"])
        self.table("id int, v text")
        self.pg.execute("CREATE OR REPLACE FUNCTION no13() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                        "IF NEW.id = 13 THEN RAISE 'not %', NEW.id; END IF; RETURN NEW; END $$;"
                        "CREATE TRIGGER no13 BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no13()")
        self.deliver([{"id": i, "v": "v"} for i in range(100)], rejected=1)
        self.assertIn("not 13 (SQLSTATE P0001)", self.letters[0]["reason"])

    def test_values__hostile_text_is_data(self):
        texts = ["'; DROP TABLE t; --", '"quoted"', "back\\slash \\n \\'", "$1 ${v} $$ $tag$", "\\.", "\t\n\r", "%s %n", "\\N", "NULL",
                 "", " ", "\u00e9\u4e2d\U0001f600", "E'x'", "--", "/* ", "x" * 100_000]
        for way, action in {**self.WAYS, "pooler": self.WAYS["sql"]}.items():
            with self.subTest(way=way):
                self.table("id int UNIQUE, v text")
                self.deliver([{"id": i, "v": v} for i, v in enumerate(texts)], action,
                             url=shared(PgBouncer).url() if way == "pooler" else self.pg.url())
                self.assertEqual([r[1] for r in self.rows()], texts)

    def test_values__nul_and_broken_utf8_are_refused_as_text_and_kept_as_bytes(self):
        raw = 'SELECT 1 AS id, payload AS v FROM "in/#"'
        self.table("id int, v text")
        payloads = [b"a\0b", b"\xff\xfe", b"\xc3", b"good", b"\xed\xa0\x80"]
        for action in (self.WAYS["copy"], self.WAYS["sql"]):
            self.pg.execute("TRUNCATE t")
            self.deliver(payloads, action, raw, rejected=4)
            self.assertEqual(self.rows("v"), [["good"]])
            self.assertIn("NUL character", self.letters[0]["reason"])
            self.assertIn("not UTF-8", self.letters[1]["reason"])
        self.table("id int, v bytea")
        self.deliver(payloads, None, raw)
        self.assertEqual(sorted(r[0] for r in self.rows("encode(v, 'hex')")), sorted(p.hex() for p in payloads))

    def test_values__nul_in_json_is_refused_with_the_reason(self):
        self.table("id int, v jsonb")
        self.deliver([{"id": 1, "v": {"a": "x\0y"}}, {"id": 2, "v": "x\0y"}, {"id": 3, "v": {"a": 1}}], rejected=2)
        self.assertEqual(self.rows(), [["3", '{"a": 1}']])


class Tables(PostgresTest):
    def not_ready(self, broker, text):
        wait_until(lambda: text in (self.state(broker).get("reason") or ""), 20, lambda: f"{self.state(broker)}\n{broker.log()}")
        self.assertEqual(self.state(broker)["state"], "degraded")

    def test_table__missing_then_created(self):
        for action in ({"table": "t", "columns": COLUMNS}, {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}):
            with self.subTest(action=action):
                self.pg.execute("DROP TABLE IF EXISTS t")
                with self.broker(action) as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(50)])
                    self.not_ready(b, "create")
                    self.table("id int, v text")
                    self.assertEqual(b.wait_settled("r")["delivered"], 50)
                    self.wait_state(b, "up")
                self.assertEqual(len(self.rows()), 50)

    def test_table__a_column_misspelt(self):
        self.table('id int, "Volume" text')
        with self.broker({"table": "t", "columns": {"id": "${id}", "volume": "${v}"}}) as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            self.not_ready(b, 'table "t" has no column "volume", did you mean "Volume"?')

    def test_table__no_right_to_it(self):
        self.pg.execute("CREATE TABLE t (id int, v text)")
        with self.broker(url=self.pg.url("scramuser", "pw")) as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            self.not_ready(b, "permission denied for table t (SQLSTATE 42501); grant it")
            self.pg.execute("GRANT INSERT ON t TO scramuser")
            self.assertEqual(b.wait_settled("r")["delivered"], 1)

    def test_table__column_types_change_while_running(self):
        self.table("id int, v text")
        with self.broker() as b:
            for wanted, kind in (("7", "text"), ("8", "bigint"), ("9", "double precision"), ("10", "numeric"), ("11", "jsonb")):
                self.pg.execute(f"DROP TABLE t; CREATE TABLE t (id int, v {kind})")
                self.publish(b, [{"id": 1, "v": int(wanted)}])
                b.wait_settled("r")
                self.assertEqual(self.rows(), [["1", wanted]], kind)
            self.pg.execute("DROP TABLE t; CREATE TABLE t (v smallint, extra int DEFAULT 3, id bigint)")
            self.publish(b, [{"id": 1, "v": 12}])
            b.wait_settled("r")
            self.assertEqual(self.rows("id, v, extra"), [["1", "12", "3"]])

    def test_table__names_need_quotes_and_schemas(self):
        self.pg.execute('DROP SCHEMA IF EXISTS "my s" CASCADE; CREATE SCHEMA "my s"; CREATE TABLE "my s"."a.""b" ("select" int, "x y" text)')
        columns = {"select": "${id}", "x y": "${v}"}
        where = '"my s"."a.""b"'
        for action, connector in (({"table": 'my s."a.""b"', "columns": columns}, {}),
                                  ({"table": '"a.""b"', "columns": columns}, {"search_path": ["my s", "public"]}),
                                  ({"table": '"a.""b"', "columns": columns}, {"search_path": "my s", "url": shared(PgBouncer).url()}),
                                  ({"sql": 'INSERT INTO "a.""b" VALUES (${id}, ${v})'}, {"search_path": "my s", "prepared": "off"})):
            with self.subTest(action=action):
                self.pg.execute(f"TRUNCATE {where}")
                self.deliver([{"id": 1, "v": "x"}], action, **connector)
                self.assertEqual(self.pg.query(f"SELECT * FROM {where}"), [["1", "x"]])

    def test_table__views_partitions_and_row_security(self):
        self.pg.execute("CREATE TABLE t (id int, v text) PARTITION BY RANGE (id);"
                        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (0) TO (100)")
        self.deliver([{"id": i, "v": "x"} for i in range(101)], rejected=1)
        self.assertIn("no partition", self.letters[0]["reason"])
        self.table("id int, v text")
        self.pg.execute("CREATE VIEW tv AS SELECT * FROM t")
        self.deliver([{"id": 1, "v": "x"}], {"table": "tv", "columns": COLUMNS})
        self.pg.execute("ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t WITH CHECK (id > 5); GRANT ALL ON t TO scramuser")
        self.deliver([{"id": i, "v": "x"} for i in range(10)], url=self.pg.url("scramuser", "pw"), rejected=6)
        self.assertIn("row-level security policy", self.letters[0]["reason"])
        self.assertEqual(len(self.rows()), 5)

    def test_table__conflict_key(self):
        self.table("id int, v text")
        update = {"table": "t", "columns": COLUMNS, "on_conflict": {"update": ["v"]}}
        with self.broker(update) as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            self.not_ready(b, 'table "t" has no primary key or unique index')
            self.pg.execute("CREATE UNIQUE INDEX ON t (id) INCLUDE (v)")
            self.assertEqual(b.wait_settled("r")["delivered"], 1)
        self.deliver([{"id": 1, "v": "y"}], {**update, "conflict_on": ["id"]})
        self.assertEqual(self.rows(), [["1", "y"]])


class Statements(PostgresTest):
    def test_sql__a_statement_that_returns_rows(self):
        self.table("id int, v text")
        self.deliver([{"id": i, "v": "x"} for i in range(300)], {"sql": "INSERT INTO t VALUES (${id}, ${v}) RETURNING id, repeat(v, 1000)"})
        self.pg.execute("CREATE OR REPLACE FUNCTION put(i int, x text) RETURNS SETOF int LANGUAGE sql AS "
                        "'INSERT INTO t VALUES (i, x); SELECT generate_series(1, 1000)'")
        self.deliver([{"id": i, "v": "x"} for i in range(300)], {"sql": "SELECT put(${id}::int, ${v}::text)"})
        self.assertEqual(len(self.rows()), 600)

    def test_sql__arrays_enums_and_unknown_types(self):
        self.pg.execute("DROP TYPE IF EXISTS mood CASCADE; CREATE TYPE mood AS ENUM ('sad', 'ok'); "
                        "DROP DOMAIN IF EXISTS small CASCADE; CREATE DOMAIN small AS int CHECK (VALUE < 10)")
        self.table("id small, v mood, a int[], p point, i interval, m mood[]")
        sql = 'SELECT payload.id AS id, payload.v AS v, payload.a AS a, payload.p AS p, payload.i AS i, payload.m AS m FROM "in/#"'
        row = {"id": 1, "v": "ok", "a": [1, None, 3], "p": "(1,2)", "i": 1500, "m": ["ok", "sad"]}
        self.deliver([row, {**row, "id": 10}, {**row, "v": "glad"}],
                     {"table": "t", "columns": {c: "${%s}" % c for c in "id v a p i m".split()}}, sql, rejected=2)
        self.assertEqual(self.rows("*"), [["1", "ok", "{1,NULL,3}", "(1,2)", "00:00:01.5", "{ok,sad}"]])
        self.deliver([row], {"sql": "INSERT INTO t(id, v, a, p, i) VALUES (${id}, ${v}, ${a}, ${p}, ${i})"}, sql)
        self.assertEqual(len(self.rows("*")), 2)

    def test_sql__a_parameter_without_a_type_is_told_how(self):
        self.table("id int, v text")
        with self.broker({"sql": "INSERT INTO t SELECT 1, jsonb_build_object('a', ${v})"}) as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            wait_until(lambda: "a cast such as ${x}::text" in (self.state(b).get("reason") or ""), 20, lambda: str(self.state(b)))

    def test_check__what_is_clearly_wrong(self):
        for action, said in (
                ({"sql": "INSERT INTO t VALUES ('${id}')"}, "stands in quotes"),
                ({"sql": "INSERT INTO t VALUES ($a$ ${id} $a$)"}, "stands in quotes"),
                ({"sql": "INSERT INTO t VALUES (E'it\\'s ${id}')"}, "stands in quotes"),
                ({"sql": "INSERT INTO t VALUES (${id}) /* a /* b */ ${v} */"}, "stands in a comment"),
                ({"sql": "INSERT INTO t VALUES (${id}); DROP TABLE t"}, "a second statement begins at 1:31"),
                ({"sql": "INSERT INTO t VALUES ($1, ${id})"}, "parameter of PostgreSQL's own"),
                ({"sql": "INSERT INTO t VALUES (${id}, 'x)"}, "does not end"),
                ({"sql": "BEGIN"}, "begins with INSERT"),
                ({"sql": "-- nothing"}, "no statement"),
                ({"sql": "DROP TABLE t"}, "not with DROP"),
                ({"table": "t"}, "needs `columns`"),
                ({"table": "t", "columns": COLUMNS, "on_conflict": "replace"}, "`ignore`, or {update: [columns]}"),
                ({"table": "t", "columns": COLUMNS, "on_conflict": {"update": ["w"]}}, "no value for `w`"),
                ({"table": "t", "columns": COLUMNS, "conflict_on": ["id"]}, "belongs to `on_conflict`")):
            with self.subTest(action=action):
                path = Broker(self.config(action), start=False).config_path
                done = run_program("check", "-c", str(path))
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stderr + done.stdout)
        for connector, said in (({"url": None}, "say where the database is"), ({"url": "postgresql://u:se%cret@h/d"}, "neither a URL"),
                                ({"url": "postgresql://u@h:99999/d"}, "1 to 65535"), ({"url": None, "hosts": ["a:x"]}, "hosts")):
            done = run_program("check", "-c", str(Broker(self.config(**connector), start=False).config_path))
            self.assertEqual((done.returncode, said in done.stderr + done.stdout), (1, True), done.stderr + done.stdout)
            self.assertNotIn("cret", done.stderr + done.stdout)


if __name__ == "__main__":
    unittest.main()
