"""The postgres source against a real server: rows of a query become messages, and none is lost."""
import json
import subprocess
import textwrap
import time
import unittest

from connectors.source_case import SourceCase
from harness.broker import ROOT, Broker, run_program, wait_until
from harness.client import Client
from harness.servers import Net, PgBouncer, Postgres, shared

SQL = 'SELECT payload.id AS n, payload.v AS v, id AS i, topic AS t FROM "$sources/postgres:in"'
BY_CURSOR = {"query": "SELECT id, v FROM outbox WHERE id > ${cursor} ORDER BY id LIMIT ${limit}"}
BY_ACK = {"query": "SELECT id, v FROM outbox ORDER BY id LIMIT ${limit}", "ack": "DELETE FROM outbox WHERE id = ANY(${cursors})"}
MEMORY = {"buffer": {"durability": "memory"}}  # a message is through when its row is stored


class PostgresSourceTest(SourceCase):
    def setUp(self):
        super().setUp()
        self.pg = shared(Postgres)
        self.table("id bigint PRIMARY KEY, v text")

    def table(self, columns):
        self.pg.execute(f"DROP TABLE IF EXISTS outbox; CREATE TABLE outbox ({columns}); GRANT ALL ON outbox TO PUBLIC")

    def config(self, source=None, sql=SQL, action=None, connector=None, **more):
        source = {"connector": "db", "poll_interval": "200ms", **(source or BY_CURSOR), **more}
        connector = {"type": "postgres", "url": self.pg.url(), "reconnect": {"first": "50ms", "max": "500ms"}, **(connector or {})}
        return {"connectors": {"db": connector, "far": self.far()}, "sources": {"in": source},
                "rules": {"r": {"sql": sql, "actions": [self.action("nvit", **(action or {}))]}}}

    def add(self, first, end):
        self.pg.execute(f"INSERT INTO outbox SELECT n, 'value ' || n FROM generate_series({first}, {end - 1}) n")

    def left(self):
        return int(self.pg.value("SELECT count(*) FROM outbox"))

    def ids(self):
        return [int(n) for n in self.numbers()]


class Reading(PostgresSourceTest):
    def test_postgres_source__rows_behind_the_cursor_in_order(self):
        self.add(1, 1201)
        with Broker(self.config()) as b:
            self.wait_source(b, state="up", acknowledged=1200, pending=0)
            self.add(1201, 1301)
            self.wait_source(b, acknowledged=1300)
            b.wait_settled("r")
            b.stop()
            b.start()
            self.add(1301, 1302)
            self.wait_numbers(1301)
            b.wait_settled("r")
        self.assertEqual(self.ids(), list(range(1, 1302)))
        rows = self.got("n, v, t, i")
        self.assertEqual(rows[7][:3], (8, "value 8", "in"))
        self.assertEqual(len({i for *_, i in rows}), 1301)

    def test_postgres_source__rows_that_are_through_are_deleted(self):
        self.add(1, 1201)
        with Broker(self.config(BY_ACK)) as b:
            self.wait_source(b, state="up", acknowledged=1200, pending=0)
            wait_until(lambda: self.left() == 0, 20, "not deleted")
            self.add(2001, 2011)
            self.add(1, 2)  # a lower number that came later
            self.wait_source(b, acknowledged=1211)
            b.wait_settled("r")
            wait_until(lambda: self.left() == 0, 20, "not deleted")
        self.assertEqual(sorted(self.ids()), sorted([*range(1, 1201), *range(2001, 2011), 1]))

    def test_postgres_source__rows_that_are_through_are_marked(self):
        self.table("id uuid PRIMARY KEY DEFAULT gen_random_uuid(), v text, sent bool DEFAULT false")
        self.pg.execute("INSERT INTO outbox(v) SELECT n::text FROM generate_series(1, 300) n")
        source = {"query": "SELECT id, v FROM outbox WHERE NOT sent LIMIT ${limit}; -- those that wait",
                  "ack": "UPDATE outbox SET sent = true WHERE id = ANY(${cursors});"}
        with Broker(self.config(source, limit=50)) as b:
            self.wait_source(b, state="up", acknowledged=300)
            wait_until(lambda: self.pg.value("SELECT count(*) FROM outbox WHERE sent") == "300", 20, "not marked")
            b.wait_settled("r")
        self.assertEqual(sorted(int(v) for (v,) in self.got("v")), list(range(1, 301)))

    def test_postgres_source__ack_that_is_refused_acknowledges_nothing(self):
        self.pg.execute("DROP TABLE IF EXISTS taken")
        self.add(1, 51)
        source = {**BY_ACK, "ack": "INSERT INTO taken SELECT unnest(${cursors}::bigint[])"}
        with Broker(self.config(source)) as b:
            told = self.wait_source(b, unacknowledged=50, pending=0)
            b.wait_settled("r")
            self.assertEqual((told["received"], told["acknowledged"], told["forgotten"]), (50, 0, 0))
            self.assertIn("taken", self.wait_source(b, state=lambda s: s in ("down", "degraded"))["reason"])
            self.assertRegex(b.get("/metrics")[1], r'sluice_source_unacknowledged\{source="in",connector="\w+"\} 50\n')
            self.pg.execute("CREATE TABLE taken (id bigint)")
            self.wait_source(b, acknowledged=lambda n: n >= 50, unacknowledged=0)
            self.pg.execute("TRUNCATE outbox")

    def test_postgres_source__what_is_committed_late(self):
        """The README's way to leave nothing out by cursor."""
        page = (ROOT / "connectors/postgres/README.md").read_text()
        recipe = textwrap.dedent(page[page.index("  query: |\n    SELECT tx"):].split("  ```")[0])
        query = textwrap.dedent(recipe.split("cursor: place")[0].removeprefix("query: |\n")).replace("device, t FROM readings", "id, v FROM outbox")
        self.assertIn("FROM outbox", query)
        self.table("id bigserial PRIMARY KEY, v text, tx xid8 DEFAULT pg_current_xact_id()")
        late = subprocess.Popen(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.pg.url()], stdin=subprocess.PIPE, text=True)
        try:
            late.stdin.write("BEGIN; INSERT INTO outbox(v) VALUES ('late');\n")
            late.stdin.flush()
            wait_until(lambda: self.pg.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND query "
                                             "LIKE 'INSERT%'") != "0", 20, "no row")
            self.pg.execute("INSERT INTO outbox(v) VALUES ('early')")
            with Broker(self.config({"query": query, "cursor": "place", "start": "0-0"})) as b:
                self.wait_source(b, state="up")
                time.sleep(1)
                self.assertEqual(self.got("v"), [])
                late.communicate("COMMIT;\n", timeout=20)
                self.wait_source(b, acknowledged=2)
                b.wait_settled("r")
                self.pg.execute("INSERT INTO outbox(v) VALUES ('more')")
                self.wait_source(b, acknowledged=3)
                b.wait_settled("r")
        finally:
            late.kill()
            late.wait()
        self.assertEqual(self.got("v"), [("late",), ("early",), ("more",)])

    def test_postgres_source__two_brokers_share_a_table(self):
        self.table("id bigint PRIMARY KEY, v text, taken timestamptz")
        self.pg.execute("INSERT INTO outbox SELECT n, 'v' FROM generate_series(1, 2000) n")
        source = {"query": "UPDATE outbox SET taken = now() WHERE id IN (SELECT id FROM outbox WHERE taken IS NULL OR taken < now() - "
                           "interval '5 minutes' ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED) RETURNING id, v",
                  "ack": BY_ACK["ack"]}
        with Broker(self.config(source, limit=100)) as one, Broker(self.config(source, limit=100)) as two:
            wait_until(lambda: self.left() == 0, 40, "not deleted")
            got = [self.source(b)["received"] for b in (one, two)]
            for b in (one, two):
                b.wait_settled("r")
        self.assertEqual(sum(got), 2000)
        self.assertEqual(sorted(self.ids()), list(range(1, 2001)))

    def test_postgres_source__a_notification_wakes_it(self):
        with Broker(self.config(listen='out"box', poll_interval="1h")) as b:
            self.wait_source(b, state="up")
            for n in range(1, 4):
                self.pg.execute(f"INSERT INTO outbox VALUES ({n}, 'x'); NOTIFY \"out\"\"box\", 'row {n}'")
                self.wait_numbers(n)
            self.pg.execute("INSERT INTO outbox VALUES (4, 'x')")  # nobody is told
            time.sleep(1)
            self.assertEqual(self.ids(), [1, 2, 3])

    def test_postgres_source__into_mqtt(self):
        config = self.config(BY_ACK, sql='SELECT payload.v AS v, key FROM "$sources/postgres:in"')
        config["rules"]["r"]["actions"] = [{"republish": {"topic": "out/${key}", "payload": "${v}", "qos": 1}}]
        with Broker(config) as b, Client(b.port) as c:
            c.connect("reader")
            c.subscribe("out/#", qos=1)
            self.add(7, 8)
            c.receive("out/7", "value 7", qos=1)
            wait_until(lambda: self.left() == 0, 20, "not deleted")

    def test_postgres_source__through_a_pooler(self):
        bouncer = shared(PgBouncer)
        self.add(1, 301)
        connector = {"url": bouncer.url(), "search_path": ["public"]}
        with Broker(self.config(BY_ACK, connector=connector, listen="outbox", limit=100)) as b:
            self.assertIn("a pooler stands in between", self.wait_source(b, state="up", acknowledged=300)["reason"])
            wait_until(lambda: self.left() == 0, 20, "not deleted")
        with Broker(self.config(connector=connector, start="10")) as b:
            self.add(1, 301)
            self.wait_source(b, state="up", acknowledged=290)


class Values(PostgresSourceTest):
    def one(self, select, **more):
        """What a rule sees of a row with these columns."""
        query = f"SELECT 1 AS id, {select} WHERE 1 > ${{cursor}} LIMIT ${{limit}}"
        config = self.config({"query": query}, sql='SELECT value AS v, key AS n, offset AS i FROM "$sources/postgres:in"',
                             action={"columns": {c: "${%s}" % c for c in "vni"}}, **more)
        self.forget()
        with Broker(config) as b:
            self.wait_source(b, acknowledged=1)
            b.wait_settled("r")
            self.assertEqual(b.action("r")["rejected"], 0)
        (row,) = self.got("v, n, i")
        self.assertEqual([str(x) for x in row[1:]], ["1", "1"])
        return row[0]

    # the README's table: what a column is in the message
    TYPES = (
        ("boolean", "true", "true"),
        ("smallint, integer, bigint", "9223372036854775807::int8", "9223372036854775807"),
        ("real, double precision", "0.1::float8", "0.1"),
        ("numeric", "12345678901234567890.123::numeric", "12345678901234567890.123"),
        ("NaN, Infinity", "'NaN'::float8", '"NaN"'),
        ("text, varchar, char, uuid, enums", "'a \"b\" é'::text", '"a \\"b\\" é"'),
        ("bytea", "'\\x00ff'::bytea", '"\\\\x00ff"'),
        ("timestamp", "'2026-01-31 08:00:00.25'::timestamp", '"2026-01-31T08:00:00.25"'),
        ("timestamptz", "'2026-01-31 08:00:00Z'::timestamptz", '"2026-01-31T08:00:00+00:00"'),
        ("date, time, interval", "'2026-01-31'::date", '"2026-01-31"'),
        ("json, jsonb", "'{\"a\":[1,null]}'::json", '{"a":[1,null]}'),
        ("arrays", "ARRAY[1,NULL,3]", "[1,null,3]"),
        ("composite types", "ROW(1,'x')", '{"f1":1,"f2":"x"}'),
        ("ranges, geometries, inet and others", "'[1,4)'::int4range", '"[1,4)"'),
        ("NULL", "NULL::text", "null"),
    )

    def test_postgres_source__types(self):
        text = (ROOT / "connectors/postgres/README.md").read_text()
        columns = ", ".join(f"{value} AS c{i}" for i, (_, value, _) in enumerate(self.TYPES))
        got = self.one(columns, connector={"url": self.pg.url(options="-c%20timezone%3DUTC")})
        self.assertEqual(got, '{"id":1,' + ",".join(f'"c{i}":{shown}' for i, (*_, shown) in enumerate(self.TYPES)) + "}")
        for names, value, shown in self.TYPES:
            self.assertIn(f"| {names} | `{value}` | `{shown}` |", text)

    def test_postgres_source__hostile_text_stays_text(self):
        texts = ["'); DROP TABLE outbox; --", "$1 ${cursor} ${limit}", "a\\'b\"c", "{\"x\": 1}", "\u2028\u0001\t\r\n", "\\x00", "{a,b}"]
        self.table("id text PRIMARY KEY, v text")
        rows = ",".join(f"(E'{t}', E'{t}')" for t in (x.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
                                                      for x in texts))
        for source in (BY_ACK, {**BY_CURSOR, "start": ""}):
            with self.subTest(source["query"]):
                self.forget()
                self.pg.execute(f"TRUNCATE outbox; INSERT INTO outbox VALUES {rows}")
                with Broker(self.config(source, limit=2)) as b:
                    self.wait_source(b, acknowledged=len(texts), pending=0)
                    b.wait_settled("r")
                    if "ack" in source:
                        wait_until(lambda: self.left() == 0, 20, "not deleted")
                self.assertEqual(sorted(self.got("n, v")), sorted((t, t) for t in texts))

    def test_postgres_source__large_rows_come_a_few_at_a_time(self):
        self.pg.execute("INSERT INTO outbox SELECT n, repeat('x', CASE WHEN n < 10 THEN 3000000 ELSE 1 END) FROM generate_series(1, 300) n")
        sql = 'SELECT key AS n, strlen(payload.v) AS v FROM "$sources/postgres:in"'
        for source in (BY_CURSOR, BY_ACK):
            with self.subTest(source["query"]):
                self.forget()
                with Broker(self.config(source, sql=sql, action={"columns": {"n": "${n}", "v": "${v}"}})) as b:
                    self.wait_source(b, timeout=120, acknowledged=300, pending=0)
                    b.wait_settled("r")
                self.assertEqual(sorted(set(self.got("n, v")), key=lambda r: int(r[0])),
                                 [(str(n), 3000000 if n < 10 else 1) for n in range(1, 301)])


class Outages(PostgresSourceTest):
    def test_postgres_source__our_own_kill_loses_nothing(self):
        for source in (BY_CURSOR, BY_ACK):
            with self.subTest(source["query"]):
                self.forget()
                self.pg.execute("TRUNCATE outbox")
                self.add(1, 5001)
                with Broker(self.config(source, action=MEMORY, max_pending={"messages": 300})) as b:
                    for least in (500, 2000):
                        self.wait_numbers(least)
                        b.kill()
                        b.start()
                    self.wait_numbers(5000)
                    b.wait_settled("r")
                    if source is BY_ACK:
                        wait_until(lambda: self.left() == 0, 20, "not deleted")
                self.assertEqual(set(self.ids()), set(range(1, 5001)))

    def test_postgres_source__the_server_killed_and_back(self):
        for source in (BY_CURSOR, BY_ACK):
            with self.subTest(source["query"]):
                self.forget()
                self.pg.execute("TRUNCATE outbox")
                self.add(1, 101)
                with Broker(self.config(source, listen="outbox")) as b:
                    self.wait_numbers(100)
                    self.pg.kill9()
                    try:
                        self.wait_source(b, state="down")
                    finally:
                        self.pg.restart()
                    self.add(101, 201)
                    self.wait_numbers(200)
                    self.wait_source(b, state="up", pending=0)
                    b.wait_settled("r")

    def test_postgres_source__a_network_that_says_nothing(self):
        self.add(1, 101)
        with Broker(self.config(BY_ACK, connector={"statement_timeout": "1s", "connect_timeout": "2s"})) as b:
            self.wait_numbers(100)
            with Net.dropped(self.pg.port):
                self.wait_source(b, state="down", reason=lambda r: "does not answer" in (r or "") or "did not answer" in (r or ""))
            self.add(101, 201)
            self.wait_numbers(200)
            self.wait_source(b, state="up", pending=0)

    def test_postgres_source__slow_actions_pause_it(self):
        for source in (BY_CURSOR, BY_ACK):
            with self.subTest(source["query"]):
                self.forget()
                self.pg.execute("TRUNCATE outbox")
                self.add(1, 101)
                with Broker(self.config(source, action=MEMORY, max_pending={"messages": 500}, limit=200)) as b:
                    self.wait_source(b, acknowledged=100)
                    with self.locked():
                        self.add(101, 3001)
                        self.wait_source(b, paused=True)
                        time.sleep(1)
                        n = self.source(b)
                        self.assertLess(n["pending"], 500 + 700 + 1)
                        if source is BY_ACK:
                            wait_until(lambda: self.left() == 2900, 20, "what is through is not deleted")
                    self.wait_source(b, acknowledged=3000, pending=0)
                    b.wait_settled("r")
                self.assertEqual(sorted(self.ids()), list(range(1, 3001)))

    def test_postgres_source__what_is_slow_is_not_acknowledged_and_comes_again(self):
        self.add(1, 101)
        with Broker(self.config(BY_ACK, action=MEMORY)) as b:
            self.wait_source(b, acknowledged=100)
            wait_until(lambda: self.left() == 0, 20, "not deleted")
            with self.locked():
                self.add(101, 151)
                self.wait_source(b, pending=50)
                b.kill()
            b.start()
            self.wait_numbers(150)
            wait_until(lambda: self.left() == 0, 20, "not deleted")

    def test_postgres_source__changed_while_it_runs(self):
        self.add(1, 1001)
        with Broker(self.config()) as b:
            self.wait_numbers(1000)
            b.write_config(self.config(limit=7))
            b.reload()
            self.add(1001, 1101)
            self.wait_numbers(1100)
            self.wait_source(b, state="up", pending=0)
            b.wait_settled("r")
        self.assertEqual(set(self.ids()), set(range(1, 1101)))


class Wrong(PostgresSourceTest):
    def test_postgres_source__said_in_words(self):
        self.add(1, 11)
        for source, connector, reason in (
                ({"query": "SELECT id FROM nowhere WHERE id > ${cursor} LIMIT ${limit}"}, {}, 'relation "nowhere" does not exist'),
                ({"query": "SELECT v FROM outbox WHERE id > ${cursor} LIMIT ${limit}"}, {}, "and the one that `cursor` says"),
                ({**BY_CURSOR, "start": "x"}, {}, "is `start` of the cursor's type?"),
                ({**BY_ACK, "ack": "DELETE FROM outbox WHERE ids = ANY(${cursors})"}, {}, 'ack: column "ids" does not exist'),
                (BY_CURSOR, {"url": f"postgresql://test@127.0.0.1:{self.pg.port}/nowhere"}, 'database "nowhere" does not exist')):
            with self.subTest(reason), Broker(self.config(source, connector=connector)) as b:
                self.assertIn(reason, self.wait_source(b, state="down", reason=lambda r: r is not None)["reason"])
                self.assertLess(b.log().count("source=in"), 5, b.log())

    def test_postgres_source__cursors_that_name_no_row(self):
        self.table("id bigint, v text")
        self.pg.execute("INSERT INTO outbox VALUES (1, 'a'), (1, 'b'), (2, 'c')")
        with Broker(self.config()) as b:
            self.assertIn("rows have the same `id`", self.wait_source(b, state="degraded", acknowledged=3)["reason"])
        self.pg.execute("TRUNCATE outbox; INSERT INTO outbox VALUES (NULL, 'a'), (7, 'b')")
        with Broker(self.config(BY_ACK)) as b:
            self.assertIn("is NULL", self.wait_source(b, state="degraded", acknowledged=1)["reason"])

    def test_postgres_source__an_ack_that_changes_nothing(self):
        self.add(1, 4)
        source = {**BY_ACK, "ack": "DELETE FROM outbox WHERE id = ANY(${cursors}) AND false"}
        with Broker(self.config(source, poll_interval="1s")) as b:
            self.assertIn("`ack` changed nothing", self.wait_source(b, state="degraded", reason=lambda r: r is not None)["reason"])
            before, began = self.source(b)["received"], time.monotonic()
            time.sleep(2)
            received = self.source(b)["received"] - before
            self.assertLess(received, 3 * 3 * (time.monotonic() - began + 1))  # three a second, not as fast as it can

    def test_postgres_source__it_goes_on_when_its_table_comes(self):
        self.pg.execute("DROP TABLE outbox")
        with Broker(self.config()) as b:
            self.wait_source(b, state="down")
            self.table("id bigint PRIMARY KEY, v text")
            self.add(1, 4)
            self.wait_numbers(3)
            self.wait_source(b, state="up")

    def test_postgres_source__check_and_connector_test(self):
        for source, said in (
                ({"query": "SELECT id FROM outbox WHERE id > ${cursor}"}, "write LIMIT ${limit} into it"),
                ({"query": "SELECT id FROM outbox LIMIT ${limit}"}, "the same rows would come again and again"),
                ({"query": "SELECT id FROM outbox WHERE id > ${cursr} LIMIT ${limit}"}, "${cursr} at 1:34 is not known here"),
                ({"query": "SELECT '${limit}'"}, "query: ${limit} at 1:9 stands in quotes"),
                ({"query": "DELETE FROM outbox RETURNING *"}, "DELETE would lose the rows"),
                ({"query": "COPY outbox TO STDOUT"}, "begins with SELECT or WITH"),
                ({"query": "UPDATE outbox SET v = 1 RETURNING *"}, "write an `ack`, too"),
                ({**BY_ACK, "query": BY_CURSOR["query"]}, "${cursor} at 1:37 is not known here; there is ${limit}"),
                ({**BY_ACK, "start": "7"}, "`start` is where ${cursor} begins"),
                ({**BY_ACK, "ack": "DELETE FROM outbox"}, "say for which rows it is"),
                ({**BY_ACK, "ack": "TRUNCATE outbox"}, "ack: begins with DELETE"),
                (BY_CURSOR, ""), (BY_ACK, "")):
            with self.subTest(source=source):
                (self.folder / "a.yaml").write_text(json.dumps(self.config(source)))
                done = run_program("check", "-c", "a.yaml", cwd=self.folder)
                self.assertEqual(done.returncode, 1 if said else 0, done.stdout + done.stderr)
                self.assertIn(said, done.stderr)
        done = run_program("connector", "test", "db", "-c", "a.yaml", cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.add(1, 5)
        for source, said in (
                ({**BY_CURSOR, "query": BY_CURSOR["query"].replace("outbox", "nowhere")}, 'query: relation "nowhere" does not exist'),
                ({**BY_ACK, "ack": "DELETE FROM outbox WHERE ident = ANY(${cursors})"}, 'ack: column "ident" does not exist')):
            (self.folder / "a.yaml").write_text(json.dumps(self.config(source)))
            done = run_program("connector", "test", "db", "-c", "a.yaml", cwd=self.folder)
            self.assertEqual(done.returncode, 3, done.stdout)
            verdict, *faults = done.stderr.splitlines()
            self.assertTrue(verdict.startswith("db: not all will work: postgres, connected"), verdict)
            self.assertEqual(len(faults), 1, faults)
            self.assertTrue(faults[0].startswith(f"db: source in: {said}"), faults)
        self.assertEqual(self.left(), 4)


if __name__ == "__main__":
    unittest.main()
