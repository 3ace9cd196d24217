"""The tester is the broker: random rules meet random messages in `sluice sql --jsonl` and in a running broker, and every
row must be the same, byte for byte; so must the numbers of messages that a rule filtered out and failed on.

In the broker all rules share topics, so that what it shares among rules (one pass over the payload, the index of
conditions) is in play; the tester runs each rule alone. $SLUICE_SEED plays other rules and messages.
"""
import json
import os
import random
import sys
import threading
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness import packet as m  # noqa: E402
from harness.broker import Broker, run_program  # noqa: E402
from harness.client import Client, Closed  # noqa: E402

SEED = int(os.environ.get("SLUICE_SEED", "20260101"))
RULES, MESSAGES, TOPICS = 40, 1200, 6
CLIENT = "differ"

NUMBERS = ["0", "-0", "-0.0", "1", "7", "-3", "42", "1.0", "1.50", "20e-1", "1e5", "1E+2", "0.1", "31.5", "28", "28.0",
           "9007199254740993", "9223372036854775807", "-9223372036854775808", "9223372036854775808",
           "123456789012345678901234567890", "0.30000000000000004", "1.7976931348623157e308", "5e-324", "2.5e-7", "1e400"]
TEXTS = ['""', '"run"', '"stop"', '"12"', '"12.5"', '"abc"', '"Zürich"', '"日本語"', '"e\\u0301"', '"\\ud83d\\ude00"',
         '"\\ud800"', '"a\\"b\\\\c"', '"tab\\t\\n"', '"\\u0041\\u0000"', '"true"', '"null"', '"a,b,,c"', '"{\\"t\\":5}"']
WORDS = ["true", "false", "null"]
BROKEN = ["", "{", '{"t":', '{"t":1}}', '{"t":01}', "hello", '{"t":1,}', "{'t':1}", '{"t":+1}', '\t{"t" : 3 }\n', "[1,2]",
          '"t"', "17", "nul", '{"t":1} x', "\u00fc"]


class Messages:
    def __init__(self, rng):
        self.rng = rng

    def value(self, depth=0):
        rng = self.rng
        kind = rng.random()
        if kind < 0.45 or depth > 2:
            return rng.choice(NUMBERS) if rng.random() < 0.7 else str(rng.randrange(-50, 120))
        if kind < 0.7:
            return rng.choice(TEXTS)
        if kind < 0.8:
            return rng.choice(WORDS)
        space = rng.choice(["", " ", "\n "])
        if kind < 0.9:
            return "[" + ("," + space).join(self.value(depth + 1) for _ in range(rng.randrange(4))) + "]"
        return self.object(["x", "y", "v", "name", "t"], depth + 1)

    def object(self, names, depth):
        rng = self.rng
        chosen = [n for n in names if rng.random() < 0.75]
        if rng.random() < 0.05 and chosen:
            chosen.append(rng.choice(chosen))  # a name twice
        rng.shuffle(chosen)
        colon = rng.choice([":", ": "])
        return "{" + ",".join(f'"{n}"{colon}{self.value(depth)}' for n in chosen) + "}"

    def payload(self):
        if self.rng.random() < 0.05:
            return self.rng.choice(BROKEN)
        items = ",".join(self.object(["v", "name", "x"], 1) if self.rng.random() < 0.8 else self.value(2)
                         for _ in range(self.rng.randrange(4)))
        head = self.object(["t", "u", "state", "id", "n", "l", "flag"], 0)
        return head if head == "{}" or self.rng.random() < 0.2 else head[:-1] + f',"s":[{items}]' + "}"


class Standard:
    """Statements of the standard dialect."""
    dialect = "standard"
    PLACES = ["payload.t", "payload.u", "payload.state", "payload.id", "payload.n", "payload.n.x", "payload.n.y.v",
              "payload.l", "payload.l[1]", "payload.l[-1]", "payload.s[1].v", "payload.flag", "payload", "topic", "clientid",
              "qos", "payload.s"]
    CONSTANTS = ["1", "28", "30.5", "0", "-3", "'run'", "'12'", "'abc'", "true", "null", "1e3", "'Zürich'"]
    CALLS = ["abs(%n)", "round(%n)", "upper(%t)", "strlen(%t)", "str(%v)", "int(%v)", "float(%v)", "concat(%v, %v)",
             "coalesce(%v, %v)", "is_null(%v)", "is_num(%v)", "substr(%t, 1, 2)", "split(%t, ',')", "json_encode(%v)",
             "json_decode(%t)", "map_get('x', %v)", "first(%v)", "length(%v)", "contains(%v, %v)", "bitand(%v, 6)",
             "power(%n, 2)", "mod(%v, 3)", "sha256(%t)", "base64_encode(%t)", "replace(%t, 'a', 'bb')", "trim(%t)",
             "topic(2)", "is_empty(%v)", "reverse(%t)", "map_keys(%v)", "bin2hexstr(%t)", "sprintf('~s', %v)", "pad(%t, 5)"]
    OPERATORS = ["+", "-", "*", "/", "div", "mod", "||"]

    def __init__(self, rng):
        self.rng = rng

    def value(self, depth=0):
        rng, kind = self.rng, self.rng.random()
        if kind < 0.5 or depth > 2:
            return rng.choice(self.PLACES)
        if kind < 0.6:
            return rng.choice(self.CONSTANTS)
        if kind < 0.85:
            call = rng.choice(self.CALLS)
            while "%" in call:
                at = call.index("%")
                call = call[:at] + self.value(depth + 1) + call[at + 2:]
            return f"try({call}, 'failed')" if rng.random() < 0.7 and self.dialect == "standard" else call
        if kind < 0.95:
            sides = f"{self.value(depth + 1)} {rng.choice(self.OPERATORS)} {self.value(depth + 1)}"
            return f"try({sides}, 'failed')" if rng.random() < 0.8 and self.dialect == "standard" else f"({sides})"
        return f"CASE WHEN {self.condition(depth + 1)} THEN {self.value(depth + 1)} ELSE {self.value(depth + 1)} END"

    def condition(self, depth=0):
        rng, kind = self.rng, self.rng.random()
        if depth < 2 and kind < 0.3:
            return f"({self.condition(depth + 1)} {rng.choice(['AND', 'OR'])} {self.condition(depth + 1)})"
        if depth < 2 and kind < 0.36:
            return f"NOT ({self.condition(depth + 1)})"
        if kind < 0.42:
            return f"{rng.choice(self.PLACES)} IN (1, 28, 'run', 'abc', 31.5)"
        if kind < 0.47 and self.dialect == "standard":
            return f"{rng.choice(self.PLACES)} IS {rng.choice(['', 'NOT '])}NULL"
        if kind < 0.52 and self.dialect == "standard":
            return f"{rng.choice(self.PLACES)} BETWEEN 0 AND 100"
        if kind < 0.56 and self.dialect == "standard":
            return f"{rng.choice(self.PLACES)} LIKE 'r%n'"
        left = rng.choice(self.PLACES) if rng.random() < 0.8 else self.value(2)
        right = rng.choice(self.CONSTANTS) if rng.random() < 0.85 else self.value(2)
        return f"{left} {rng.choice(['=', '!=', '<', '<=', '>', '>='])} {right}"

    def columns(self):
        return ", ".join(f"{self.value()} AS c{i}" for i in range(self.rng.randrange(1, 6)))

    def topic(self):
        return self.rng.choice(["d/+/data", "d/#", f"d/{self.rng.randrange(TOPICS)}/data", "d/+/+"])

    def where(self):
        return f" WHERE {self.condition()}" if self.rng.random() < 0.85 else ""

    def statement(self):
        if self.rng.random() < 0.2:
            incase = self.rng.choice(["", " INCASE item.v > 1", " INCASE is_not_null(item.name) AND item.v != 3"])
            return (f"FOREACH payload.s AS item DO item.v AS v, item AS whole, {self.columns()}{incase} "
                    f"FROM '{self.topic()}'{self.where()}")
        return f"SELECT {self.columns()} FROM '{self.topic()}'{self.where()}"


class Aws(Standard):
    """Statements of the aws dialect: places are members of the payload, what cannot be is Undefined."""
    dialect = "aws"
    PLACES = ["t", "u", "state", "id", "n", "n.x", "n.y.v", "l", "get(l, 0)", "get(s, 0).v", "flag", "topic()", "clientid()",
              "topic(2)", "s"]
    CONSTANTS = ["1", "28", "30.5", "0", "-3", "'run'", "'12'", "'abc'", "true", "1e3"]
    CALLS = ["abs(%n)", "round(%n)", "upper(%t)", "length(%t)", "concat(%v, %v)", "isNull(%v)", "isUndefined(%v)",
             "substring(%t, 1, 2)", "cast(%v AS String)", "cast(%v AS Decimal)", "cast(%v AS Int)", "mod(%v, 3)", "power(%n, 2)",
             "sha256(%t)", "trim(%t)", "replace(%t, 'a', 'bb')", "startswith(%t, 'a')", "indexof(%t, 'b')", "floor(%n)",
             "bitand(%v, 6)", "encode(*, 'base64')", "get(%v, 'x')", "regexp_matches(%t, '[a-z]+')"]
    OPERATORS = ["+", "-", "*", "/", "%"]

    def statement(self):
        where = self.where()
        if self.rng.random() < 0.15:
            return f"SELECT * FROM '{self.topic()}'{where}"
        if self.rng.random() < 0.15:
            return f"SELECT (SELECT v, name AS n FROM s WHERE v > 1) AS nested, {self.columns()} FROM '{self.topic()}'{where}"
        return f"SELECT {self.columns()} FROM '{self.topic()}'{where}"


def ask(cases):
    done = run_program("sql", "--jsonl", stdin="".join(json.dumps(c) + "\n" for c in cases), timeout=240)
    return [line for line in done.stdout.split("\n") if line]


def statements(maker):
    """Those that can be made: a constant mistake is refused, here as there."""
    found, seen = [], set()
    while len(found) < RULES:
        batch = list({maker.statement() for _ in range(RULES)} - seen)
        seen.update(batch)
        answers = ask([{"id": i, "dialect": maker.dialect, "sql": s, "topic": "other"} for i, s in enumerate(batch)])
        found += [s for s, a in zip(batch, answers) if '"stage":"compile"' not in a]
    return found[:RULES]


def rows_text(answer):
    """The rows of an answer as they are printed, in order, without reading a number. In the aws dialect any value is one."""
    text = answer[answer.index('"rows":[') + len('"rows":['):]
    rows, depth, start, quoted, i = [], 0, 0, False, 0
    while depth >= 0:
        c = text[i]
        if quoted:
            i += c == "\\"
            quoted = c != '"'
        elif c == '"':
            quoted = True
        elif c in "{[":
            depth += 1
        elif c in "}]":
            depth -= 1
        if not quoted and (depth < 0 or (depth == 0 and c == ",")):
            if i > start:
                rows.append(text[start:i])
            start = i + 1
        i += 1
    return rows


class Expected:
    """What the tester says that a rule does with all messages."""

    def __init__(self):
        self.rows, self.matched, self.filtered, self.failed = [], 0, 0, 0


def covers(sql, topic):
    text = sql[sql.rindex("FROM 'd/") + 6:]
    levels, parts = text[:text.index("'")].split("/"), topic.split("/")
    return levels[-1] == "#" or all(a in ("+", b) for a, b in zip(levels, parts))


def expect(dialect, sqls, messages):
    found = [Expected() for _ in sqls]
    cases, owner = [], []
    for r, sql in enumerate(sqls):
        for topic, payload in messages:
            if not covers(sql, topic):
                continue
            cases.append({"id": 0, "dialect": dialect, "sql": sql, "topic": topic, "payload": payload, "clientid": CLIENT,
                          "qos": 1})
            owner.append(r)
    for r, answer in zip(owner, ask(cases)):
        e = found[r]
        e.matched += 1
        if '"rows":[' in answer and answer.startswith('{"id":0,"rows"'):
            e.rows += rows_text(answer)
        elif answer.endswith('"no_match":true}'):
            e.filtered += 1
        else:
            e.failed += 1
    return found


class Differential(unittest.TestCase):
    def compare(self, maker_class):
        rng = random.Random(SEED)
        maker, source = maker_class(rng), Messages(rng)
        if "dialect aws" in ask([{"id": 0, "dialect": maker.dialect, "sql": "SELECT 1 AS x FROM 'd/#'", "topic": "d"}])[0]:
            self.skipTest("the aws dialect is not in this build")
        sqls = statements(maker)
        messages = [(f"d/{rng.randrange(TOPICS)}/data", source.payload()) for _ in range(MESSAGES)]
        expected = expect(maker.dialect, sqls, messages)
        rules = {f"r{i}": {"sql": s, "dialect": maker.dialect, "actions": [
            {"connector": "rows", "file": f"r{i}.jsonl", "line": "${.}"},
            {"republish": {"topic": f"out/r{i}", "payload": "${.}", "qos": 1}}]} for i, s in enumerate(sqls)}
        broker = Broker({"node": {"name": "sluice", "workers": 1}, "rules": rules,
                         "connectors": {"rows": {"type": "file", "dir": "rows"}},
                         "mqtt": {"max_queued": 1000000, "max_queued_bytes": "1GB"}})
        with broker:
            got = self.play(broker, messages, sum(len(e.rows) for e in expected))
            status = {r["id"]: r for r in broker.status()["rules"]}
            for i in range(len(sqls)):
                broker.wait_settled(f"r{i}")
        for i, (sql, e) in enumerate(zip(sqls, expected)):
            with self.subTest(sql=sql):
                path = broker.folder / "rows" / f"r{i}.jsonl"
                lines = path.read_bytes().decode("utf-8").split("\n")[:-1] if path.exists() else []
                self.first_difference(e.rows, lines, "file")
                rows, published = e.rows, got.get(f"out/r{i}", [])
                if maker.dialect == "aws" and sql.startswith("SELECT * FROM"):
                    # what is passed on and is no JSON is published as it came
                    rows = [b if a.startswith('"') and json.loads(a) == b else a for a, b in zip(rows, published)]
                    rows += e.rows[len(published):]
                self.first_difference(rows, published, "republished")
                counts = {k: status[f"r{i}"][k] for k in ("matched", "filtered", "failed")}
                self.assertEqual(counts, {"matched": e.matched, "filtered": e.filtered, "failed": e.failed})
        self.assertGreater(sum(len(e.rows) for e in expected), MESSAGES)

    def first_difference(self, expected, got, where):
        for n, (a, b) in enumerate(zip(expected, got)):
            self.assertEqual(a, b, f"{where}, row {n}: the tester's, then the broker's")
        self.assertEqual(len(expected), len(got), f"{where}: how many rows the tester and the broker have")

    def play(self, broker, messages, rows):
        """Publishes all, and collects what rules publish, by topic."""
        found, trouble = {}, []

        def collect(sub):
            try:
                for _ in range(rows):
                    p = sub.expect(m.PUBLISH, 60)
                    sub.send(m.ack(m.PUBACK, p.pid))
                    found.setdefault(p.topic, []).append(p.payload.decode("utf-8"))
            except (TimeoutError, AssertionError, Closed) as e:
                trouble.append(f"after {sum(map(len, found.values()))} of {rows} rows: {e}")

        with Client(broker.port) as sub, Client(broker.port) as pub:
            sub.connect("collector")
            sub.subscribe("out/#", qos=1)
            pub.connect(CLIENT)
            reader = threading.Thread(target=collect, args=(sub,))
            reader.start()
            for topic, payload in messages:
                pub.publish(topic, payload.encode("utf-8"), qos=1)
            reader.join()
        if trouble:
            print(*trouble)  # the comparison says which rows
        return found

    def test_standard__rows_are_the_same_bytes(self):
        self.compare(Standard)

    def test_aws__rows_are_the_same_bytes(self):
        self.compare(Aws)


if __name__ == "__main__":
    unittest.main()
