"""The postgres connector against real servers: what a rule sends is what a table holds, and nothing is lost on the way."""
import contextlib
import json
import os
import signal
import subprocess
import threading
import time
import unittest

from harness.broker import BIN, ROOT, Broker, run_program, wait_until
from harness.client import Client
from harness.fake import Fake
from harness.proxy import Proxy
from harness.servers import Net, PgBouncer, Postgres, TestCa, shared

SELECT = 'SELECT payload.id AS id, payload.v AS v, payload.t AS t FROM "in/#"'
COLUMNS = {"id": "${id}", "v": "${v}"}


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
            c.publish_all(topic, payloads)

    @contextlib.contextmanager
    def held(self, sql):
        """A transaction that has done this, and ends when the block does: the table is its own as long."""
        self.pg.execute("DROP TABLE IF EXISTS hold; CREATE TABLE hold AS SELECT 1")
        wait = "DO $$ BEGIN WHILE EXISTS (SELECT FROM hold) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$"
        holder = threading.Thread(target=self.pg.execute, args=(f"BEGIN; {sql}; {wait}; COMMIT",))
        holder.start()
        try:
            wait_until(lambda: self.pg.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == "1")
            yield
        finally:
            self.pg.execute("DELETE FROM hold")
            holder.join()

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
        return broker.connector("db")

    def wait_state(self, broker, state, timeout=30):
        return broker.wait_connector("db", state, timeout)


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

    def test_table__the_way_that_rows_go(self):
        ignore = {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"}
        for action, columns, way in (({"table": "t", "columns": COLUMNS}, "id int, v text", "COPY"), (ignore, "id int, v text", "unnest"),
                                     (ignore, "id int, v point", "VALUES"), ({"table": "t", "columns": COLUMNS}, "id int, v point", "VALUES"),
                                     ({"table": "t", "columns": {"id": "${id}"}}, "id int", "COPY")):
            with self.subTest(action=action, columns=columns):
                self.table(columns)
                self.pg.execute("DROP TABLE IF EXISTS said; CREATE TABLE said (query text);"
                                "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
                                " $$BEGIN INSERT INTO said VALUES (current_query()); RETURN NULL; END$$;"
                                "CREATE TRIGGER note AFTER INSERT ON t EXECUTE FUNCTION note()")
                with self.broker({**action, "batch": {"rows": 50, "linger": "1s"}}) as b:
                    self.publish(b, [{"id": i, "v": "(1,2)"} for i in range(200)])
                    b.wait_settled("r")
                said = self.pg.query("SELECT DISTINCT query FROM said")
                found = [way in query for query, in said]  # a row that is alone goes by VALUES
                self.assertTrue(any(found) and (all(found) or way == "unnest"), said)
                self.assertEqual(self.pg.value("SELECT count(*) FROM t"), "200")

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
        "oversize": ({"id": 5, "v": "x" * 30}, "value too long for type character varying(20)"),
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
                    self.poison(action, bad, 10_000)
                    self.assertIn(said, self.letters[0]["reason"])
                    if kind == "oversize" and way == "copy":  # only COPY is told of the column
                        self.assertIn('varying(20), column "v" (SQLSTATE 22001)', self.letters[0]["reason"])

    def test_poison__what_the_server_says_besides_is_in_the_reason(self):
        self.table("id int, v text, w numeric(3, 1)")
        self.pg.execute("CREATE OR REPLACE FUNCTION said() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                        "IF NEW.id = 2 THEN RAISE 'not this' USING DETAIL = repeat(E'more\\n', 500); END IF; RETURN NEW; END $$;"
                        "CREATE TRIGGER said BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION said()")
        # By nested arithmetic, so that it is the server that refuses.
        self.deliver([{"id": 1, "v": "x"}, {"id": 2, "v": "x"}, {"id": 3, "v": "y"}],
                     {"sql": "INSERT INTO t(id, v, w) VALUES (${id}, ${v}, CASE WHEN ${v}::text = 'y' THEN 1000 ELSE 1 END)"}, rejected=2)
        reasons = sorted(letter["reason"] for letter in self.letters)
        self.assertRegex(reasons[0], r"^not this: (more ){90,100}\S*\.\.\. \(SQLSTATE P0001\)$")
        self.assertIn("numeric field overflow: A field with precision 3, scale 1 must round to an absolute value less than 10^2.", reasons[1])

    def test_poison__many_bad_rows_are_found_together(self):
        for way, action in self.WAYS.items():
            for connector in ({}, {"url": shared(PgBouncer).url(), "statement_timeout": "20s"}):
                with self.subTest(way=way, connector=connector):
                    self.table("id int PRIMARY KEY CHECK (id % 3 > 0), v varchar(20)")
                    n = self.deliver([{"id": i, "v": "v"} for i in range(3000)], {**action, "batch": {"rows": 1000, "linger": "1s"}},
                                     rejected=1000, **connector)
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

    def test_poison__a_value_that_its_types_own_reader_refuses(self):
        """Whatever code it gives: a syntax error of text search, an internal one of an extension, a name's length."""
        self.pg.execute("CREATE EXTENSION IF NOT EXISTS hstore")
        for kind, good, bad, said, ways in (("tsquery", "a & b", "a b", "42601", "copy sql"), ("hstore", "a=>1", "a=>", "XX000", "insert"),
                                            ("name", "n", "n" * 70, "42622", "copy insert"), ("regtype", "int", "nothing", "42704", "sql"),
                                            ("cidr", "10.0.0.0/8", "10.0.0.7/8", "22P03", "insert")):
            for way in ways.split():
                with self.subTest(kind=kind, way=way):
                    self.table(f"id int UNIQUE, v {kind}")
                    self.deliver([{"id": i, "v": bad if i == 20 else good} for i in range(50)], self.WAYS[way], rejected=1)
                    self.assertIn(said, self.letters[0]["reason"])

    def test_poison__an_error_inside_of_the_server_stops_no_other_key(self):
        for way in ("copy", "insert"):
            with self.subTest(way=way):
                self.table("id int UNIQUE, v text")
                self.pg.execute("CREATE OR REPLACE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 13 THEN "
                                "RAISE 'broken inside' USING ERRCODE = 'XX000'; END IF; RETURN NEW; END $$;"
                                "CREATE TRIGGER odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd()")
                with self.broker({**self.WAYS[way], "batch": {"linger": "300ms"}}) as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(20)])
                    self.publish(b, [{"id": 100 + i, "v": "x"} for i in range(20)], client="other")
                    wait_until(lambda: self.pg.value("SELECT count(*) FROM t") == "33" and b.action("r")["retried"] > 0, 30,
                               lambda: f"{self.rows()} {b.action('r')}")
                    self.pg.execute("DROP TRIGGER odd ON t")
                    self.assertEqual(b.wait_settled("r")["delivered"], 40)

    def test_poison__a_sequence_at_its_end_blames_no_row(self):
        self.table("key smallserial PRIMARY KEY, id int, v text")
        self.pg.execute("ALTER SEQUENCE t_key_seq RESTART 32760; GRANT ALL ON SEQUENCE t_key_seq TO PUBLIC")
        with self.broker() as b:
            self.publish(b, [{"id": i, "v": "x"} for i in range(20)])
            wait_until(lambda: "ALTER SEQUENCE" in (self.state(b).get("reason") or ""), 20, lambda: f"{self.state(b)} {self.dead(b)}")
            self.pg.execute("ALTER SEQUENCE t_key_seq RESTART 1")
            self.assertEqual(b.wait_settled("r")["delivered"], 20)

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

    def test_table__a_type_that_changes_while_rows_wait_for_its_lock(self):
        """COPY's binary form says nothing of types: eight bytes of a number would pass as eight bytes of a time."""
        self.table("id int, v bigint")
        with self.broker() as b:
            self.publish(b, [{"id": 1, "v": 1000}])
            b.wait_settled("r")
            with self.held("ALTER TABLE t ALTER v TYPE timestamptz USING to_timestamp(v / 1000.0)"):
                self.publish(b, [{"id": 2, "v": 2000}])
                wait_until(lambda: self.pg.value("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0")
            n = b.wait_settled("r")
        self.assertEqual((n["delivered"], n["rejected"]), (2, 0))
        self.assertEqual(self.rows("id, extract(epoch FROM v)::int"), [["1", "1"], ["2", "2"]])

    def test_table__a_type_that_changes_is_not_cast_to_and_a_replay_meets_the_new_one(self):
        """What is bound as a float the server would round into an integer; and what was refused fits once the type is mended."""
        ignore = {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"}
        statement = {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v}) ON CONFLICT DO NOTHING"}
        for action, more, noticed_after in (({**ignore, "batch": {"rows": 100, "linger": "300ms"}}, "", 0), ({**ignore, "batch": {"rows": 1}}, "", 0),
                                            ({**ignore, "columns": {**COLUMNS, "p": "${t}"}}, ", p point", 0), (statement, "", 5.5)):
            with self.subTest(action=action):
                self.table(f"id int PRIMARY KEY, v float8{more}")
                with self.broker(action) as b:
                    self.publish(b, [{"id": i, "v": 0.5} for i in range(10)])
                    self.assertEqual(b.wait_settled("r")["delivered"], 10)
                    self.pg.execute("ALTER TABLE t ALTER v TYPE integer")
                    time.sleep(noticed_after)
                    self.publish(b, [{"id": i, "v": 20.5 if i % 2 else 20} for i in range(10, 20)])
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (15, 5), self.rows())
                    self.assertEqual([r for r in self.rows() if int(r[0]) >= 10], [[str(i), "20"] for i in range(10, 20, 2)])
                    self.assertIn("(integer)", self.dead(b)[0]["reason"])
                    self.pg.execute("ALTER TABLE t ALTER v TYPE float8")
                    time.sleep(1.2)  # types are as old as that before they are read again
                    said = run_program("replay", "-c", str(b.config_path), cwd=b.folder)
                    self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (20, 5), self.dead(b))
                    self.assertEqual([r for r in self.rows() if int(r[0]) >= 10],
                                     [[str(i), "20.5" if i % 2 else "20"] for i in range(10, 20)])

    def test_table__a_column_that_the_server_makes_itself(self):
        identity = "id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text"
        generated = "id int PRIMARY KEY, v text GENERATED ALWAYS AS (id::text) STORED"
        for columns, more in ((identity, {"on_conflict": "ignore"}), (generated, {"on_conflict": "ignore"}), (generated, {})):
            with self.subTest(columns=columns, more=more):
                self.table(columns)
                with self.broker({"table": "t", "columns": COLUMNS, **more}) as b:
                    self.publish(b, [{"id": 1, "v": "x"}])
                    self.not_ready(b, "; the server makes it, leave it out of `columns`")

    def test_table__numbers_that_the_server_would_give_are_given_whatever_way_finds_the_bad_rows(self):
        self.table("id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v int CHECK (v % 10 > 0)")
        self.deliver([{"id": i, "v": i} for i in range(1, 201)], rejected=20)
        self.assertEqual([int(i) for (i,) in self.rows("id")], [i for i in range(1, 201) if i % 10])

    def test_table__rights_to_its_columns_are_enough(self):
        self.table("id int, v text, secret text")
        self.pg.execute("REVOKE ALL ON t FROM PUBLIC; GRANT INSERT (id, v) ON t TO scramuser; GRANT INSERT (v, id) ON t TO PUBLIC")
        self.deliver([{"id": 1, "v": "a"}], url=self.pg.url(user="scramuser", password="pw"))
        self.assertEqual(self.rows(), [["1", "a"]])

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

    def test_table__without_a_key_on_conflict_is_told_to_be_in_vain(self):
        ignore = {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"}
        keys = (("", True), ("CREATE INDEX ON t (id)", True), ("CREATE UNIQUE INDEX ON t (id) WHERE id > 0", False),
                ("CREATE UNIQUE INDEX ON t ((id + 1))", False), ("ALTER TABLE t ADD EXCLUDE USING btree (id WITH =)", False),
                ("ALTER TABLE t ADD PRIMARY KEY (id)", False))
        for key, told in keys:
            with self.subTest(key):
                self.table("id int, v text")
                if key:
                    self.pg.execute(key)
                with self.broker({**ignore, "batch": {"rows": 1}}) as b:
                    for _ in range(3):
                        self.publish(b, [{"id": 1, "v": "x"}])
                        b.wait_settled("r")
                    log = b.log()
                self.assertEqual(log.count("on_conflict: ignore has no effect"), 1 if told else 0, log)
                self.assertEqual(len(self.rows()), 3 if told else 1)

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

    def test_table__lists_for_arrays_of_types_without_a_binary_form(self):
        self.pg.execute("DROP DOMAIN IF EXISTS small CASCADE; CREATE DOMAIN small AS int CHECK (VALUE < 10); DROP DOMAIN IF EXISTS waits CASCADE;"
                        "CREATE DOMAIN waits AS interval[]; CREATE EXTENSION IF NOT EXISTS citext")
        columns = {"id": "int", "i": "interval[]", "p": "point[]", "s": "small[]", "w": "waits", "c": "citext[]", "b": "box[]"}
        self.table(", ".join(f"{name} {kind}" for name, kind in columns.items()))
        hostile = ["a\"b", "\\", "x,{y}", "NULL", "", None, "'; DROP TABLE t; --", "\\\""]
        row = {"id": 1, "i": ["1 day", 1500, None], "p": ["(1,2)"], "s": [1, "2"], "w": [250], "c": hostile, "b": ["(1,1),(0,0)", None, "(3,3),(2,2)"]}
        payloads = [row, {"id": 2, "i": [], "p": "{\"(3,4)\"}", "s": None}, {**row, "id": 3, "s": [1, 10]}, {**row, "id": 4, "p": [["(1,2)"]]},
                    {**row, "id": 5, "c": ["a\0b"]}, {**row, "id": 6, "p": ["(1"]}]
        sql = "SELECT " + ", ".join(f"payload.{name} AS {name}" for name in columns) + ' FROM "in/#"'
        names, values = ", ".join(columns), ", ".join("${%s}" % name for name in columns)
        for action in ({"table": "t", "columns": {name: "${%s}" % name for name in columns}}, {"sql": f"INSERT INTO t({names}) VALUES ({values})"}):
            with self.subTest(action=action):
                self.pg.execute("TRUNCATE t")
                self.deliver(payloads, action, sql, rejected=4)
                self.assertEqual(self.rows("id, i, p, s, w"), [["1", '{"1 day",00:00:01.5,NULL}', '{"(1,2)"}', "{1,2}", "{00:00:00.25}"],
                                                               ["2", "{}", '{"(3,4)"}', None, None]])
                self.assertEqual(json.loads(self.pg.value("SELECT to_json(c) FROM t WHERE id = 1")), hostile)
                self.assertEqual(self.pg.value("SELECT b FROM t WHERE id = 1"), "{(1,1),(0,0);NULL;(3,3),(2,2)}")
                said = " ".join(sorted(letter["reason"] for letter in self.letters))
                for part in ("domain small", "a list within a list", "NUL character", 'point: "(1"'):
                    self.assertIn(part, said)

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
                                ({"url": "postgresql://u@h:99999/d"}, "1 to 65535"), ({"url": "postgresql://u:se@cret@h/d"}, "written %40"),
                                ({"url": "postgresql://u:se/cret@h/d"}, "written %2F"), ({"url": None, "hosts": ["a:x"]}, "hosts")):
            done = run_program("check", "-c", str(Broker(self.config(**connector), start=False).config_path))
            self.assertEqual((done.returncode, said in done.stderr + done.stdout), (1, True), done.stderr + done.stdout)
            self.assertNotIn("cret", done.stderr + done.stdout)

    def test_check__names_the_parameter_that_libpq_does_not_know(self):
        """Not what may be the end of a password."""
        for url, said in (("postgresql://u:geheim@h/d?sslmod=require", "url: libpq knows no parameter `sslmod`; did you mean `sslmode`?"),
                          ("postgresql://u:geheim@h/d?connect_timeout=5&quux=1", "no parameter `quux`"),
                          ("host=h sslmod=require password=geheim", "no parameter `sslmod`; did you mean `sslmode`?"),
                          ("host=h password=geheim sslmod=require", "did you mean `sslmode`?"),
                          ("host=h password=a geheim=b", "a parameter in it"),
                          ("postgresql://u:a/b?geheim=d@h/d", "a parameter in it"),
                          ("postgresql://h/d?password=a&geheim=d", "a parameter in it")):
            with self.subTest(url=url):
                done = run_program("check", "-c", str(Broker(self.config(url=url), start=False).config_path))
                self.assertEqual((done.returncode, said in done.stderr + done.stdout), (1, True), done.stderr + done.stdout)
                self.assertNotIn("geheim", done.stderr + done.stdout)


class Connecting(PostgresTest):
    def setUp(self):
        super().setUp()
        self.table("id int, v text")

    def stored(self, **connector):
        self.pg.execute("TRUNCATE t")
        self.deliver([{"id": i, "v": "x"} for i in range(100)], **connector)
        self.assertEqual(len(self.rows()), 100)

    def refused(self, said, **connector):
        with self.broker(connect_timeout="2s", **connector) as b:
            reason = self.wait_state(b, "down")
            self.assertIn(said, reason)
            self.assertNotIn("hunter", b.log() + json.dumps(b.status()))
            return reason

    def test_connect__the_status_page_names_the_server(self):
        for server, pooler in ((self.pg, False), (shared(PgBouncer), True)):
            with self.broker(url=server.url()) as b:
                self.wait_state(b, "up")
                details = self.state(b)["about"]
                self.assertRegex(details["server"], r"^PostgreSQL 1\d\.\d+ at 127.0.0.1:%d$" % server.port)
                self.assertEqual((details["pooler"], details["sessions"]), (pooler, 1))

    def test_connect__options_beside_the_url(self):
        self.stored(url=None, hosts="127.0.0.1:15432", database="test", user="scramuser", password="pw", application_name="mine")
        self.stored(url=f"host=localhost port={self.pg.port} dbname=test user=test", pool=1)
        self.stored(url=f"host=nowhere.invalid hostaddr=127.0.0.1 port={self.pg.port} dbname=test user=test")

    def test_connect__pgbouncer_in_transaction_mode(self):
        bouncer = shared(PgBouncer)
        self.stored(url=bouncer.url())
        for action in ({"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"},
                       {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"}):
            self.pg.execute("TRUNCATE t")
            payloads = [{"id": i, "v": str(i)} for i in range(3000)]
            with self.broker({**action, "batch": {"rows": 50}, "order": "none"}, url=bouncer.url()) as b:
                self.publish(b, payloads)
                b.wait_settled("r")
            self.assertEqual(self.rows(), [[str(i), str(i)] for i in range(3000)])
        with self.broker(url=bouncer.url(), prepared="on", action={"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})", "batch": {"rows": 5}, "order": "none"}) as b:
            self.publish(b, [{"id": i, "v": "x"} for i in range(500)])  # told wrong, it finds out
            self.assertEqual(b.wait_settled("r")["delivered"], 500)

    def test_connect__tls(self):
        ca = TestCa.shared()
        tls = {"ca": ca.path("ca.pem")}
        local = f"postgresql://%s@localhost:{self.pg.port}/test"
        self.stored(url=local % "tlsonly", tls=tls)
        self.stored(url=self.pg.url("tlsonly"), tls=tls)
        self.stored(url=local % "tlsuser", tls={**tls, "cert": ca.path("client.pem"), "key": ca.path("client.key")})
        self.stored(url=self.pg.url("tlsonly", sslmode="verify-full", sslrootcert=ca.path("ca.pem")))
        self.stored(url=self.pg.url("tlsonly"), tls={"verify": False})
        self.refused("not signed by the authority", url=local % "tlsonly", tls={"ca": ca.path("other.pem")})
        self.refused("tls.server_name", url=local % "tlsonly", tls={**tls, "server_name": "elsewhere.example"})
        self.refused("certificate", url=local % "tlsuser", tls=tls)
        self.refused("pg_hba.conf", url=self.pg.url("tlsonly", sslmode="disable"))

    def test_connect__large_answers_over_tls(self):
        columns = ", ".join(f"column_with_a_long_name_{i} text" for i in range(1000))
        self.table(f"id int, v text, {columns}")
        self.stored(url=self.pg.url("tlsonly"), tls={"ca": TestCa.shared().path("ca.pem")})

    def test_connect__what_is_wrong_is_said_plainly(self):
        self.refused("check `user` and `password`", url=self.pg.url("scramuser", "hunter2"))
        self.refused("give `password`", url=self.pg.url("scramuser"))
        self.refused('database "nowhere" does not exist', url=self.pg.url(database="nowhere"))
        self.refused("refused; is the server running", url="postgresql://test@127.0.0.1:1/test")
        self.refused("there is no host nowhere.invalid", url="postgresql://test:hunter2@nowhere.invalid/test")
        reason = self.refused("127.0.0.1", url=f"postgresql://test@127.0.0.1:1,nowhere.invalid:5432,127.0.0.1:2/test")
        self.assertEqual(reason.count(";") >= 2, True, reason)

    def test_connect__a_server_that_refuses_a_setting_of_ours(self):
        """PostgreSQL on Windows and macOS knows client_connection_check_interval, and refuses it."""
        with Proxy(self.pg.port) as proxy:
            proxy.rewrite = lambda data: data.replace(b"client_connection_check_interval", b"client_connection_check_INTERFAL")
            self.stored(url=f"postgresql://test@127.0.0.1:{proxy.port}/test?sslmode=disable")

    def test_connect__a_message_in_an_old_encoding_is_shown(self):
        """Until the session has its encoding the server speaks in its own."""
        def refuse(conn):
            conn.read(8)
            text = "SFATAL\0C28P01\0MPasswort für Benutzer falsch\0\0".encode("latin-1")
            conn.send(b"E" + (len(text) + 4).to_bytes(4, "big") + text)
        with Fake(refuse) as fake:
            with self.broker(url=f"postgresql://test@127.0.0.1:{fake.port}/test?sslmode=disable") as b:
                self.assertRegex(self.wait_state(b, "down"), "Passwort f.*r Benutzer falsch")

    def test_connect__several_hosts(self):
        with Fake(lambda conn: conn.hang()) as silent:
            self.stored(url=None, hosts=["127.0.0.1:1", f"127.0.0.1:{silent.port}", f"localhost:{self.pg.port}"], user="test", database="test",
                        connect_timeout="300ms", pool=2)
        self.pg.execute("ALTER ROLE scramuser SET default_transaction_read_only = on")
        try:
            self.refused("session is read-only", url=f"postgresql://scramuser:pw@127.0.0.1:{self.pg.port},127.0.0.1:{self.pg.port}/test")
        finally:
            self.pg.execute("ALTER ROLE scramuser RESET ALL")

    def test_connect__a_server_that_becomes_read_only_is_left(self):
        sql = ("WITH s AS (SELECT set_config('default_transaction_read_only', CASE WHEN ${id}::int = 1 THEN 'on' ELSE 'off' END, false)) "
               "INSERT INTO t SELECT ${id}::int, 'x' FROM s")
        with self.broker({"sql": sql}, pool=1, prepared="off") as b:
            self.publish(b, [{"id": 1}])
            b.wait_settled("r")
            self.publish(b, [{"id": 2}])
            b.wait_log("down.*read-only transaction")
            self.assertEqual(b.wait_settled("r")["delivered"], 2)

    def test_connect__too_many_sessions(self):
        holders = []
        try:
            with self.broker(pool=8, url=self.pg.url("scramuser", "pw"), action={"table": "t", "columns": COLUMNS, "order": "none", "batch": {"rows": 10}}) as b:
                self.wait_state(b, "up")
                self.pg.execute("ALTER ROLE scramuser CONNECTION LIMIT 2")
                self.publish(b, [{"id": i, "v": "x"} for i in range(500)])
                self.assertEqual(b.wait_settled("r")["delivered"], 500)
        finally:
            self.pg.execute("ALTER ROLE scramuser CONNECTION LIMIT -1")
            for s in holders:
                s.close()

    def test_connect__server_comes_up_late_and_goes_away(self):
        with self.broker() as b:
            self.wait_state(b, "up")
            for round_ in range(3):
                self.pg.kill9()
                if round_ == 0:
                    self.wait_state(b, "down")
                self.publish(b, [{"id": round_ * 1000 + i, "v": "x"} for i in range(500)])
                self.pg.restart()
                b.wait_settled("r")
            self.wait_state(b, "up")
        self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t"), "1500")

    def test_connect__killed_while_rows_flow(self):
        with self.broker({"table": "t", "columns": COLUMNS, "batch": {"rows": 20}}) as b:
            publisher = threading.Thread(target=self.publish, args=(b, [{"id": i, "v": "x"} for i in range(6000)]))
            publisher.start()
            for _ in range(3):
                time.sleep(0.3)
                self.pg.kill9()
                self.pg.restart()
                time.sleep(0.2)
                self.pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice'")
            publisher.join()
            b.wait_settled("r")
        self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t"), "6000")

    def test_timeout__a_locked_table(self):
        for connector, action, said in (({"statement_timeout": "300ms"}, {}, "retried"),
                                        ({"statement_timeout": "300ms", "url": shared(PgBouncer).url()}, {}, "retried"),
                                        ({"statement_timeout": "unlimited"}, {"timeout": "500ms"}, "down")):
            with self.subTest(connector=connector):
                self.pg.execute("TRUNCATE t")
                with self.broker({"table": "t", "columns": COLUMNS, **action}, **connector) as b:
                    self.wait_state(b, "up")
                    with self.held("LOCK TABLE t"):
                        self.publish(b, [{"id": i, "v": "x"} for i in range(10)])
                        if said == "down":
                            b.wait_log("down.*no answer within the action's .timeout.")
                        else:
                            wait_until(lambda: b.action("r")["retried"] > 1, message=lambda: str(b.action("r")))
                    n = b.wait_settled("r")
                    self.assertEqual(n["delivered"], 10)
                    self.assertGreater(n["retried"] if said == "retried" else n["batches"], 1)
                self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t"), "10")


    def test_timeout__batches_that_take_longer_than_they_may(self):
        """What a whole batch cannot do in the time, its parts can; one row that takes longer by itself stops no other."""
        self.table("id int PRIMARY KEY, v text")
        self.pg.execute("CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
                        "'BEGIN PERFORM pg_sleep(CASE WHEN NEW.id = 7 THEN 60 ELSE 0.01 END); RETURN NEW; END';"
                        "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()")
        rows = [{"id": i, "v": "x"} for i in range(64)]
        ways = [{"table": "t", "columns": COLUMNS}, {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"}]
        for way in ways:
            with self.subTest(way=way):
                self.pg.execute("TRUNCATE t; ALTER TABLE t ENABLE TRIGGER s")
                with self.broker({**way, "order": "none", "batch": {"rows": 64, "linger": "100ms"}}, statement_timeout="200ms", pool=2) as b:
                    self.publish(b, rows)
                    wait_until(lambda: b.action("r")["delivered"] == 63, 90, lambda: b.action("r"))
                    self.assertEqual(self.pg.value("SELECT count(*) FROM t"), "63")
                    self.pg.execute("ALTER TABLE t DISABLE TRIGGER s")
                    self.assertEqual(b.wait_settled("r")["delivered"], 64)
        self.pg.execute("ALTER TABLE t ENABLE TRIGGER s")
        insert = {"sql": "INSERT INTO t VALUES (${id}, ${v}) ON CONFLICT DO NOTHING"}
        for way in (ways[1], insert):
            with self.subTest(way=way):
                self.pg.execute("TRUNCATE t")
                with self.broker({**way, "timeout": "300ms", "batch": {"rows": 64, "linger": "100ms"}}, statement_timeout="unlimited") as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(100, 164)])
                    self.assertEqual(b.wait_settled("r")["delivered"], 64)


class Once(PostgresTest):
    """The README's recipe: the message's identifier as the key."""
    SQL = 'SELECT msgid() AS msg_id, payload.id AS id, payload.v AS v FROM "in/#"'

    def test_once__crashes_on_both_sides_leave_each_message_once(self):
        for action in ({"table": "t", "columns": {"msg_id": "${msg_id}", **COLUMNS}, "on_conflict": "ignore"},
                       {"sql": "INSERT INTO t VALUES (${msg_id}, ${id}, ${v}) ON CONFLICT (msg_id) DO NOTHING"}):
            self.table("msg_id uuid PRIMARY KEY, id int, v text")
            with self.broker({**action, "batch": {"rows": 50}}, self.SQL) as b:
                self.publish(b, [{"id": i, "v": "x"} for i in range(2000)])
                for _ in range(3):
                    b.kill()
                    self.pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice'")
                    b.start()
                    self.publish(b, [{"id": 2000, "v": "x"}])
                    time.sleep(0.05)
                b.wait_settled("r")
            self.assertEqual(self.pg.query("SELECT count(*), count(DISTINCT id) FROM t"), [["2003", "2001"]])

    def test_once__older_value_that_comes_late_does_not_win(self):
        """The README's recipe for the newest value of each device."""
        page = (ROOT / "connectors/postgres/README.md").read_text()
        recipe = " ".join(page[page.index("## The newest value"):].split("sql: >-\n")[1].split("```")[0].split())
        self.assertTrue(recipe.startswith("INSERT INTO latest"), recipe)
        self.pg.execute("DROP TABLE IF EXISTS latest; CREATE TABLE latest (device text PRIMARY KEY, t float8, at timestamptz NOT NULL); "
                        "GRANT ALL ON latest TO PUBLIC")
        sql = 'SELECT payload.device AS device, payload.t AS t, payload.ts AS ts FROM "in/#"'
        with self.broker({"sql": recipe}, sql) as b:
            self.publish(b, [{"device": "a", "t": t, "ts": 1767225600000 + t} for t in (1, 3, 2)])
            self.assertEqual(b.wait_settled("r")["delivered"], 3)
        self.assertEqual(self.pg.query("SELECT device, t FROM latest"), [["a", "3"]])


class Faults(PostgresTest):
    """A peer that breaks off, lies, or is silent: no hang, no crash, nothing lost."""
    ACTIONS = ({"table": "t", "columns": COLUMNS}, {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"})

    def setUp(self):
        super().setUp()
        self.table("id int, v text")

    def every_offset(self, kind, action, step):
        with Proxy(self.pg.port) as proxy:
            url = f"postgresql://test@127.0.0.1:{proxy.port}/test"
            with self.broker({**action, "timeout": "1s"}, url=url, pool=1, connect_timeout="500ms", reconnect={"first": "1ms", "max": "5ms"}) as b:
                self.wait_state(b, "up")
                self.publish(b, [{"id": 0, "v": "x"}])
                b.wait_settled("r")
                whole, sent = proxy.answered, 1
                self.assertGreater(whole, 500)
                for after in range(0, whole + 1, step):
                    proxy.fault(kind, after)
                    proxy.end_connections()
                    self.publish(b, [{"id": sent, "v": "x"}])
                    sent += 1
                    proxy.connections = 0
                    wait_until(lambda: proxy.connections > 0 or b.action("r")["queued"] == 0, 20)
                    proxy.fault("forward")
                    proxy.end_connections()
                self.assertEqual(b.wait_settled("r")["delivered"], sent)
                rss = b.rss_kb()
        self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t"), str(sent))
        return rss

    def test_fault__closed_at_every_byte_of_the_answers(self):
        for action in self.ACTIONS:
            with self.subTest(action=action):
                self.every_offset("close", action, 7)
                self.pg.execute("TRUNCATE t")
                self.every_offset("reset", action, 31)
                self.pg.execute("TRUNCATE t")

    def test_fault__garbage_and_silence_in_the_answers(self):
        for action in self.ACTIONS:
            for kind in ("garbage", "silence"):
                with self.subTest(action=action, kind=kind):
                    self.pg.execute("TRUNCATE t")
                    self.every_offset(kind, action, 97)

    def test_fault__a_peer_that_never_answers(self):
        with Fake(lambda conn: conn.hang()) as fake:
            with self.broker(url=f"postgresql://test@127.0.0.1:{fake.port}/test", connect_timeout="300ms") as b:
                self.assertIn("did not answer as PostgreSQL does within connect_timeout", self.wait_state(b, "down"))

    def test_fault__a_server_that_hangs_at_work_and_at_rest(self):
        with Proxy(self.pg.port) as proxy:
            url = f"postgresql://test@127.0.0.1:{proxy.port}/test"
            with self.broker({"table": "t", "columns": COLUMNS, "timeout": "400ms"}, url=url, connect_timeout="300ms", probe="200ms") as b:
                self.wait_state(b, "up")
                proxy.fault("silence")
                self.assertIn("probe", self.wait_state(b, "down"))
                proxy.fault("forward")
                proxy.end_connections()
                self.wait_state(b, "up")
                proxy.fault("silence")
                self.publish(b, [{"id": i, "v": "x"} for i in range(100)])
                self.wait_state(b, "down")
                proxy.fault("forward")
                proxy.end_connections()
                self.assertEqual(b.wait_settled("r")["delivered"], 100)
        self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t"), "100")

    def test_fault__packets_disappear(self):
        with self.broker({"table": "t", "columns": COLUMNS, "timeout": "1s"}, connect_timeout="500ms") as b:
            self.wait_state(b, "up")
            for direction in ("requests", "answers", "both"):
                with Net.dropped(self.pg.port, direction=direction):
                    self.publish(b, [{"id": i, "v": direction} for i in range(50)])
                    self.wait_state(b, "down")
                b.wait_settled("r")
        self.assertEqual(self.pg.value("SELECT count(DISTINCT (id, v)) FROM t"), "150")

    def test_fault__large_rows_and_a_server_that_stops_reading(self):
        big = "x" * 700_000
        for action in ({"table": "t", "columns": COLUMNS}, {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}):
            self.pg.execute("TRUNCATE t")
            with self.broker({**action, "timeout": "3s", "batch": {"bytes": "16MB"}}) as b:
                self.wait_state(b, "up")
                self.publish(b, [{"id": i, "v": big} for i in range(20)])
                b.wait_settled("r")
                before = b.rss_kb()
                pids = [int(r[0]) for r in self.pg.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'sluice'")]
                for pid in pids:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    self.publish(b, [{"id": 20 + i, "v": big} for i in range(40)])
                    b.wait_log("down.*no answer within the action's .timeout.")
                    self.assertLess(b.rss_kb() - before, 250_000)
                finally:
                    for pid in pids:
                        os.kill(pid, signal.SIGCONT)
                self.assertEqual(b.wait_settled("r")["delivered"], 60)
            self.assertEqual(self.pg.value("SELECT count(DISTINCT id) FROM t WHERE length(v) = 700000"), "60")

    def test_fault__what_the_second_signal_to_stop_ends_is_no_attempt(self):
        with Proxy(self.pg.port) as proxy:
            b = self.broker({"table": "t", "columns": COLUMNS, "timeout": "300s", "retry": {"attempts": 1}}, url=f"postgresql://test@127.0.0.1:{proxy.port}/test",
                            statement_timeout="300s", tcp_user_timeout="300s", probe="300s")
            self.wait_state(b, "up")
            proxy.fault("silence")
            self.publish(b, [{"id": 1, "v": "x"}])
            wait_until(lambda: b.action("r")["in_flight"] == 1, 60, lambda: str(b.action("r")))
            b.stop_at_once()
        self.assertNotIn("no answer within", b.log())
        self.assertEqual(self.dead(b), [])
        self.assertRegex(b.log(), "rows wait in the log for the next start.* rows=1 ")

    def test_fault__stopping_with_a_silent_server_takes_no_time(self):
        with Proxy(self.pg.port) as proxy:
            b = self.broker(url=f"postgresql://test@127.0.0.1:{proxy.port}/test")
            self.wait_state(b, "up")
            proxy.fault("silence")
            self.publish(b, [{"id": 1, "v": "x"}])
            began = time.monotonic()
            b.stop()
            self.assertLess(time.monotonic() - began, 60)


class Matrix(PostgresTest):
    """connectors/postgres/TYPES.md: every kind of value into every type of column, by COPY and as a bound parameter.
    DESCRIBE_WRITE=1 writes the page anew."""
    PAGE = ROOT / "connectors/postgres/TYPES.md"
    TYPES = ["smallint", "integer", "bigint", "real", "double precision", "numeric", "numeric(6,2)", "boolean", "text", "varchar(8)",
             "char(8)", "json", "jsonb", "bytea", "uuid", "timestamptz", "timestamp", "date", "time", "interval", "inet", "cidr", "mood", "small",
             "point", "integer[]", "double precision[]", "text[]", "jsonb[]", "timestamptz[]", "interval[]", "mood[]"]
    NOTES = {"mood": "enum (`CREATE TYPE mood AS ENUM ('warm', 'cold')`)", "mood[]": "enum[]", "small": "domain (over `integer`, below 100)",
             "point": "any other type (here `point`)"}
    # What stands in the message, and how the column of the page is called.
    VALUES = [("absent", None), ("null", "null"), ("true", "true"), ("42", "42"), ("9007199254740993", "9007199254740993"), ("21.5", "21.5"),
              ("0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"), ('"12.5"', '"12.5"'), ('"warm"', '"warm"'),
              ('"2026-01-31T12:00:00Z"', '"2026-01-31T12:00:00Z"'), ("1769860800000", "1769860800000"),
              ('"0190163d-8694-739b-aea5-966c26f8ad91"', '"0190163d-8694-739b-aea5-966c26f8ad91"'), ('"10.0.0.7"', '"10.0.0.7"'),
              ('{"a":1}', '{"a":1}'), ("[1,2]", "[1,2]"), ("bytes ff 00", b"\xff\x00")]

    def fill(self, way):
        """{(type, value): stored text, or None for a dead letter}, and the reasons."""
        sql = ("CREATE TYPE mood AS ENUM ('warm', 'cold'); CREATE DOMAIN small AS int CHECK (VALUE < 100);"
               + "".join(f"CREATE TABLE m{i} (k int, v {kind});" for i, kind in enumerate(self.TYPES)))
        self.pg.execute("DROP SCHEMA IF EXISTS matrix CASCADE; CREATE SCHEMA matrix; SET search_path = matrix; " + sql)
        actions = [{"connector": "db", "retry": {"first": "10ms", "max": "50ms"},
                    **({"sql": f"INSERT INTO m{i} (k, v) VALUES (${{k}}, ${{v}})"} if way == "sql" else
                       {"table": f"m{i}", "columns": {"k": "${k}", "v": "${v}"}, **({"on_conflict": "ignore"} if way == "bulk" else {})})}
                   for i in range(len(self.TYPES))]
        rules = {"r": {"sql": 'SELECT payload.k AS k, payload.v AS v FROM "json/#"', "actions": actions},
                 "b": {"sql": f'SELECT {len(self.VALUES) - 1} AS k, hexstr2bin(payload.v) AS v FROM "bytes/#"', "actions": actions}}
        with Broker({"connectors": {"db": {"type": "postgres", "url": self.pg.url(), "search_path": "matrix"}}, "rules": rules}) as b:
            self.publish(b, [b'{"k":%d%s}' % (k, b"" if value is None else b',"v":' + value.encode())
                             for k, (_, value) in enumerate(self.VALUES[:-1])], topic="json/x")
            self.publish(b, [{"v": self.VALUES[-1][1].hex()}], topic="bytes/x")
            cells, reasons = {}, {}
            for i, kind in enumerate(self.TYPES):
                for rule in rules:
                    b.wait_settled(rule, i)
                    path = b.folder / f"data/dead/{rule}.{i}.jsonl"
                    for line in path.read_text().splitlines() if path.exists() else []:
                        letter = json.loads(line)
                        k = letter["row"]["k"] if "row" in letter else letter["values"]["k"]
                        cells[kind, k], reasons[kind, k] = None, letter["reason"]
                shown = "encode(v, 'hex')" if kind == "bytea" else "v::text"
                for k, v in self.pg.query(f"SELECT k, {shown} FROM matrix.m{i}"):
                    cells[kind, int(k)] = "NULL" if v is None else v
        return cells, reasons

    def page(self, cells):
        def shown(cell):
            return "refused" if cell is None else "NULL" if cell == "NULL" else "`" + cell.replace("|", "\\|") + "`" if cell.strip() else "empty"
        head = ["# What goes into which column", "",
                "Each cell was written to a real server, by `COPY`, in arrays and as a bound parameter with the same result; a test prints this page.",
                "Numbers are as they stand in the payload. Refused: the row is a dead letter that names the column, its type and the value, or says what the server says of it.", ""]
        out = []
        for part in (range(0, 8), range(8, len(self.VALUES))):
            names = [f"`{self.VALUES[k][0]}`" if self.VALUES[k][0] not in ("absent", "bytes ff 00") else self.VALUES[k][0] for k in part]
            out += ["| column | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
            for kind in self.TYPES:
                out.append(f"| {self.NOTES.get(kind) or '`' + kind + '`'} | " + " | ".join(shown(cells[kind, k]) for k in part) + " |")
            out.append("")
        tail = ["- A whole number goes into a float only if the float can hold it; decimals round to the nearest float, as they do everywhere.",
                "- `numeric` takes every digit; with a scale the server rounds to it. `NaN` and `Infinity` as text are taken where the type has them.",
                "- Milliseconds since 1970, or RFC 3339 text, make a timestamp; without a zone it is UTC. Fractions are rounded to microseconds.",
                "- Text that is a JSON object or array goes into `json` and `jsonb` as that document (a whole payload does), other text as a JSON string;",
                "  `null` of a document is JSON's null there, and NULL everywhere else. What is absent is NULL.",
                "- Text must be UTF-8 without NUL characters; `bytea` takes any bytes. What is longer than `varchar(n)` is rejected by the server, in its words.",
                "- Lists go into arrays of one dimension, each element by the same rules.",
                "- Other types get the value as text for their own input function, by `INSERT` instead of `COPY`; their arrays get lists in the same way.", ""]
        return "\n".join(head + out + tail)

    def test_matrix__every_kind_into_every_type(self):
        copied, why = self.fill("table")
        for way in ("sql", "bulk"):
            others, why_others = self.fill(way)
            self.assertEqual({k: v for k, v in copied.items() if others.get(k, "-") != v}, {},
                             {k: (others.get(k), why.get(k), why_others.get(k)) for k, v in copied.items() if others.get(k, "-") != v})
        self.assertEqual(len(copied), len(self.TYPES) * len(self.VALUES))
        page = self.page(copied)
        if os.environ.get("DESCRIBE_WRITE"):
            self.PAGE.write_text(page, encoding="utf-8")
        self.assertEqual(self.PAGE.read_text(encoding="utf-8"), page)


class Examples(PostgresTest):
    def test_example__prints_what_is_expected(self):
        env = {**os.environ, "SLUICE_BIN": os.path.abspath(BIN)}
        for url in (self.pg.url(), ""):
            done = subprocess.run([str(ROOT / "examples/postgres/run.sh")], capture_output=True, text=True, timeout=300, check=False,
                                  env={**env, "POSTGRES_URL": url})
            self.assertEqual((done.returncode, done.stdout[-12:]), (0, "as expected\n"), done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
