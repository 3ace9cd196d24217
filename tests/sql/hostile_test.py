"""Rules and data that want the broker's time and memory: each ends soon, with a sentence, through `sluice sql`.

Nothing here asserts how fast: a program that hangs is ended by its generous time-out, one that eats memory by the bound
below, and both fail the test."""
import json
import resource
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness.broker import BIN, SANITIZER, sanitizer_env  # noqa: E402

TIMEOUT_S = 120
MEMORY = 2 << 30  # a sanitizer's shadow does not fit into it
SANITIZED = b"__asan_init" in Path(BIN).read_bytes() or b"__tsan_init" in Path(BIN).read_bytes()


def bounded():
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def answers(cases):
    lines = "".join(json.dumps({"topic": "t/a", **c}) + "\n" for c in cases)
    done = subprocess.run([BIN, "sql", "--jsonl"], input=lines.encode(), capture_output=True, timeout=TIMEOUT_S,
                          env=sanitizer_env(), preexec_fn=bounded, check=False)
    errors = done.stderr.decode(errors="replace")
    if done.returncode or SANITIZER.search(errors):
        raise AssertionError(f"exit code {done.returncode}:\n{errors[-4000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def answer(sql, payload="{}", **more):
    return answers([{"sql": sql, "payload": payload, **more}])[0]


def select(expression):
    return f"SELECT {expression} AS x FROM 't/#'"


class Hostile(unittest.TestCase):
    def refused(self, got, *words, stage=None):
        self.assertIn("error", got)
        for word in words:
            self.assertIn(word, got["error"])
        if stage:
            self.assertEqual(got["stage"], stage)

    def gives(self, got, value):
        self.assertEqual(got.get("rows"), [{"x": value}], got)

    # ---- text and grammar

    def test_text__of_64_kb_is_the_most(self):
        self.refused(answer(select("1") + " " * 70000), "at most 65536", stage="compile")

    def test_operators__64_kb_of_them_compile_or_say_what_is_too_much(self):
        for text in ("1" + "+1" * 32000, "-" * 60000 + "1", "NOT " * 16000 + "true", "payload.a" + ".b" * 30000,
                     "payload" + "[1]" * 20000, "1" + " = 1" * 15000, "'a'" + "||'a'" * 13000):
            with self.subTest(text=text[:20]):
                self.refused(answer(select(text)), stage="compile")

    def test_operators__many_small_columns_compile(self):
        got = answer("SELECT " + ", ".join(f"{i} AS c{i}" for i in range(900)) + " FROM 't/#'")
        self.assertEqual(len(got["rows"][0]), 900)

    def test_nesting__parentheses_calls_lists_and_cases(self):
        for opening, closing in (("(", ")"), ("abs(", ")"), ("[", "]"), ("CASE WHEN true THEN ", " END"),
                                 ("coalesce(", ", 1)"), ("try(", ", 1)"), ("payload.a[", "]")):
            with self.subTest(opening=opening):
                text = opening * 20 + "1" + closing * 20
                self.assertIn("rows", answer(select(text), '{"a":[1]}'))
                self.refused(answer(select(opening * 2000 + "1" + closing * 2000)), "nested", stage="compile")

    def test_in_list__of_4096_elements_is_the_most(self):
        elements = ", ".join(str(i) for i in range(4096))
        self.assertIn("rows", answer(f"SELECT 1 AS x FROM 't/#' WHERE payload.a IN ({elements})", '{"a":4095}'))
        self.refused(answer(f"SELECT 1 AS x FROM 't/#' WHERE payload.a IN ({elements}, 1)"), "4096", stage="compile")

    def test_columns__more_than_1024_are_refused(self):
        fields = ", ".join(f"{i % 10} AS c{i}" for i in range(1100))
        self.refused(answer(f"SELECT {fields} FROM 't/#'"), "1024", stage="compile")

    # ---- regular expressions

    def test_regex__catastrophic_backtracking_ends_with_advice(self):
        text = json.dumps({"s": "a" * 5000 + "!", "p": "(a+)+$"})
        patterns = ("'(a+)+$'", "'(a|aa)+$'", "'(a|a)*b'", "'(.*)*x'", "'^(([a-z])+.)+[A-Z]([a-z])+$'", "payload.p")
        for pattern in patterns:
            for call in ("regex_match(payload.s, {})", "regex_extract(payload.s, {})",
                         "regex_replace(payload.s, {}, 'x')"):
                with self.subTest(call=call, pattern=pattern):
                    got = answer(select(call.format(pattern)), text)
                    if "error" in got:
                        self.refused(got, "regular expression", stage="run")
                    else:
                        self.assertEqual(len(got["rows"]), 1)

    def test_regex__huge_repeats_and_nesting_are_refused(self):
        for pattern in ("(((a{1,1000}){1,1000}){1,1000})", "(" * 3000 + ")" * 3000, "a" * 9000, "("):
            with self.subTest(pattern=pattern[:20]):
                self.refused(answer(select(f"regex_match(payload.s, '{pattern}')"), '{"s":"a"}'), "regex_match()",
                             stage="compile")

    def test_regex__a_replacement_that_explodes(self):
        # Large at once: the time that a regular expression may take is a limit too, and a loaded machine met it first.
        got = answer(select("regex_replace(payload.s, 'a', payload.s)"), json.dumps({"s": "a" * 200000}))
        self.refused(got, "MB", stage="run")

    # ---- comparing and taking apart

    def test_objects__with_opposite_orders_of_names_end_the_run(self):
        names = [f'"k{i}":{i}' for i in range(20000)]
        text = '{"a":{' + ",".join(names) + '},"b":{' + ",".join(reversed(names)) + "}}"
        for condition in ("payload.a = payload.b", "payload.a != payload.b", "payload.a IN (payload.b, 1)"):
            with self.subTest(condition=condition):
                self.refused(answer(select(condition), text), "steps", stage="run")
                self.refused(answer(f"SELECT 1 AS x FROM 't/#' WHERE {condition}", text), "steps", stage="run")

    def test_contains__takes_a_large_object_apart_once(self):
        text = '{"a":{' + ",".join(f'"k{i}":{i}' for i in range(2000)) + '},"b":[' + ",".join(['{"z":1}'] * 20000) + "]}"
        self.gives(answer(select("contains(payload.a, payload.b)"), text), False)

    def test_tokens__more_than_a_run_may_make(self):
        self.refused(answer(select("length(tokens(payload, ','))"), "a," * 4000000), "64 MB", stage="run")

    # ---- numbers out of range

    def test_numbers__beyond_a_float_never_leave_as_infinity(self):
        text = '{"x":1e999}'
        for call in ("-payload.x", "payload.x + 1", "float2str(payload.x, 2)", "sprintf('~f', payload.x)", "abs(payload.x)",
                     "sprintf('~g', payload.x)", "float(payload.x)", "int(payload.x)", "round(payload.x)"):
            with self.subTest(call=call):
                self.assertIn("error", answer(select(call), text))
        for call in ("sum(payload.x)", "avg(payload.x)", "min(payload.x)", "max(payload.x)"):
            with self.subTest(call=call):
                sql = f"SELECT {call} AS x FROM 't/#' GROUP BY tumbling('1s')"
                self.refused(answer(sql, text), "range", stage="run")
        grouped = answer("SELECT payload.x AS x, count(*) AS n FROM 't/#' GROUP BY x, tumbling('1s')", text)
        self.assertEqual(grouped["rows"], [{"x": float("inf"), "n": 1}])  # 1e999, as Python reads it

    def test_times__at_the_ends_of_int64(self):
        for unit in ("second", "millisecond", "microsecond", "nanosecond"):
            for ts in ("-9223372036854775808", "9223372036854775807"):
                with self.subTest(unit=unit, ts=ts):
                    for call in (f"unix_ts_to_rfc3339({ts}, '{unit}')", f"format_date('{unit}', 'Z', '%Y %N', {ts})",
                                 f"mongo_date({ts}, '{unit}')"):
                        self.assertTrue({"rows", "error"} & answer(select(call)).keys())

        last = "2262-04-11T23:47:16.{}Z"
        self.gives(answer(select(f"rfc3339_to_unix_ts('{last.format(854775807)}', 'nanosecond')")), 9223372036854775807)
        for call in (f"rfc3339_to_unix_ts('{last.format(854775808)}', 'nanosecond')",
                     "date_to_unix_ts('nanosecond', '%Y-%m-%d %H:%M:%S.%N', '2262-04-11 23:47:16.999999999')"):
            self.refused(answer(select(call)), "64 bits")

    def test_line__that_is_too_long_is_told(self):
        line = json.dumps({"sql": select("payload"), "payload": "a" * (17 << 20)})
        done = subprocess.run([BIN, "sql", "--jsonl"], input=line.encode(), capture_output=True, timeout=TIMEOUT_S,
                              env=sanitizer_env(), check=False)
        self.assertEqual(done.returncode, 1)
        self.refused(json.loads(done.stdout), "longer than 16 MB", stage="input")

    # ---- jq

    def test_jq__endless_programs_are_ended(self):
        for program in ("def f: f; f", "[repeat(1)]", "last(range(1e15))", "def f: f|f; f", "until(false; .)",
                        "[limit(1e12; repeat(1))] | length"):
            with self.subTest(program=program):
                self.refused(answer(select(f"jq('{program}', payload, 50)")), "jq()", stage="run")

    def test_jq__memory_and_depth_are_bounded_and_the_next_call_works(self):
        eaters = ("[range(1e9)]", "reduce range(1e7) as $i (0; [.])", "def f: . + .; last(limit(60; recurse(f)))",
                  '[limit(1e9; repeat("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))]')
        cases = []
        for program in eaters:
            cases.append({"sql": select(f"jq('{program}', payload.s, 1000)"), "payload": '{"s":"aaaa"}'})
            cases.append({"sql": select("jq('.n', payload)"), "payload": '{"n":7}'})
        got = answers(cases)
        for eaten, after in zip(got[0::2], got[1::2]):
            self.refused(eaten, "jq()", stage="run")
            self.gives(after, [7])

    def test_jq__outputs_beyond_16_mb_are_refused(self):
        self.refused(answer(select("jq('[range(300000)] | range(100) as $i | .', payload, 1000)")), "jq()")

    def test_jq__sees_no_files_and_no_environment(self):
        self.gives(answer(select("jq('env, $ENV', payload)")), [{}, {}])
        self.refused(answer(select("""jq('import "passwd" as $p {search: "/etc"}; $p', payload)""")), "jq()")

    def test_jq__a_wrong_program_is_refused_with_its_place(self):
        got = answer("SELECT 1 AS a,\n  jq('.a[', payload) AS x FROM 't/#'")
        self.refused(got, "no jq program", stage="compile")
        self.assertEqual((got["line"], got["column"]), (2, 3))

    # ---- results that grow

    def test_pad__of_a_billion(self):
        for n in ("1000000000", "9223372036854775807", "1048577"):
            self.refused(answer(select(f"pad('x', {n})")), "1048576")
        self.refused(answer(select("pad('x', 1048576, 'leading', payload.s)"), json.dumps({"s": "long" * 100})), "MB")

    def test_sprintf__widths_and_precisions(self):
        for call in ("sprintf('~1000000000s', 'a')", "sprintf('~99999999999999999999b', 1)", "sprintf('~.999999f', 1.5)",
                     "sprintf('~.99b', 1)", "sprintf('~.101f', 1.5)"):
            with self.subTest(call=call):
                self.refused(answer(select(call)), "sprintf()")

    def test_ranges__are_bounded(self):
        self.refused(answer(select("[1..10000000]")), "65536")
        self.refused(answer(select("[payload.a..payload.b]"),
                            '{"a":-9223372036854775808,"b":9223372036854775807}'), "range", stage="run")

    def test_text__that_doubles_again_and_again(self):
        doubling = ", ".join(f"concat(c{i}, c{i}) AS c{i + 1}" for i in range(40))
        self.refused(answer(f"SELECT payload.s AS c0, {doubling} FROM 't/#'", '{"s":"abcdefgh"}'), "MB", stage="run")
        doubling = ", ".join(f"c{i} + c{i} AS c{i + 1}" for i in range(40))
        self.refused(answer(f"SELECT payload.s AS c0, {doubling} FROM 't/#'", '{"s":"abcdefgh"}'), "MB", stage="run")

    def test_text__that_replace_join_and_json_make_explode(self):
        long = json.dumps({"s": "a" * 30000, "l": ["x"] * 3000})
        for call in ("replace(payload.s, 'a', payload.s)", "join_to_string(payload.s, payload.l)",
                     "replace(replace(payload.s, 'a', 'bbbbbbbbbb'), 'b', payload.s)"):
            with self.subTest(call=call):
                self.refused(answer(select(call), long), "MB", stage="run")

    def test_arrays__that_double_again_and_again(self):
        doubling = ", ".join(f"[c{i}, c{i}, c{i}, c{i}] AS c{i + 1}" for i in range(30))
        got = answer(f"SELECT 'abcdefgh' AS c0, {doubling}, json_encode(c30) AS x FROM 't/#' WHERE payload.a = 1",
                     '{"a":1}')
        self.refused(got)

    # ---- compressed bombs and terms

    def test_unpack__a_bomb_stops_at_16_mb(self):
        import base64
        import gzip
        import zlib
        raw = zlib.compressobj(9, zlib.DEFLATED, -15)
        zeros = bytes(64 << 20)
        bombs = {"gunzip": gzip.compress(zeros), "zip_uncompress": zlib.compress(zeros),
                 "unzip": raw.compress(zeros) + raw.flush()}
        for name, bomb in bombs.items():
            with self.subTest(name=name):
                payload = json.dumps({"z": base64.b64encode(bomb).decode()})
                self.refused(answer(select(f"bytesize({name}(base64_decode(payload.z)))"), payload), "16 MB", stage="run")
                cut = json.dumps({"z": base64.b64encode(bomb[:-20]).decode()})
                self.refused(answer(select(f"bytesize({name}(base64_decode(payload.z)))"), cut), stage="run")

    def test_term__lengths_that_are_not_there(self):
        for digits in ("836CFFFFFFFF61016A", "8374FFFFFFFF6101", "836DFFFFFFFF61", "836FFFFFFFFF0001", "8350FFFFFFFF00",
                       "83", "00", "836C" + "000000016C" * 100 + "6A"):
            with self.subTest(digits=digits[:20]):
                self.refused(answer(select(f"term_decode(hexstr2bin(payload.h))"), json.dumps({"h": digits})),
                             "term_decode()", stage="run")

    # ---- data

    def test_json__nested_deeper_than_64_is_no_payload(self):
        deep = "[" * 5000 + "]" * 5000
        self.refused(answer(select("payload.a"), deep), stage="run")
        self.refused(answer(select("json_decode(payload)"), deep), "json_decode()", stage="run")

    def test_objects__with_many_members_keep_the_last_of_a_name(self):
        members = ", ".join(f'"k{i % 5000}": {i}' for i in range(20000))
        got = answer("SELECT map_size(payload.o) AS n, map_get('k7', payload.o) AS x, length(map_keys(payload.o)) AS k "
                     "FROM 't/#'", '{"o": {%s}}' % members)
        self.assertEqual(got["rows"], [{"n": 5000, "x": 15007, "k": 5000}])

    def test_like__many_wildcards(self):
        text = json.dumps({"s": "a" * 20000})
        self.refused(answer(select("payload.s LIKE '" + "%a" * 2000 + "%b'"), text), "steps")
        self.gives(answer(select("payload.s LIKE '" + "%a" * 500 + "%b'"), text), False)
        self.gives(answer(select("payload.s LIKE '" + "%" * 2000 + "'"), text), True)

    def test_foreach__over_a_large_array_of_dear_work(self):
        array = json.dumps({"l": list(range(100000)), "s": "a" * 3000 + "b"})
        for work in ("regex_match(payload.s, '(a|aa)+$')", "length(split(payload.s, 'a'))", "gzip(payload.s)",
                     "json_encode(payload)"):
            with self.subTest(work=work):
                got = answer(f"FOREACH payload.l AS e DO {work} AS x FROM 't/#'", array)
                self.assertTrue("error" in got or len(got["rows"]) == 100000)

    def test_aws__a_walk_that_compares_large_arrays(self):
        payload = json.dumps({"l": list(range(100_000)), "m": list(range(99_999)) + [-1], "k": list(range(100_000))})
        for condition in ("m = l", "k IN [m, l]", "-2 IN m", "l <> m"):
            self.refused(answer(select(f"(SELECT VALUE {condition} FROM k AS e)"), payload, dialect="aws"), "the run ", stage="run")

    def test_aws__a_comparison_at_the_limit_of_memory_is_no_guess(self):
        payload = json.dumps({"a": list(range(30_000)), "b": list(range(30_000))})
        same = "[" + ", ".join(["a = b"] * 100) + "]"
        self.refused(answer(select(same), payload, dialect="aws"), "64 MB of values", stage="run")
        self.refused(answer("SELECT 1 AS x FROM 't/#' WHERE " + " AND ".join(["a = b"] * 100), payload, dialect="aws"),
                     "64 MB of values", stage="run")

    def test_aws__variables_hold_128_kb_each_and_together(self):
        def kept(*sizes):
            sets = ", ".join(f"@v{i} = p{i}" for i in range(len(sizes)))
            payload = json.dumps({f"p{i}": "x" * size for i, size in enumerate(sizes)})
            return answer(f"SET {sets} SELECT length(@v0) AS x FROM 't/#'", payload, dialect="aws")
        self.gives(kept(131_000), 131_000)
        self.refused(kept(131_073), "the value of a variable exceeds 128 KB", stage="run")
        self.gives(kept(43_000, 43_000, 43_000), 43_000)
        self.refused(kept(66_000, 66_000), "the values of the variables exceed 128 KB together", stage="run")
        self.refused(kept(*[14_000] * 10), "the values of the variables exceed 128 KB together", stage="run")

    def test_aws__nothing_replaced_in_a_long_text(self):
        self.gives(answer(select("length(replace(s, '', ''))"), json.dumps({"s": "aé" * 400_000}), dialect="aws"), 800_000)

    def test_templates__of_topics(self):
        self.gives(answer(select("topic =~ '" + "+/" * 10000 + "#'")), False)


if __name__ == "__main__":
    unittest.main()
