"""A number that no function changes leaves as the bytes it came in: through `sluice sql`, by many ways, many numbers.

The numbers are those that break elsewhere (the ends of int64, 2^53 + 1, 17 digits, 40 digits, 1E400, -0.0, 1.0, 1e5) and
random ones from a fixed seed."""
import json
import random
import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness.broker import run_program  # noqa: E402

KNOWN = ["0", "-0", "0.0", "-0.0", "1", "-1", "1.0", "1.00", "1e5", "1E5", "1e+5", "1E-5", "100000.0", "0.1", "0.10",
         "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807",
         "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "18446744073709551615",
         "18446744073709551616", "1234567890123456789012345678901234567890", "-1234567890123456789012345678901234567890",
         "0.1234567890123456789", "2.2250738585072014e-308", "5e-324", "1.7976931348623157e308", "1E400", "-1E400",
         "1e-400", "123456789.123456789", "3.141592653589793", "2.718281828459045", "1.7976931348623158e+308",
         "0.30000000000000004", "4.35", "1e22", "1e23", "123e-7"]

# What stands for the number is payload.v, payload.o.v, payload.l[1], or the JSON text payload.t, which holds {"v": it}.
KEEP = ["payload.v", "payload.o.v", "payload.l[1]", "payload.l[-1]", "payload.t.v", "first(payload.l)", "last(payload.l)",
        "nth(1, payload.l)", "map_get('v', payload)", "map_get('o.v', payload)", "map_get('v', payload.t)",
        "mget('v', payload)", "mget('v', payload.o)", "coalesce(payload.nix, payload.v)",
        "coalesce([payload.nix, payload.v])", "coalesce_ne('', payload.v)", "CASE WHEN true THEN payload.v END",
        "CASE WHEN payload.nix THEN 0 ELSE payload.v END", "CASE payload.k WHEN 'k' THEN payload.v ELSE 0 END",
        "try(payload.v, 0)", "try(int(payload.k), payload.v)", "json_decode(payload.s)", "json_decode(payload.t).v",
        "first([payload.v])", "[payload.v, 1][1]", "(payload.l[1..1])[1]", "first(sublist(1, payload.l))",
        "map_get('x', map_put('x', payload.v, map_new()))", "map_get('v', map_put('x', 1, payload.o))",
        "mget('x', mput('x', payload.v, payload.o))", "first(map_values(payload.o))",
        "map_get('value', first(map_to_entries(payload.o)))", "json_decode(json_encode(payload.v))",
        "json_decode(json_encode(payload.o)).v", "json_decode(json_encode([payload.v]))[1]", "(payload.v)", "+payload.v",
        "payload('v')", "map(payload.t).v", "map(payload.o).v"]
# The same, but the column is an object or array around it: how, and what must come out.
WRAP = [("payload.o", '{"v":%s}'), ("payload.l", "[%s]"), ("[payload.v, payload.v]", "[%s,%s]"),
        ("[[payload.v]]", "[[%s]]"), ("map_put('a.b', payload.v, map_new())", '{"a":{"b":%s}}'),
        ("map_put('w', 1, payload.o)", '{"v":%s,"w":1}'), ("json_decode(payload.t)", '{"v":%s}'),
        ("sublist(1, payload.l)", "[%s]"), ("payload.l[1..1]", "[%s]"), ("map_values(payload.o)", "[%s]"),
        ("map_to_entries(payload.o)", '[{"key":"v","value":%s}]')]
# Text: the number as it stands, in quotes.
TEXT = ["json_encode(payload.v)", "json_encode(payload.l[1])", "'' || payload.v", "'' + payload.v", "concat(payload.v)",
        "concat('', payload.v, '')", "join_to_string([payload.v])", "join_to_string('-', payload.l)"]
ROW = re.compile(r'"rows":\[(.*)\]\}$')


def number(rng):
    kind = rng.randrange(6)
    sign = rng.choice(["", "-"])
    if kind == 0:
        return str(rng.randint(-2**63, 2**63 - 1))
    if kind == 1:
        return sign + str(rng.randrange(1, 10)) + "".join(rng.choice("0123456789") for _ in range(rng.randrange(60)))
    if kind == 2:
        return repr(rng.uniform(-1e6, 1e6))
    if kind == 3:
        return sign + str(rng.randrange(1000)) + "." + "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 30)))
    exponent = rng.choice("eE") + rng.choice(["", "+", "-"]) + str(rng.randrange(400))
    if kind == 4:
        return sign + str(rng.randrange(100000)) + exponent
    return sign + str(rng.randrange(10)) + "." + str(rng.randrange(10**6)) + exponent


class Numbers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rng = random.Random(20260131)
        cls.numbers = KNOWN + [number(rng) for _ in range(300)]

    def rows(self, cases):
        """The text of each answer's row, byte by byte: reading it as JSON would hide what this is about."""
        lines = "".join(json.dumps({"id": i, "sql": sql, "topic": "t/a", "payload": payload}) + "\n"
                        for i, (sql, payload) in enumerate(cases))
        out = run_program("sql", "--jsonl", stdin=lines, timeout=120).stdout.splitlines()
        self.assertEqual(len(out), len(cases))
        found = [ROW.search(line) for line in out]
        for case, line, row in zip(cases, out, found):
            self.assertTrue(row, f"{case}: {line}")
        return [row.group(1) for row in found]

    @staticmethod
    def payload(n):
        return f'{{"v": {n}, "o": {{"v": {n}}}, "l": [{n}], "s": "{n}", "t": "{{\\"v\\": {n}}}", "k": "k"}}'

    def check(self, wanted):
        """wanted: (expression, what its column must be as text), for every number."""
        for expression, form in wanted:
            with self.subTest(expression=expression):
                sql = f"SELECT {expression} AS x FROM 't/#'"
                got = self.rows([(sql, self.payload(n)) for n in self.numbers])
                for n, row in zip(self.numbers, got):
                    self.assertEqual(row, '{"x":%s}' % form.replace("%s", n))

    def test_number__stays_the_bytes_it_came_in(self):
        self.check([(expression, "%s") for expression in KEEP])

    def test_number__stays_inside_of_arrays_and_objects(self):
        self.check(WRAP)

    def test_number__stays_as_text(self):
        self.check([(expression, '"%s"') for expression in TEXT])

    def test_number__through_where_aliases_and_foreach(self):
        forms = [("SELECT payload.v AS a, a AS b, [a, b] AS c FROM 't/#' WHERE b = payload.v",
                  '{"a":%s,"b":%s,"c":[%s,%s]}'),
                 ("SELECT payload.v FROM 't/#' WHERE payload.v = payload.o.v", '{"payload":{"v":%s}}'),
                 ("SELECT payload.v AS a.b[1].c FROM 't/#'", '{"a":{"b":[{"c":%s}]}}'),
                 ("SELECT payload.l AS l, payload.v AS l[-0] FROM 't/#'", '{"l":[%s,%s]}'),
                 ("FOREACH payload.l AS e DO e AS x, [e] AS y FROM 't/#'", '{"x":%s,"y":[%s]}'),
                 ("FOREACH payload.l AS e DO e AS x INCASE e = payload.v FROM 't/#' WHERE payload.k = 'k'", '{"x":%s}')]
        for sql, form in forms:
            with self.subTest(sql=sql):
                got = self.rows([(sql, self.payload(n)) for n in self.numbers])
                for n, row in zip(self.numbers, got):
                    self.assertEqual(row, form.replace("%s", n))

    def test_number__in_the_payload_of_select_star(self):
        sql = "SELECT * FROM 't/#'"
        got = self.rows([(sql, self.payload(n)) for n in self.numbers])
        for n, row in zip(self.numbers, got):
            self.assertEqual(json.loads(row)["payload"], self.payload(n))

    def test_number__written_in_the_rule(self):
        whole = [n for n in self.numbers if re.fullmatch(r"[0-9]+", n)]
        got = self.rows([(f"SELECT {n} AS x, [{n}] AS y FROM 't/#'", "") for n in whole])
        for n, row in zip(whole, got):
            self.assertEqual(row, '{"x":%s,"y":[%s]}' % (n, n))

    def test_number__str_of_integers_and_its_way_back(self):
        whole = [n for n in self.numbers if re.fullmatch(r"-?[1-9][0-9]*", n)]
        got = self.rows([("SELECT str(payload.v) AS x FROM 't/#'", self.payload(n)) for n in whole])
        for n, row in zip(whole, got):
            self.assertEqual(row, '{"x":"%s"}' % n)
        small = [n for n in whole if -2**63 <= int(n) < 2**63]
        got = self.rows([("SELECT int(str(payload.v)) AS x, int(payload.s) AS y, bitand(payload.v, -1) AS z, "
                          "term_decode(term_encode(payload.v)) AS t FROM 't/#'", self.payload(n)) for n in small])
        for n, row in zip(small, got):
            self.assertEqual(row, '{"x":%s,"y":%s,"z":%s,"t":%s}' % (n, n, n, n))

    def test_number__integers_of_any_size_survive_terms(self):
        whole = [n for n in self.numbers if re.fullmatch(r"-?[1-9][0-9]*", n)]
        got = self.rows([("SELECT term_decode(term_encode(payload.o)) AS x FROM 't/#'", self.payload(n)) for n in whole])
        for n, row in zip(whole, got):
            self.assertEqual(row, '{"x":{"v":%s}}' % n)


if __name__ == "__main__":
    unittest.main()
