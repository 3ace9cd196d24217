"""Errors that say "the table" and mean a row, and the other way round: the row is rejected, the table is waited for."""
import threading
import time

from harness.broker import wait_until
from harness.client import Client
from harness.proxy import Proxy
from harness.servers import PgBouncer, shared
from postgres_test import COLUMNS, PostgresTest

WAYS = {"copy": {"table": "t", "columns": COLUMNS},
        "insert": {"table": "t", "columns": COLUMNS, "on_conflict": "ignore"},
        "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}}
# Of those who say that no row can be stored, in the order of pg_error.c.
TABLE_CODES = ["0A000", "2200H", "22P03", "26000", "2D000", "3F000", "42501", "42703", "42804", "42P01", "42P05", "42P10", "55000"]
AGAIN_CODES = ["40001", "40003", "53100", "55P03", "57014", "58030", "XX000", "HV000"]


class Blame(PostgresTest):
    def trigger(self, when="BEFORE", body="IF NEW.v <> 'x' THEN RAISE 'said of %', NEW.v USING ERRCODE = NEW.v; END IF; RETURN NEW;", what=""):
        self.pg.execute(f"CREATE OR REPLACE FUNCTION blame() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN {body} END $f$;"
                        f"CREATE {'CONSTRAINT' if what else ''} TRIGGER blame {when} INSERT ON t {what} FOR EACH ROW EXECUTE FUNCTION blame()")

    def reasons(self):
        return sorted(letter["reason"] for letter in self.letters)


class Rows(Blame):
    def test_poison__a_trigger_runs_what_a_value_says(self):
        connectors = {"pooler": {"url": shared(PgBouncer).url()}}
        for way, action in {**WAYS, "pooler": WAYS["copy"], "none": {**WAYS["copy"], "order": "none"}}.items():
            with self.subTest(way=way):
                self.table("id int, v text")
                self.trigger(body="EXECUTE format('SELECT 1 FROM %I LIMIT 1', NEW.v); RETURN NEW;")
                rows = [{"id": i, "v": "nowhere" if i == 777 else "pg_class"} for i in range(2000)]
                self.deliver(rows, action, rejected=1, **connectors.get(way, {}))
                self.assertIn('relation "nowhere" does not exist (SQLSTATE 42P01)', self.letters[0]["reason"])
                self.assertNotIn("create the table", self.letters[0]["reason"])
                stored = [int(id_) for id_, in self.rows("id", "ctid")]
                if way == "none":
                    stored.sort()
                self.assertEqual(stored, [i for i in range(2000) if i != 777])

    def test_poison__names_and_settings_that_a_statement_looks_up(self):
        self.pg.execute("CREATE SEQUENCE IF NOT EXISTS good_seq; GRANT ALL ON good_seq TO PUBLIC")
        for call, good, bad, code in (("nextval((${v}::text)::regclass)", "good_seq", "bad_seq", "42P01"),
                                      ("length(current_setting(${v}::text))", "work_mem", "no_such", "42704")):
            with self.subTest(call=call):
                self.table("id int, v bigint")
                rows = [{"id": i, "v": bad if i in (0, 500, 999) else good} for i in range(1000)]
                self.deliver(rows, {"sql": f"INSERT INTO t SELECT ${{id}}::int, {call}"}, rejected=3)
                self.assertEqual([code in r for r in self.reasons()], [True] * 3)

    def test_poison__whatever_code_a_trigger_raises(self):
        deferred = "DEFERRABLE INITIALLY DEFERRED"
        for way, when, what in (("copy", "BEFORE", ""), ("copy", "AFTER", ""), ("insert", "BEFORE", ""), ("sql", "BEFORE", ""),
                                ("sql", "AFTER", ""), ("copy", "AFTER", deferred), ("sql", "AFTER", deferred)):
            with self.subTest(way=way, when=when, what=what):
                self.table("id int PRIMARY KEY, v text")
                self.trigger(when=when, what=what)
                values = ["x"] * 300
                for i, code in enumerate(TABLE_CODES):
                    values[13 + i * 21] = code
                self.deliver([{"id": i, "v": v} for i, v in enumerate(values)], WAYS[way], rejected=len(TABLE_CODES))
                self.assertEqual(self.reasons(), [f"said of {code} (SQLSTATE {code})" for code in TABLE_CODES])
                self.assertEqual(self.rows("id"), [[str(i)] for i, v in enumerate(values) if v == "x"])

    def test_poison__beside_a_row_that_refers_to_one_behind_it(self):
        """Constraints that wait for the commit are not asked for sooner than that, but to find the row that is to blame."""
        self.table("id int PRIMARY KEY, v text, parent int REFERENCES t DEFERRABLE INITIALLY DEFERRED")
        self.trigger(when="AFTER", what="DEFERRABLE INITIALLY DEFERRED")
        rows = [{"id": 1, "v": "x", "t": 2}, {"id": 2, "v": "x"}, {"id": 3, "v": "42P01"}, {"id": 4, "v": "x"}, {"id": 5, "v": "x", "t": 99}]
        with self.broker({"table": "t", "columns": {**COLUMNS, "parent": "${t}"}, "batch": {"rows": 5, "linger": "3s"}}) as b:
            # A row that comes after a pause may go at once; those that follow a batch make one, which is full before they have waited.
            self.publish(b, [{"id": 0, "v": "x"}])
            b.wait_settled("r")
            self.publish(b, rows)
            n = b.wait_settled("r")
            letters = self.dead(b)
        self.assertEqual((n["delivered"], n["rejected"]), (4, 2), letters)
        self.assertEqual(sorted(letter["row"]["id"] for letter in letters), [3, 5])

    def test_poison__a_code_that_ends_connections(self):
        for code in ("08006", "25006", "57P01"):
            with self.subTest(code=code):
                self.table("id int PRIMARY KEY, v text")
                self.trigger()
                self.deliver([{"id": i, "v": code if i == 30 else "x"} for i in range(60)], {**WAYS["copy"], "retry": {"first": "5ms", "max": "50ms"}},
                             rejected=1, pool=1, reconnect={"first": "1ms", "max": "20ms"})
                self.assertIn(f"said of {code}", self.letters[0]["reason"])

    def test_poison__each_that_ends_connections_has_its_own_reason(self):
        codes = ["08006", "25006", "25P02", "26000", "28000", "3D000", "57P01", "57P03"]
        self.table("id int PRIMARY KEY, v text")
        self.trigger()
        values = ["x"] * 400
        for i, code in enumerate(codes):
            values[20 + i * 40] = code
        self.deliver([{"id": i, "v": v} for i, v in enumerate(values)], {**WAYS["copy"], "retry": {"first": "5ms", "max": "50ms"}},
                     rejected=len(codes), reconnect={"first": "1ms", "max": "20ms"})
        self.assertEqual([(code, code in reason) for code, reason in sorted((letter["row"]["v"], letter["reason"]) for letter in self.letters)],
                         [(code, True) for code in codes])

    def test_poison__the_server_knows_no_constraints_that_wait(self):
        """CockroachDB does not."""
        self.table("id int PRIMARY KEY, v text")
        self.trigger()
        with Proxy(self.pg.port) as proxy:
            proxy.rewrite = lambda asked: asked.replace(b"SET CONSTRAINTS", b"SET CONSTRAINED")
            self.deliver([{"id": i, "v": "42P01" if i == 30 else "x"} for i in range(60)], rejected=1,
                         url=f"postgresql://test@127.0.0.1:{proxy.port}/test?sslmode=disable")
        self.assertIn("said of 42P01", self.letters[0]["reason"])

    def test_poison__every_third_row(self):
        self.table("id int PRIMARY KEY, v text")
        self.trigger()
        self.deliver([{"id": i, "v": "x" if i % 3 else "42P01"} for i in range(1500)], rejected=500)
        self.assertEqual(self.rows("id"), [[str(i)] for i in range(1500) if i % 3])

    def test_poison__alone_it_waits_for_another_row(self):
        """Nobody can tell, as long as nothing was ever stored; a batch of one row is no reason to wait for ever."""
        self.table("id int PRIMARY KEY, v text")
        self.trigger()
        for i, rows in enumerate((1, 100)):
            with self.subTest(rows=rows), self.broker({**WAYS["copy"], "batch": {"rows": rows}}) as b:
                self.publish(b, [{"id": i, "v": "42P01"}])
                wait_until(lambda: "said of 42P01" in (self.state(b).get("reason") or ""), 30, lambda: f"{self.state(b)}")
                self.assertEqual(b.action("r")["rejected"], 0)
                self.publish(b, [{"id": 10 + i, "v": "x"}])
                n = b.wait_settled("r")
                self.assertEqual((n["delivered"], n["rejected"]), (1, 1), self.dead(b))
                self.wait_state(b, "up")

    def test_poison__what_is_cut_while_the_server_is_asked_is_no_duplicate(self):
        self.table("id int PRIMARY KEY, v text")
        self.trigger(body="IF NEW.v = '42P01' THEN RAISE 'no' USING ERRCODE = NEW.v; END IF;"
                          "IF current_query() LIKE 'INSERT%' THEN PERFORM pg_sleep(600); END IF; RETURN NEW;")
        with self.broker({**WAYS["copy"], "timeout": "4s", "batch": {"linger": "300ms"}}, statement_timeout="unlimited") as b:
            self.publish(b, [{"id": i, "v": "x" if i else "42P01"} for i in range(5)])
            wait_until(lambda: "no answer within" in b.log(), 30, b.log)
            self.pg.execute("CREATE OR REPLACE FUNCTION blame() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'")
            self.pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            n = b.wait_settled("r")
        self.assertEqual((n["delivered"], n["maybe_duplicate"]), (5, 0), n)

    def test_poison__nobody_is_to_blame_before_another_one_has_got_through_behind_it(self):
        """What proves it comes to no end: the row that was stored before is asked about twice, and the second time the server is silent."""
        self.table("id int, v text")
        self.pg.execute("DROP SEQUENCE IF EXISTS calls; CREATE SEQUENCE calls; GRANT ALL ON calls TO PUBLIC")
        self.trigger(body="IF NEW.v = '42P01' THEN RAISE 'no' USING ERRCODE = NEW.v; END IF;"
                          "IF current_query() LIKE 'INSERT%' AND nextval('calls') > 1 THEN PERFORM pg_sleep(600); END IF; RETURN NEW;")
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        self.addCleanup(self.pg.execute, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        with self.broker({**WAYS["copy"], "timeout": "1s"}, statement_timeout="unlimited") as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            b.wait_settled("r")
            self.publish(b, [{"id": 2, "v": "42P01"}])
            wait_until(lambda: int(self.pg.value(asleep)) > 1 or b.action("r")["rejected"], 60, lambda: f"{self.state(b)}")
            self.assertEqual(b.action("r")["rejected"], 0)
            b.kill()

    def test_poison__many_in_a_row_before_a_good_one(self):
        self.table("id int PRIMARY KEY, v text")
        self.trigger()
        self.deliver([{"id": i, "v": "42P01" if i < 90 else "x"} for i in range(100)], {**WAYS["copy"], "batch": {"rows": 10}}, rejected=90)

    def test_poison__alone_it_goes_where_rows_were_stored_before(self):
        self.table("id int, v text")
        self.trigger()
        with self.broker({**WAYS["copy"], "batch": {"rows": 1}}) as b:
            self.publish(b, [{"id": 1, "v": "x"}])
            b.wait_settled("r")
            self.publish(b, [{"id": 2, "v": "42P01"}])
            self.assertEqual(b.wait_settled("r")["rejected"], 1)

    def test_again__the_row_stops_its_key_only_and_is_rejected_when_its_attempts_are_used_up(self):
        for way, codes in {"copy": AGAIN_CODES, "insert": ["53100"], "sql": ["40001", "53100"]}.items():
            for code in codes:
                with self.subTest(way=way, code=code):
                    self.table("id int PRIMARY KEY, v text")
                    self.trigger()
                    with self.broker({**WAYS[way], "batch": {"linger": "200ms"}, "retry": {"first": "5ms", "max": "50ms", "attempts": 3}}, pool=1) as b:
                        self.publish(b, [{"id": i, "v": code if i == 10 else "x"} for i in range(20)])
                        self.publish(b, [{"id": 100 + i, "v": "x"} for i in range(20)], client="other")
                        n = b.wait_settled("r")
                        letters = self.dead(b)
                    self.assertEqual((n["delivered"], n["rejected"]), (39, 1), letters)
                    self.assertIn(f"failed 3 times: said of {code}", letters[0]["reason"])
                    self.assertEqual(self.rows("id", "id < 100, ctid")[20:], [[str(i)] for i in range(20) if i != 10])


class TheTable(Blame):
    def errors(self):
        return self.pg.log_path.read_text(errors="replace").count("ERROR:  permission denied")

    def test_table__rights_and_columns_come_and_go_under_load(self):
        """Nothing is rejected, and the order is kept."""
        self.table("id int PRIMARY KEY, v text, at bigserial")
        self.pg.execute("GRANT ALL ON SEQUENCE t_at_seq TO PUBLIC")
        columns = {"id": "${id}", "v": "${v}"}
        for way, action in WAYS.items():
            with self.subTest(way=way):
                self.pg.execute("TRUNCATE t")
                stop = threading.Event()
                sent = []
                with self.broker({**action, "retry": {"first": "10ms", "max": "100ms"}}, url=self.pg.url("scramuser", "pw")) as b:
                    def publish():
                        with Client(b.port) as c:
                            c.connect("dev")
                            while not stop.is_set():
                                c.publish_all("in/a", [{"id": len(sent) + i, "v": "x"} for i in range(50)])
                                sent.extend(range(50))
                                time.sleep(0.02)
                    publisher = threading.Thread(target=publish)
                    publisher.start()
                    try:
                        for _ in range(3):
                            self.pg.execute("REVOKE INSERT ON t FROM PUBLIC")
                            time.sleep(0.2)
                            self.pg.execute("GRANT INSERT ON t TO PUBLIC")
                            time.sleep(0.2)
                            self.pg.execute("ALTER TABLE t RENAME v TO w")
                            time.sleep(0.2)
                            self.pg.execute("ALTER TABLE t RENAME w TO v")
                            time.sleep(0.2)
                    finally:
                        stop.set()
                        publisher.join()
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (len(sent), 0), self.dead(b)[:2])
                self.assertEqual([int(i) for i, in self.rows("id", "ctid")], list(range(len(sent))))

    def test_table__what_a_trigger_needs_is_gone_and_rows_that_change_nothing_are_no_proof(self):
        """A row that is there already does not come to the trigger that fails for every new one."""
        ways = {**WAYS, "update": {**WAYS["copy"], "on_conflict": {"update": ["v"]}},
                "by hand": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v}) ON CONFLICT DO NOTHING"}}
        for way, action in ways.items():
            with self.subTest(way=way):
                self.table("id int PRIMARY KEY, v text")
                self.pg.execute("CREATE TABLE IF NOT EXISTS audit (id int)")
                self.trigger("AFTER", "INSERT INTO audit VALUES (NEW.id); RETURN NULL;")
                old = range(10, 20) if way in ("insert", "by hand") else ()
                with self.broker({**action, "retry": {"first": "10ms", "max": "100ms"}}) as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(20)])
                    b.wait_settled("r")
                    self.pg.execute("DROP TABLE audit")
                    self.publish(b, [{"id": i, "v": "x"} for i in (*old, *range(20, 40))])
                    wait_until(lambda: '"audit" does not exist' in (self.state(b).get("reason") or "") or b.action("r")["rejected"], 30)
                    self.pg.execute("CREATE TABLE audit (id int)")
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (40 + len(old), 0), self.dead(b)[:1])

    def test_table__what_a_trigger_needs_is_gone_and_only_some_rows_come_to_it(self):
        """Those that are there already are changed, and prove nothing for the new ones."""
        ways = {"table": {**WAYS["copy"], "on_conflict": {"update": ["v"]}},
                "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v}) ON CONFLICT (id) DO UPDATE SET v = excluded.v"},
                "function": {"sql": "SELECT put_once(${id}, ${v})"}}
        self.pg.execute("CREATE OR REPLACE FUNCTION put_once(int, text) RETURNS void LANGUAGE plpgsql AS $f$ BEGIN "
                        "INSERT INTO t(id, v) VALUES ($1, $2) ON CONFLICT DO NOTHING; END $f$")
        for way, action in ways.items():
            with self.subTest(way=way):
                self.table("id int PRIMARY KEY, v text")
                self.pg.execute("DROP TABLE IF EXISTS audit; CREATE TABLE audit (id int); GRANT ALL ON audit TO PUBLIC")
                self.trigger("AFTER", "INSERT INTO audit VALUES (NEW.id); RETURN NULL;")
                with self.broker({**action, "retry": {"first": "10ms", "max": "100ms"}}) as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(20)])
                    b.wait_settled("r")
                    self.pg.execute("DROP TABLE audit")
                    self.publish(b, [{"id": i // 2 if i % 2 else 100 + i, "v": "x"} for i in range(40)])
                    wait_until(lambda: '"audit" does not exist' in (self.state(b).get("reason") or "") or b.action("r")["rejected"], 30)
                    self.pg.execute("CREATE TABLE audit (id int); GRANT ALL ON audit TO PUBLIC")
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (60, 0), self.dead(b)[:1])

    def test_doubt__is_over_after_some_time(self):
        """Rows that are there already change nothing, and prove nothing; nor do others, where every fourth is bad. But not for ever."""
        ways = {"repeats": ({**WAYS["insert"], "conflict_on": ["id"]}, lambda i: i == 100, 1),
                "by hand": ({"sql": "UPDATE t SET v = ${v} WHERE id = ${id} AND NOT blames(${v})"}, lambda i: i == 100, 1),
                "many": ({**WAYS["copy"], "on_conflict": {"update": ["v"]}}, lambda i: i % 4 == 0, 75)}
        self.pg.execute("CREATE OR REPLACE FUNCTION blames(v text) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN "
                        "IF v <> 'x' THEN RAISE 'said of %', v USING ERRCODE = v; END IF; RETURN true; END $f$")
        for way, (action, bad, rejected) in ways.items():
            for timeout in ("2s", "unlimited"):
                with self.subTest(way=way, timeout=timeout):
                    self.table("id int PRIMARY KEY, v text")
                    self.pg.execute("INSERT INTO t SELECT i, 'x' FROM generate_series(0, 49) i")
                    self.trigger(body="PERFORM blames(NEW.v); RETURN NEW;", when="BEFORE")
                    rows = [{"id": i % 50, "v": "42P01" if bad(i) else "x"} for i in range(300)]
                    more = {"doubt_timeout": timeout, "batch": {"rows": 50}, "retry": {"first": "20ms", "max": "200ms"}}
                    with self.broker({**action, **more}) as b:
                        self.publish(b, rows)
                        self.assertIn("42P01", self.wait_state(b, "degraded"))
                        if timeout == "unlimited":
                            before = b.action("r")["batches"]
                            wait_until(lambda: b.action("r")["batches"] > before + 20, 30)
                            self.assertEqual(b.action("r")["rejected"], 0)
                            b.kill()
                        else:
                            n = b.wait_settled("r")
                            self.assertEqual((n["delivered"], n["rejected"]), (300 - rejected, rejected), self.dead(b)[:1])

    def test_table__a_right_that_a_trigger_needs_flaps(self):
        """Forty times a second. Whatever the server says of a row then, rows keep their order, and none is missing."""
        flap = ("DO $$ BEGIN FOR i IN 1..80 LOOP REVOKE ALL ON audit FROM PUBLIC; COMMIT; PERFORM pg_sleep(0.0125); "
                "GRANT ALL ON audit TO PUBLIC; COMMIT; PERFORM pg_sleep(0.0125); END LOOP; END $$")
        for way in ("copy", "sql"):
            with self.subTest(way=way):
                self.table("id int, v text, at bigserial")
                self.pg.execute("DROP TABLE IF EXISTS audit; CREATE TABLE audit (id int);"
                                "GRANT ALL ON audit TO PUBLIC; GRANT ALL ON SEQUENCE t_at_seq TO PUBLIC")
                self.trigger(body="INSERT INTO audit VALUES (NEW.id); RETURN NEW;")
                with self.broker({**WAYS[way], "retry": {"first": "10ms", "max": "100ms"}}, url=self.pg.url("scramuser", "pw")) as b:
                    flapping = threading.Thread(target=self.pg.execute, args=(flap,))
                    flapping.start()
                    sent = 0
                    while flapping.is_alive():
                        self.publish(b, [{"id": sent + i, "v": "x"} for i in range(50)])
                        sent += 50
                    flapping.join()
                    n = b.wait_settled("r")
                    refused = {letter["row"]["id"] for letter in self.dead(b)}
                self.assertEqual((n["delivered"], n["rejected"]), (sent - len(refused), len(refused)), n)
                self.assertEqual([int(i) for i, in self.rows("id", "ctid")], [i for i in range(sent) if i not in refused])

    def test_table__a_right_that_is_missing_brings_no_flood(self):
        self.table("id int, v text")
        self.pg.execute("REVOKE INSERT ON t FROM PUBLIC")
        before = self.errors()
        with self.broker({**WAYS["sql"], "retry": {"first": "200ms", "max": "200ms"}}, url=self.pg.url("scramuser", "pw")) as b:
            self.publish(b, [{"id": i, "v": "x"} for i in range(5000)])
            began = time.monotonic()
            wait_until(lambda: self.errors() - before > 5, 60)
            self.assertEqual(b.action("r")["rejected"], 0)
            self.assertLess(self.errors() - before, 200 + 100 * (time.monotonic() - began))
            self.pg.execute("GRANT INSERT ON t TO PUBLIC")
            self.assertEqual(b.wait_settled("r")["delivered"], 5000)
        self.assertEqual([int(i) for i, in self.rows("id", "ctid")], list(range(5000)))


del PostgresTest
