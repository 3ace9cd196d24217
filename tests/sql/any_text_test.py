"""Text that is not UTF-8 inside of JSON is the text that it is, and costs a rule nothing that it does not ask for; and what templates
make of JSON's null. All through `sluice sql`."""
import base64
import json
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness.broker import BIN, sanitizer_env, temp_folder  # noqa: E402

DOCUMENT = (b'{"v": "ab\xff", "n": 7, "k\xfe": 1, "d": {"x": "\xfd", "n": 1}, "l": ["\xff", {"y": "\xfe"}],'
            b' "s": "{\\"in\\": \\"\xff\\"}", "h": "\\ud800", "p": "\\ud83d\\ude00"}')


def b64(data):
    return base64.b64encode(data).decode()


class AnyText(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = temp_folder()

    def run_sql(self, payload, *args, code=0):
        path = self.folder / "payload"
        path.write_bytes(payload)
        done = subprocess.run([BIN, "sql", *args, "--payload-file", str(path), "--topic", "t/a"], capture_output=True, timeout=120,
                              env=sanitizer_env(), check=False)
        self.assertEqual(done.returncode, code, done.stderr.decode(errors="replace"))
        return (done.stdout if code == 0 else done.stderr).decode("utf-8")

    def rows(self, payload, sql, *more):
        return [json.loads(line) for line in self.run_sql(payload, sql, *more).splitlines()]

    def actions(self, payload, sql, actions, dialect="standard"):
        """What each action would get."""
        config = self.folder / "sluice.yaml"
        config.write_text(json.dumps({
            "connectors": {"r": {"type": "redis", "url": "redis://127.0.0.1:1"}, "k": {"type": "kafka", "brokers": "127.0.0.1:1"},
                           "f": {"type": "file", "dir": str(self.folder)}},
            "rules": {"a": {"sql": sql, "dialect": dialect, "actions": actions}}}))
        lines = self.run_sql(payload, "--rule", "a", "-c", str(config), "--actions").splitlines()
        return [json.loads(line) for line in lines if line.startswith('{"action":')]

    # ---- what a value is

    def test_functions__take_it_as_they_take_a_payload_of_such_bytes(self):
        calls = ("{}", "upper({})", "lower({})", "trim({})", "reverse({})", "strlen({})", "substr({}, 1)", "substr({}, 0, 2)",
                 "concat({}, 'x')", "{} || 'x'", "bin2hexstr({})", "base64_encode({})", "sha256({})", "md5({})", "json_encode({})",
                 "regex_match({}, 'a.')", "regex_replace({}, 'b', 'c')", "regex_extract({}, '(a)')", "find({}, 'b')", "split({}, 'b')",
                 "replace({}, 'a', 'b')", "pad({}, 5)", "ascii({})", "tokens({}, 'b')", "sprintf('~s', {})", "str({})", "term_encode({})",
                 "{0} = {0}", "{} = 'ab'", "{} > 'ab'", "{} LIKE 'ab%'", "{} IN ('ab', 'x')", "{} IS NULL", "is_str({})",
                 "coalesce({}, 1)", "CASE WHEN {} = 'ab' THEN 1 ELSE 2 END", "str_utf16_le({})", "int({})")
        got = []
        for payload, place in ((b"ab\xff", "payload"), (b'{"v": "ab\xff"}', "payload.v"), (b'{"v": "\\u0061b\xff"}', "payload.v")):
            columns = ", ".join(f"try({call.format(place)}, 'it fails') AS x{i}" for i, call in enumerate(calls))
            got.append(self.rows(payload, f"SELECT {columns} FROM 't/#'")[0])
        for i, call in enumerate(calls):
            with self.subTest(call=call):
                self.assertEqual([g[f"x{i}"] for g in got[1:]], [got[0][f"x{i}"]] * 2)

    def test_places__around_it_are_what_they_are(self):
        sql = "SELECT payload.n AS n, payload.d.n AS d, payload.nix AS nix, payload.p AS p FROM 't/#' WHERE payload.d.n = 1 AND payload.n > 6"
        self.assertEqual(self.rows(DOCUMENT, sql), [{"n": 7, "d": 1, "nix": None, "p": "\U0001f600"}])
        for cut in range(1, len(DOCUMENT)):  # it is JSON but for that, or it is not
            if cut % 7 == 0:
                self.assertIn("not JSON", self.run_sql(DOCUMENT[:cut], "SELECT payload.n AS n FROM 't/#'", code=1))
        for broken in (b'{"v": \xff}', b'{"v": "\\\xff"}', b'{"v": "\xff\n"}', b'{"v": 1\xff}', b'{\xff: 1}', b'{"\xff": 1,}', b"\xff"):
            self.assertIn("not JSON", self.run_sql(broken, "SELECT payload.v AS v FROM 't/#'", code=1))

    def test_row__as_json_has_base64(self):
        sql = "SELECT payload.v AS v, payload.d AS d, payload.l AS l, payload.s.in AS i, payload.h AS h, payload.l[2].y AS y FROM 't/#'"
        self.assertEqual(self.rows(DOCUMENT, sql), [{"v": b64(b"ab\xff"), "d": {"x": b64(b"\xfd"), "n": 1}, "h": b64(b"\xed\xa0\x80"),
                                                     "l": [b64(b"\xff"), {"y": b64(b"\xfe")}], "i": b64(b"\xff"), "y": b64(b"\xfe")}])
        self.assertEqual(self.rows(DOCUMENT, "FOREACH payload.l AS e DO e AS x FROM 't/#'"), [{"x": b64(b"\xff")}, {"x": {"y": b64(b"\xfe")}}])
        whole = self.rows(DOCUMENT, "SELECT json_decode(payload) AS x, payload.d AS d, d.x AS e FROM 't/#'")[0]
        self.assertEqual((whole["x"][b64(b"k\xfe")], whole["x"]["n"], whole["e"]), (1, 7, b64(b"\xfd")))

    def test_objects__are_compared_and_changed(self):
        sql = ("SELECT map_put('z', 1, payload.d) AS p, map_get('d.x', payload) AS g, payload.d = payload.d AS e, nth(1, payload.l) AS n,"
               " json_encode(payload.d) AS j, jq('.d', payload) AS q FROM 't/#'")
        d = {"x": b64(b"\xfd"), "n": 1}
        self.assertEqual(self.rows(DOCUMENT, sql), [{"p": {**d, "z": 1}, "g": d["x"], "e": True, "n": b64(b"\xff"),
                                                     "j": json.dumps(d, separators=(",", ":")), "q": [d]}])

    def test_objects__deep_and_large_end(self):
        deep = b'{"a":' * 63 + b'"\xff"' + b"}" * 63
        got = self.rows(deep, "SELECT payload.a AS a FROM 't/#'")[0]
        for _ in range(63):
            got = got["a"]
        self.assertEqual(got, b64(b"\xff"))
        wide = b'{"a": [' + b",".join([b'{"k": "\xff"}'] * 20000) + b"]}"
        self.assertEqual(self.rows(wide, "SELECT length(payload.a) AS n FROM 't/#'"), [{"n": 20000}])
        both = b'{"a": ' + b"[" * 60 + b",".join([b"[]"] * 300000) + b"]" * 60 + b', "b": "\xff"}'
        sql = "SELECT " + ", ".join(f"payload.a AS a{i}" for i in range(40)) + " FROM 't/#'"
        self.assertRegex(self.run_sql(both, sql, code=1), "64 MB|steps")

    def test_why__tells(self):
        text = self.run_sql(DOCUMENT, "SELECT payload.v AS v FROM 't/#' WHERE payload.d.n = 2", "--why")
        self.assertIn("PAYLOAD  JSON, ", text)
        self.assertIn("some of its text is not UTF-8", text)
        text = self.run_sql(DOCUMENT, "SELECT payload.v AS v FROM 't/#' WHERE payload.z = 2", "--why")
        self.assertIn("there are: v, n, k?, d, l, s, h, p", text)
        umlauts = "\u00e4" * 150  # is cut
        self.assertIn(umlauts[:80], self.run_sql(json.dumps({"v": umlauts}, ensure_ascii=False).encode(), "SELECT 1 AS x FROM 't/#' WHERE payload.v = 1", "--why"))

    def test_failures__are_text(self):
        self.assertIn("'ab?' is no such value", self.run_sql(DOCUMENT, "SELECT int(payload.v) AS v FROM 't/#'", code=1))
        self.assertIn("'???' is no such value", self.run_sql(DOCUMENT, "SELECT int(payload.h) AS v FROM 't/#'", code=1))

    # ---- the aws dialect

    def test_aws__members_are_found(self):
        for sql, x in (("v", b64(b"ab\xff")), ("d", {"x": b64(b"\xfd"), "n": 1}), ("get(l, 0)", b64(b"\xff")), ("numbytes(v)", 3),
                       ("(SELECT VALUE y FROM l)", [b64(b"\xfe")]), ("encode(v, 'base64')", b64(b"ab\xff")),
                       ("encode(*, 'base64')", b64(DOCUMENT)), ("h", b64(b"\xed\xa0\x80"))):
            with self.subTest(sql=sql):
                self.assertEqual(self.rows(DOCUMENT, f"SELECT {sql} AS x FROM 't/#' WHERE d.n = 1", "--dialect", "aws"), [{"x": x}])

    def test_aws__a_lone_star_passes_the_payload_on(self):
        actions = [{"republish": {"topic": "out", "payload": "${.}"}}, {"connector": "k", "topic": "x"},
                   {"connector": "r", "command": ["SET", "k", "${v}"]}]
        again, record, _ = self.actions(DOCUMENT, "SELECT * FROM 't/#'", actions, "aws")
        self.assertEqual(again["republish"]["payload_base64"], b64(DOCUMENT))
        self.assertEqual(record["params"]["value"], b64(DOCUMENT))
        again, _, _ = self.actions(DOCUMENT, "SELECT *, topic() AS t FROM 't/#'", actions, "aws")
        row = json.loads(again["republish"]["payload"])
        self.assertEqual((row["t"], row["n"], row["v"]), ("t/a", 7, b64(b"ab\xff")))
        self.assertEqual(self.rows(b'["\xff"]', "SELECT *, 1 AS one FROM 't/#'", "--dialect", "aws"), [{"payload": [b64(b"\xff")], "one": 1}])

    # ---- templates

    def test_templates__text_has_the_bytes_and_json_has_base64(self):
        texts = ["${v}", "a ${v}", '{"p": "${v}", "q": ${v}, "d": ${d}}']
        got = self.actions(DOCUMENT, "SELECT payload.v AS v, payload.d AS d FROM 't/#'", [{"republish": {"topic": "o", "payload": t}} for t in texts])
        self.assertEqual([g["republish"].get("payload_base64") for g in got], [b64(b"ab\xff"), b64(b"a ab\xff"), None])
        v = b64(b"ab\xff")
        self.assertEqual(json.loads(got[2]["republish"]["payload"]), {"p": v, "q": v, "d": {"x": b64(b"\xfd"), "n": 1}})
        got = self.actions(DOCUMENT, "SELECT payload.v AS v FROM 't/#'", [{"republish": {"topic": "o/${v}", "payload": "x"}}])
        self.assertIn("is not UTF-8 text", got[0]["error"])

    def test_templates__null_of_json_alone_is_null_and_in_text_the_word(self):
        sql = "SELECT payload.x AS x, payload.nix AS nix FROM 't/#'"
        for name, word, alone in (("x", "null", "null"), ("nix", "", "")):
            with self.subTest(name=name):
                part = "${%s}" % name
                got = self.actions(b'{"x": null}', sql, [
                    {"connector": "r", "command": ["SET", "k", part]}, {"connector": "r", "command": ["SET", "k", f"<{part}>"]},
                    {"connector": "r", "command": ["XADD", "s", "*", "f", part]},
                    {"connector": "k", "topic": "t", "key": part, "value": part, "headers": {"h": part}},
                    {"connector": "k", "topic": "t", "key": f"<{part}>", "value": f"<{part}>", "headers": {"h": f"<{part}>"}},
                    {"connector": "k", "topic": f"t.{part}"},
                    {"connector": "f", "file": "x", "line": part}, {"connector": "f", "file": "x", "line": f"<{part}>"},
                    {"connector": "f", "file": "x", "format": "csv", "columns": {"a": part, "b": f"<{part}>"}},
                    {"republish": {"topic": "o", "payload": part}}, {"republish": {"topic": "o", "payload": f"<{part}>"}},
                    {"republish": {"topic": f"o/{part}", "payload": "x"}},
                    {"republish": {"topic": "o", "payload": '{"a": %s, "b": "<%s>"}' % (part, part)}}])
                text = f"<{word}>"
                self.assertEqual([g["bytes"] for g in got[:3]], ['SET "k" ""', f'SET "k" "{text}"', 'XADD "s" "*" "f" ""'])
                records = [json.loads(g["bytes"]) for g in got[3:5]]
                self.assertEqual([(r["key"], r["value"], r["headers"][0]["value"]) for r in records], [(None,) * 3, (text,) * 3])
                self.assertIn("is NULL", got[5]["error"])
                self.assertEqual([g["bytes"] for g in got[6:9]], [alone + "\n", text + "\n", f"{alone},{text}\n"])
                self.assertEqual([g["republish"]["payload"] for g in got[9:11]], [alone, text])
                self.assertIn("no value for one of its parts", got[11]["error"])
                self.assertEqual(json.loads(got[12]["republish"]["payload"]), {"a": None, "b": text})
