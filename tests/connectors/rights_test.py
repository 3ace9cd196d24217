"""`sluice connector test NAME`: rights that the user does not have, and columns that nobody fills, are named before the first row."""
import re

from connectors.look_case import LookCase
from harness.broker import Broker
from harness.client import Client
from harness.servers import PgBouncer, Postgres, Redis, shared

COLUMNS = {"id": "${a}", "v": "${k}"}
UPDATE = {"on_conflict": {"update": ["v"]}}

# What there is, a table by a table; the user `writer` has what is granted.
SCHEMA = """
DROP SCHEMA IF EXISTS rights, closed CASCADE;
DROP ROLE IF EXISTS writer; CREATE ROLE writer LOGIN;
CREATE SCHEMA rights; GRANT USAGE ON SCHEMA rights TO writer, scramuser;
CREATE SCHEMA closed; CREATE TABLE closed.t (id int, v text); GRANT ALL ON closed.t TO writer;
SET search_path = rights;
CREATE TABLE plain (id int PRIMARY KEY, v text, w text); GRANT SELECT ON plain TO writer;
CREATE TABLE partly (LIKE plain INCLUDING ALL); GRANT INSERT (id, v) ON partly TO writer;
CREATE TABLE upsert (LIKE plain INCLUDING ALL); GRANT INSERT ON upsert TO writer, scramuser;
CREATE TABLE by_column (LIKE plain INCLUDING ALL); GRANT INSERT (id, v), UPDATE (v), SELECT (id, v) ON by_column TO writer;
CREATE VIEW seen AS SELECT id, v FROM plain; GRANT INSERT ON seen TO writer;
CREATE VIEW joined AS SELECT p.id, s.v FROM plain p JOIN partly s USING (id); GRANT ALL ON joined TO writer;
CREATE VIEW instead AS SELECT * FROM joined; GRANT ALL ON instead TO writer;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t INSTEAD OF INSERT ON instead FOR EACH ROW EXECUTE FUNCTION nothing();
CREATE TABLE parted (id int, v text) PARTITION BY RANGE (id); GRANT INSERT ON parted TO writer;
CREATE TABLE part PARTITION OF parted DEFAULT;
CREATE TABLE numbered (n serial, id int, v text); GRANT INSERT ON numbered TO writer;
CREATE TABLE identified (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, v text); GRANT ALL ON identified TO writer;
CREATE TABLE shut (n int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id int, v text, site text NOT NULL);
CREATE DOMAIN given AS int NOT NULL DEFAULT 1;
CREATE DOMAIN wanted AS int NOT NULL;
CREATE TABLE filled (id int, v text, a int NOT NULL DEFAULT 1, b int GENERATED ALWAYS AS (id) STORED NOT NULL, c given);
GRANT INSERT ON filled TO writer;
CREATE TABLE base (site text NOT NULL); CREATE TABLE empty (id int, v text, w wanted) INHERITS (base); GRANT INSERT ON empty TO writer;
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.site := 1; RETURN NEW; END';
CREATE TABLE helped (id int, v text, site text NOT NULL); GRANT INSERT ON helped TO writer;
CREATE TRIGGER t BEFORE INSERT ON helped FOR EACH ROW EXECUTE FUNCTION fill();
CREATE TABLE parted_helped (id int, v text, site text NOT NULL) PARTITION BY RANGE (id); GRANT INSERT ON parted_helped TO writer;
CREATE TABLE part_helped PARTITION OF parted_helped DEFAULT;
CREATE TRIGGER t BEFORE INSERT ON part_helped FOR EACH ROW EXECUTE FUNCTION fill();
CREATE TABLE ruled (id int, v text, site text NOT NULL); GRANT INSERT ON ruled TO writer;
CREATE RULE r AS ON INSERT TO ruled DO INSTEAD INSERT INTO plain VALUES (NEW.id, NEW.v);
CREATE TABLE forbidden (id int, v text); GRANT INSERT ON forbidden TO writer; ALTER TABLE forbidden ENABLE ROW LEVEL SECURITY;
"""


def into(table, columns=None, **more):
    return {"table": table, "columns": columns or COLUMNS, **more}


def said_of(lines):
    """What is said, by the number of the action."""
    return {int(m[1]): m[2] for m in (re.match(r"x: action r\.(\d+): (.*)", line) for line in lines)}


class Rights(LookCase):
    def setUp(self):
        self.pg = shared(Postgres)
        self.pg.execute(SCHEMA)
        self.addCleanup(self.pg.execute, "DROP SCHEMA rights, closed CASCADE; DROP ROLE writer")
        self.writer = {"type": "postgres", "url": self.pg.url("writer"), "search_path": ["rights"]}

    # action: what is said of it; with GRANT it works when that was done, "note": it may work
    CASES = (
        (into("plain"), ("permission denied for table plain", 'GRANT INSERT ON "plain" TO writer')),
        (into("rights.plain"), ("permission denied for table plain", 'GRANT INSERT ON "rights"."plain" TO writer')),
        (into("partly"), None),
        (into("partly", {**COLUMNS, "w": "${k}"}), ('GRANT INSERT ("w") ON "partly" TO writer',)),
        (into("upsert"), None),
        (into("upsert", **UPDATE), ('GRANT UPDATE, SELECT ON "upsert" TO writer',)),
        (into("upsert", on_conflict="ignore"), None),
        (into("by_column", **UPDATE), None),
        (into("by_column", {**COLUMNS, "w": "${k}"}, on_conflict={"update": ["v", "w"]}),
         ('GRANT INSERT ("w"), UPDATE ("w"), SELECT ("w") ON "by_column" TO writer',)),
        (into("seen"), None),
        (into("joined"), ('cannot insert into view "joined"',)),
        (into("instead"), None),
        (into("parted"), None),
        (into("numbered"), ('no right to the sequence numbered_n_seq, which numbers column "n"', "GRANT USAGE ON SEQUENCE numbered_n_seq TO writer")),
        (into("numbered", {**COLUMNS, "n": "${a}"}), None),
        (into("identified"), None),
        (into("identified", {**COLUMNS, "n": "${a}"}), None),  # COPY may give the number
        (into("shut", {**COLUMNS, "n": "${a}", "site": "${k}"}), ("permission denied for table shut", 'GRANT INSERT ON "shut" TO writer')),
        (into("identified", {**COLUMNS, "n": "${a}"}, **UPDATE), ('non-DEFAULT value into column "n"', "leave it out of `columns`")),
        (into("filled"), None),
        (into("filled", {**COLUMNS, "b": "${a}"}), ('non-DEFAULT value into column "b"', "leave it out of `columns`")),
        (into("empty"), ('table "empty": NOT NULL, without a default and not in `columns`, so that all rows are refused: "site", "w"; add them',)),
        (into("empty", {**COLUMNS, "site": "${k}", "w": "${a}"}), None),
        (into("helped"), ("note", '"helped"', '"site"; unless a trigger or rule of the table fills it')),
        (into("parted_helped"), ("note", "unless a trigger or rule")),
        (into("ruled"), ("note", "unless a trigger or rule")),
        (into("forbidden"), None),
        (into("closed.t"), ("permission denied for schema closed", 'GRANT USAGE ON SCHEMA "closed" TO "writer"')),
        ({"sql": "INSERT INTO plain (id, v) VALUES (${a}, ${k})"}, ("permission denied for table plain", "grant it")),
        ({"sql": "INSERT INTO partly (id, v) VALUES (${a}, ${k})"}, None),
        ({"sql": "CALL nowhere(${a}::int)"}, ("procedure nowhere",)),
        ({"sql": "WITH w AS (SELECT ${a}::int AS id) INSERT INTO upsert SELECT id, ${k} FROM w -- not twice;"}, None),
    )

    def test_postgres__rights_and_columns(self):
        actions = [action for action, _ in self.CASES]
        code, notes, faults = self.looked_at(self.writer, actions)
        faults, notes = said_of(faults), said_of(notes)
        self.assertEqual(code, 3)
        for n, (action, wanted) in enumerate(self.CASES):
            with self.subTest(n=n, action=action):
                note = bool(wanted) and wanted[0] == "note"
                self.assertEqual((n in faults, n in notes), (bool(wanted) and not note, note), (faults.get(n), notes.get(n)))
                for words in wanted[note:] if wanted else ():
                    self.assertIn(words, (notes if note else faults)[n])
        self.assertEqual(self.pg.query("SELECT count(*) FROM rights.plain"), [["0"]])

    def test_postgres__what_is_granted_as_it_says_is_enough(self):
        """Until nothing is said; and then rows of all these actions are stored."""
        actions = [action for action, wanted in self.CASES if not wanted or "GRANT" in str(wanted) or wanted[0] == "note"]
        for left in range(4):
            _, _, faults = self.looked_at(self.writer, actions)
            grants = [m[0] for line in faults for m in re.finditer(r'GRANT [^;]+? TO "?\w+"?', line)]
            if not faults:
                break
            self.assertEqual(len(said_of(faults)), len(faults))
            self.pg.execute("SET search_path = rights;" + ";".join(grants))
        self.assertGreater(left, 0)
        self.assertEqual(faults, [])
        config = self.look_config(self.writer, [a for a in actions if a.get("table") != "forbidden"])
        config["rules"]["r"]["sql"] = "SELECT payload.a AS a, 'k' AS k FROM \"t\""
        with Broker(config) as b, Client(b.port) as c:
            c.connect("dev")
            c.publish("t", '{"a": 7}', qos=1)
            for n in range(len(config["rules"]["r"]["actions"]) - 1):
                b.wait_settled("r", n)
                self.assertEqual(b.action("r", n)["delivered"] + b.action("r", n)["rejected"], 1, (n, b.action("r", n), b.log()))
                self.assertNotIn("permission denied", b.log())

    def test_postgres__through_a_pooler(self):
        connector = {"type": "postgres", "url": shared(PgBouncer).url("scramuser"), "search_path": ["rights"]}
        _, notes, faults = self.looked_at(connector, [into("upsert"), into("upsert", **UPDATE), into("plain")])
        self.assertEqual((notes, len(faults)), ([], 2), faults)
        self.assertIn('GRANT UPDATE, SELECT ON "upsert" TO scramuser', faults[0])
        self.assertIn('GRANT INSERT ON "plain" TO scramuser', faults[1])

    def test_postgres__a_source(self):
        by_cursor = {"connector": "x", "query": "SELECT id, v FROM plain WHERE id > ${cursor} LIMIT ${limit}"}
        by_ack = {"connector": "x", "query": "SELECT id, v FROM plain LIMIT ${limit}", "ack": "DELETE FROM plain WHERE id = ANY(${cursors})"}
        other = {**by_cursor, "query": "SELECT id, v FROM upsert WHERE id > ${cursor} LIMIT ${limit}"}
        _, _, faults = self.looked_at(self.writer, [], {"one": by_cursor, "two": by_ack, "three": other})
        self.assertEqual(sorted(line.split(" (")[0] for line in faults),
                         ["x: source three: query: permission denied for table upsert", "x: source two: ack: permission denied for table plain"])
        self.assertTrue(all("; grant it" in line for line in faults), faults)


class Keys(LookCase):
    """Keys and channels that Redis' ACL does not let the user have: only what every row has is said."""
    KEY = "the user looker may not use the key {0}, which {1} does; `ACL SETUSER looker ~{0}` gives it the right"
    CASES = (
        ({"command": ["HSET", "ours:a", "f", "${a}"]}, None),
        ({"command": ["HSET", "theirs", "f", "${a}"]}, KEY.format("theirs", "HSET")),
        ({"command": ["hset", "theirs", "f", "${a}"]}, KEY.format("theirs", "hset")),
        ({"command": ["HSET", "theirs", "${k}", "${a}"], "ttl": "1h"}, KEY.format("theirs", "HSET")),
        ({"command": ["HSET", "${k}", "f", "${a}"]}, None),
        ({"command": ["HSET", "theirs:${k}", "f", "${a}"]}, None),
        ({"command": ["SET", "ours:1", "theirs"]}, None),
        ({"command": ["SET", "1", "${a}"]}, KEY.format("1", "SET")),
        ({"command": ["LPUSH", "${k}", "theirs"]}, None),
        ({"command": ["RENAME", "ours:a", "theirs"]}, KEY.format("theirs", "RENAME")),
        ({"command": ["RENAME", "${k}", "theirs"]}, None),  # the server says only the first that it refuses
        ({"command": ["MSET", "ours:a", "${a}", "theirs", "1"]}, None),
        ({"command": ["EVAL", "return 1", "1", "theirs", "${a}"]}, KEY.format("theirs", "EVAL")),
        ({"command": ["EVAL", "return 1", "0", "theirs"]}, None),
        ({"command": ["EVAL", "return 1", "${a}", "theirs"]}, None),
        ({"command": ["EVAL", "1", "1", "${k}"]}, None),  # what stands for the key is none of these
        ({"command": ["XADD", "read:only", "*", "f", "${a}"]}, KEY.format("read:only", "XADD")),
        ({"stream": {"key": "theirs", "maxlen": 10}}, KEY.format("theirs", "XADD")),
        ({"stream": {"key": "theirs", "fields": {"t": "${a}", "u": "x"}}}, KEY.format("theirs", "XADD")),
        ({"command": ["SET", "a b*'\"", "${a}"]}, "the key a b*'\", which SET does; give it a pattern (~) that fits"),
        ({"command": ["PUBLISH", "news", "${a}"]}, "the channel news, which PUBLISH does; `ACL SETUSER looker &news` gives it the right"),
        ({"command": ["PUBLISH", "${k}", "news"]}, None),
        ({"commands": [["SET", "ours:b", "${a}"], ["DEL", "theirs", "ours:b"], ["INCR", "others"]]},
         KEY.format("theirs", "DEL") + "; " + KEY.format("others", "INCR")),
    )

    def looker(self, server):
        server.execute("ACL", "SETUSER", "looker", "reset", "on", ">pw", "~ours:*", "%R~read:*", "+@all")
        self.addCleanup(server.execute, "ACL", "DELUSER", "looker")
        return {"type": "redis", "url": f"redis://looker:pw@127.0.0.1:{server.port}"}

    def test_redis__keys_that_are_not_the_users(self):
        redis = shared(Redis)
        redis.execute("FLUSHALL")
        looker = self.looker(redis)
        _, notes, faults = self.looked_at(looker, [action for action, _ in self.CASES])
        said = said_of(faults)
        self.assertEqual(notes, [])
        for n, (action, wanted) in enumerate(self.CASES):
            with self.subTest(n=n, action=action):
                self.assertEqual(n in said, wanted is not None, said.get(n))
                self.assertIn(wanted or "", said.get(n, ""))
        for line in faults:
            for pattern in re.findall(r"`ACL SETUSER looker (\S+)`", line):
                redis.execute("ACL", "SETUSER", "looker", pattern)
        _, _, faults = self.looked_at(looker, [action for action, _ in self.CASES])
        self.assertEqual(len(faults), 1, faults)  # the one for which no pattern was said
        self.assertEqual(redis.execute("DBSIZE"), 0)
