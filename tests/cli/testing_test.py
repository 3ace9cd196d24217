"""`sluice test` and what else tries rules without a broker: sql --rule, --actions, --why, and the help printed from tables."""
import os
import sys
import unittest
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from harness.broker import run_program, temp_folder  # noqa: E402

RULES = """
connectors:
  archive: {type: sqlite, path: "${NO_SUCH_VARIABLE}/${file:/no/such/file}/archive.db"}
  lines: {type: file, dir: /no/such/folder}
rules:
  hot:
    sql: |
      SELECT clientid AS device, payload.t AS t, timestamp AS ts
      FROM "room/+/telemetry"
      WHERE payload.t > 28
    actions:
      - {connector: archive, table: readings, columns: {device: "${device}", t: "${t}"}}
      - {republish: {topic: "alerts/${device}", payload: "${.}", qos: 1, user_properties: {rule: hot}, message_expiry: 1h, correlation_data: "${t}"}}
      - {connector: lines, file: hot.jsonl}
      - {console: {}}
  each:
    sql: FOREACH payload.s AS s DO s.v AS v INCASE s.v > 1 FROM "each"
    actions: [{republish: {topic: "out/${v}"}}]
  answer:
    sql: SELECT qos FROM "ask"
    actions:
      - republish: {topic: "${pub_props.'Response-Topic'}", correlation_data: "${pub_props.'Correlation-Data'}", payload_format: 1,
                    user_properties: "${pub_props.'User-Property'}", message_expiry: "${pub_props.'Message-Expiry-Interval'}"}
  asleep: {enabled: false, sql: SELECT 1 AS x FROM "#"}
"""
HOT = "message: {topic: room/7/telemetry, payload: {t: 31.5}, clientid: d7}"


def suite(*cases):
    return RULES + "tests:\n" + "".join(f"  - {{{c}}}\n" for c in cases)


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)

    def run_cases(self, *cases, options=()):
        return run_program("test", self.write("t.yaml", suite(*cases)), *options, cwd=self.folder)

    def passes(self, *cases):
        done = self.run_cases(*cases)
        self.assertEqual((done.returncode, done.stdout), (0, f"{len(cases)} passed, 0 failed\n"), done.stderr)

    def fails(self, case, *lines):
        done = self.run_cases(case)
        self.assertEqual(done.returncode, 1, done.stderr)
        for line in lines:
            self.assertIn(line, done.stdout)

    def refuses(self, text, *complaints):
        done = run_program("test", self.write("t.yaml", text), cwd=self.folder)
        self.assertEqual(done.returncode, 1, done.stdout)
        for line in complaints:
            self.assertIn(line, done.stderr)


class Cases(Folder):
    def test_match__says_what_said_no(self):
        self.passes("name: a, rule: hot, " + HOT + ", expect: {match: true}",
                    "name: b, rule: hot, message: {topic: room/7/telemetry, payload: {t: 3}}, expect: {match: where}",
                    "name: c, rule: hot, message: {topic: room/7, payload: {t: 99}}, expect: {match: topic}",
                    "name: d, rule: hot, message: {topic: room/7, payload: {t: 99}}, expect: {match: false}")
        self.fails("name: a, rule: hot, " + HOT + ", expect: {match: topic}", 'match: expected "topic", got: it matches')

    def test_match__that_is_missing_is_explained(self):
        self.fails("name: a, rule: hot, message: {topic: room/7/telemetry, payload: {T: 30}}, expect: {match: true}",
                   "why:", "payload.t is absent (NULL); there are: T; did you mean T?")

    def test_rows__are_compared_exactly_but_for_the_order_of_members(self):
        self.passes("name: a, rule: hot, " + HOT + ", expect: {rows: [{t: 31.5, ts: '${any}', device: d7}]}")
        self.fails("name: a, rule: hot, message: {topic: room/1/telemetry, payload: '{\"t\":30.0}'}, "
                   "expect: {rows: [{t: 30, x: 1}]}",
                   "rows[0].t: expected 30, got 30.0", "rows[0].x: expected 1, got nothing",
                   'rows[0].device: expected nothing, got "sluice-test"')

    def test_actions__are_described_with_values_and_bytes(self):
        row = '{"device":"d7","t":31.5,"ts":1767225600000}'
        self.passes(f"""name: a, rule: hot, {HOT}, expect: {{actions: [
            {{connector: archive, type: sqlite, params: {{device: d7, t: 31.5}},
              bytes: 'INSERT INTO "readings" ("device", "t") VALUES (?, ?) -- "d7", 31.5'}},
            {{republish: {{topic: alerts/d7, qos: 1, retain: false, payload: '{row}', user_properties: {{rule: hot}}, message_expiry: 3600,
              correlation_data: '31.5'}}}},
            {{bytes: "{row.replace('"', chr(92) + '"')}\\n"}}, {{console: '{row}'}}]}}""")
        self.passes("name: a, rule: hot, " + HOT + ", expect: {actions: ['${any}', {republish: {payload: "
                    "{ts: 1767225600000, device: d7, t: 31.5}}}]}")
        self.fails("name: a, rule: hot, " + HOT + ", expect: {actions: [{params: {device: d7, t: '31.5'}}]}",
                   'actions[0].params.t: expected "31.5", got 31.5')

    def test_actions__a_request_is_answered_with_its_properties(self):
        self.passes("name: a, rule: answer, message: {topic: ask, response_topic: r/1, correlation_data: c9, user_properties: {k: v}}, "
                    "expect: {actions: [{republish: {topic: r/1, correlation_data: c9, user_properties: {k: v}, payload_format: 1}}]}")
        self.passes("name: a, rule: answer, message: {topic: ask, response_topic: 'r/#'}, expect: {actions: [{error: '${any}'}]}")

    def test_actions__a_row_that_an_action_cannot_use_is_its_error(self):
        self.passes("name: a, rule: hot, message: {topic: room/7/telemetry, payload: {t: 30}, clientid: a+b}, "
                    "expect: {match: true, actions: ['${any}', {error: '${any}'}]}")

    def test_messages__one_after_the_other(self):
        self.passes("""name: a, rule: each, messages: [
            {payload: {s: [{v: 1}, {v: 2}, {v: 3}]}, expect: {rows: [{v: 2}, {v: 3}]}},
            {payload: {s: []}, after: 2s, expect: {match: true, rows: []}}],
            expect: {rows: [{v: 2}, {v: 3}], actions: [[{republish: {topic: out/2}}, {republish: {topic: out/3}}]]}""")
        self.fails("name: a, rule: each, message: {payload: {s: [{v: 2}]}}, expect: {actions: [[]]}",
                   "actions[0]: expected 0 rows, got 1")

    def test_error__a_failing_run_is_no_match(self):
        broken = "rule: hot, message: {topic: room/7/telemetry, payload: '{'}"
        self.passes(f"name: a, {broken}, expect: {{error: not JSON}}")
        self.fails(f"name: a, {broken}, expect: {{match: false}}", "the run failed: line 3, column 7: the payload is not JSON")

    def test_matched__asks_all_rules_that_are_enabled(self):
        self.passes("name: a, message: {topic: room/7/telemetry, payload: {t: 31}}, expect: {matched: [hot]}",
                    "name: b, message: {topic: elsewhere}, expect: {matched: []}")

    def test_event__has_columns(self):
        path = self.write("t.yaml", """
rules: {seen: {sql: "SELECT clientid, keepalive, username FROM '$events/client/connected' WHERE keepalive > 10"}}
tests:
  - {name: a, message: {columns: {clientid: d7, keepalive: 60}}, expect: {rows: [{clientid: d7, keepalive: 60, username: null}]}}
  - {name: b, message: {event: $events/client/connected, columns: {keepalive: 6}}, expect: {match: where}}
  - {name: c, message: {event: $events/client/disconnected}, expect: {match: topic}}
""")
        done = run_program("test", path)
        self.assertEqual((done.returncode, done.stdout), (0, "3 passed, 0 failed\n"), done.stderr)
        self.refuses(suite("name: a, rule: each, message: {event: $events/client/conected}, expect: {match: topic}"), "event")
        self.refuses(suite("name: a, rule: each, message: {columns: {a: 1}}, expect: {match: topic}"), "name it with `event`")

    def test_payload__any_bytes(self):
        self.passes("name: a, rule: hot, message: {topic: room/7/telemetry, payload_base64: eyJ0IjozMH0=}, expect: {match: true}")

    def test_file__names_a_configuration_beside_it(self):
        (self.folder / "conf").mkdir()
        self.write("conf/rules.yaml", RULES)
        path = self.write("conf/t.yaml", "config: rules.yaml\ntests: [{name: a, rule: hot, " + HOT + ", expect: {match: true}}]")
        done = run_program("test", path, cwd="/")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_configuration__may_hold_its_tests(self):
        path = self.write("sluice.yaml", suite("name: a, rule: hot, " + HOT + ", expect: {match: true}").replace(
            "${NO_SUCH_VARIABLE}/${file:/no/such/file}", ".") + "node: {name: n}\nlog: {}\nmqtt: {}\nauth: {}\nadmin: {}\n")
        self.assertEqual(run_program("test", path).returncode, 0)
        done = run_program("check", "-c", path)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_example__of_the_factory_passes(self):
        done = run_program("test", str(ROOT / "examples/factory/rules_test.yaml"))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class Mistakes(Folder):
    def test_options__of_a_case(self):
        self.refuses(suite("name: a, ruel: hot, message: {}"), "tests[0].ruel: unknown option; did you mean `rule`?")
        self.refuses(suite("name: a, rule: hott, message: {}"), "tests[0].rule: there is no rule 'hott'; did you mean 'hot'?")
        self.refuses(suite("name: a, rule: hot, message: {}, expect: {match: true}"), "tests[0].message: has no topic")
        self.refuses(suite("name: a, rule: each, message: {}"), "tests[0]: expects nothing")
        self.refuses(suite("name: a, rule: each, message: {}, expect: {match: maybe}"), "true, false, topic or where")
        self.refuses(suite("name: a, message: {topic: a}, expect: {match: true}"), "name it with `rule`")
        self.refuses(suite("name: a, rule: each, expect: {match: true}"), "needs `message`")
        self.refuses("tests: [{name: a, message: {topic: a}, expect: {matched: []}}]", "says nothing of the rules")
        self.refuses(suite("name: a, rule: each, message: {}, expect: {actions: [{}, {}]}"), "more items than the rule has")

    def test_rules__are_checked_like_everywhere(self):
        self.refuses("rules: {a: {sql: SELECT payload.t FORM x}}\ntests: [{name: a, message: {topic: a}, expect: {matched: []}}]",
                     "t.yaml:1:", "rules.a.sql")
        self.refuses("config: nix.yaml\ntests: [{name: a, message: {topic: a}, expect: {matched: []}}]", "nix.yaml")

    def test_usage(self):
        self.assertEqual(run_program("test").returncode, 2)
        done = run_program("test", "--juint", "x", "f.yaml")
        self.assertEqual(done.returncode, 2)
        self.assertIn("did you mean --junit?", done.stderr)
        done = self.run_cases("name: a, rule: hot, " + HOT + ", expect: {match: true}", options=["--filter", "nothing"])
        self.assertEqual(done.returncode, 1)


class Junit(Folder):
    def test_junit__is_xml_whatever_the_texts_are(self):
        path = self.folder / "j.xml"
        done = self.run_cases('name: "<&\\"\\u0001>", rule: hot, ' + HOT + ", expect: {match: topic}",
                              "name: fine, rule: hot, " + HOT + ", expect: {match: true}", options=["--junit", str(path)])
        self.assertEqual(done.returncode, 1)
        root = xml.parse(path).getroot()
        self.assertEqual((root.tag, root.get("tests"), root.get("failures"), root.get("errors")), ("testsuites", "2", "1", "0"))
        bad, good = root[0].findall("testcase")
        self.assertEqual((bad.get("name"), bad.get("classname")), ('<&"\ufffd>', "hot"))
        self.assertIn("expected", bad.find("failure").get("message"))
        self.assertEqual({p.get("name") for p in good.find("properties")}, {"file", "line"})
        self.assertEqual(good.get("line"), bad.find("properties")[1].get("value").replace(bad.get("line"), good.get("line")))
        self.assertIsNone(good.find("failure"))

    def test_junit__a_file_that_cannot_be_run_is_an_error(self):
        path = self.folder / "j.xml"
        done = run_program("test", self.write("t.yaml", "tests: 1"), "--junit", str(path))
        self.assertEqual((done.returncode, xml.parse(path).getroot().get("errors")), (1, "1"))

    def test_junit__that_cannot_be_written(self):
        done = self.run_cases("name: a, rule: hot, " + HOT + ", expect: {match: true}", options=["--junit", "/no/such/folder/x"])
        self.assertEqual(done.returncode, 3)


class Why(Folder):
    def why(self, sql, *options):
        return run_program("sql", "--why", sql, *options)

    def test_times__end_with_the_year_9999(self):
        sql = "SELECT count(*) AS n FROM 'a' GROUP BY hopping('10s','5s')"
        for late in ("253402300800000", "9223372036854775807"):
            done = self.why(sql, "--timestamp", late, "--payload", "{}")
            self.assertEqual(done.returncode, 2)
            self.assertIn(f"the timestamp {late} is behind the year 9999; it is in ms since 1970\n", done.stderr)
        done = self.why(sql, "--timestamp", "253402300799999", "--payload", "{}")
        self.assertEqual(done.returncode, 0, done.stderr)
        path = self.write("late_test.yaml", "rules: {r: {sql: SELECT 1 AS x FROM 'a'}}\ntests:\n  - name: late\n    messages: "
                          "[{topic: a, timestamp: 9223372036854775807}, {topic: a, after: 1d}]\n    expect: {match: true}\n")
        done = run_program("test", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("late_test.yaml:4:38: tests[0].messages[0].timestamp: 9223372036854775807 is out of range", done.stdout + done.stderr)

    def test_why__names_the_level_that_differs(self):
        done = self.why("SELECT 1 AS x FROM 'a/+/c', 'b/#', 'a/b'", "--topic", "a/b/d")
        self.assertIn("'a/+/c' does not cover 'a/b/d': level 3 is 'd', not 'c'", done.stdout)
        self.assertIn("'b/#' does not cover 'a/b/d': level 1 is 'a', not 'b'", done.stdout)
        self.assertIn("the topic has more levels; the filter ends at level 2", done.stdout)

    def test_why__shows_conditions_with_values_and_marks_the_first_unmet(self):
        done = self.why("SELECT payload.t * 2 AS u FROM 'a' WHERE u > 50 AND payload.sate = 'x' AND payload.s > 3",
                        "--payload", '{"t":30,"state":"x","s":"hot"}')
        lines = done.stdout.splitlines()
        self.assertIn("WHERE    true   u > 50", lines)
        self.assertIn("u = 60", done.stdout)
        self.assertIn("         NULL   payload.sate = 'x'".replace("NULL ", "false"), done.stdout)
        self.assertIn("payload.sate is absent (NULL); there are: t, state, s; did you mean state?", done.stdout)
        self.assertIn('payload.s = "hot": a text that is no number', done.stdout)
        self.assertEqual(sum("rules the message out" in line for line in lines), 1)
        self.assertEqual(lines[-1], "RESULT   the rule does not match: WHERE is not met")

    def test_why__goes_behind_names_of_select_and_variables(self):
        done = self.why("SELECT payload.tmp AS temp FROM 'a' WHERE temp > 80", "--payload", '{"temp":90}')
        self.assertIn("temp is absent (NULL)\n", done.stdout)
        self.assertIn("payload.tmp is absent (NULL); there are: temp; did you mean temp?\n", done.stdout)
        done = self.why("SELECT payload.t AS t, lag(t) AS before, t > before AS up FROM 'a' WHERE up", "--payload", '{"t":1}')
        self.assertIn("lag(t) is absent (NULL)\n", done.stdout)
        done = self.why("SET @a = get(x, 0).v, @b = @a + 1 SELECT @a FROM 'a' WHERE @b > 3", "--dialect", "aws",
                        "--payload", '{"y":1}')
        self.assertIn("x is absent (Undefined); there are: y\n", done.stdout)

    def test_why__having_sees_one_message(self):
        sql = "SELECT count(*) AS n FROM 'a' GROUP BY tumbling('1s') HAVING n > 1"
        self.assertIn("gives no row: HAVING is not met, with this message alone\n", self.why(sql).stdout)
        self.assertIn("HAVING is not met", run_program("sql", sql).stderr)

    def test_why__says_where_the_payload_breaks(self):
        done = self.why("SELECT 1 AS x FROM 'a' WHERE payload.t > 1", "--payload", '{"t" 1}')
        self.assertEqual(done.returncode, 1)
        self.assertIn("PAYLOAD  not JSON, 7 bytes: breaks at byte 6", done.stdout)
        self.assertIn("<- the run fails here", done.stdout)

    def test_why__a_part_that_would_fail_does_not_decide_when_another_does(self):
        done = self.why("SELECT 1 AS x FROM 'a' WHERE upper(payload.s) = 'RUN' AND payload.t = 1", "--payload", '{"s":5,"t":2}')
        self.assertIn("fails  upper(payload.s) = 'RUN' fails: upper(): argument 1 must be text, got integer\n", done.stdout)
        self.assertIn("false  payload.t = 1   <- rules the message out", done.stdout)
        self.assertIn("RESULT   the rule does not match: WHERE is not met", done.stdout)
        done = self.why("SELECT 1 AS x FROM 'a' WHERE upper(payload.s) = 'RUN' AND payload.t = 1", "--payload", '{"s":5,"t":1}')
        self.assertIn("got integer   <- the run fails here", done.stdout)
        self.assertNotIn("rules the message out", done.stdout)

    def test_why__groups_are_what_the_engine_makes_of_them(self):
        done = self.why("SELECT 1 AS x FROM 'a' WHERE NOT (t = 1 OR u = 2)", "--dialect", "aws", "--payload", '{"u":3}')
        self.assertIn("WHERE    Undefined NOT:   <- rules the message out", done.stdout)
        done = self.why("SELECT 1 AS x FROM 'a' WHERE (upper(payload.s) = 'X' AND payload.t = 1) OR payload.u = 1",
                        "--payload", '{"s":5,"t":2,"u":2}')
        self.assertIn("WHERE    false  one of these:   <- rules the message out", done.stdout)

    def test_why__goes_through_the_elements(self):
        done = self.why("FOREACH payload.s AS e DO e.v AS v, e.v + 1 AS w INCASE w > 2 FROM 'a'",
                        "--payload", '{"s":[{"v":1},{"v":2}]}')
        self.assertIn("element 1: {\"v\":1}\nINCASE   false  w > 2\n                  w = 2\n", done.stdout)
        self.assertIn("element 2: {\"v\":2}\nINCASE   true   w > 2\n", done.stdout)
        self.assertIn('RESULT   it matches:\n{"v":2,"w":3}\n', done.stdout)


    def test_why__aws_shows_the_first_undefined(self):
        done = self.why("SET @m = get(measurements, 0) SELECT deviceId, get(tags, 0).x AS x FROM 'a' "
                        "WHERE @m.name = 'temperature' AND @m.quality = 'good'", "--dialect", "aws", "--payload",
                        '{"deviceId":"d","measurements":[{"name":"temperature","quality":"bad"}]}')
        self.assertIn("false  @m.quality = 'good'   <- rules the message out", done.stdout)
        done = self.why("SELECT deviceId, get(tags, 0).x AS x FROM 'a'", "--dialect", "aws", "--payload", '{"deviceId":"d"}')
        self.assertIn("SELECT   get(tags, 0).x is Undefined: the row is without it", done.stdout)
        self.assertIn("tags is absent (Undefined); there are: deviceId", done.stdout)

    def test_why__basic_ingest_is_about_what_follows_the_rule_s_name(self):
        aws = ("--dialect", "aws", "--payload", '{"v":4}', "--topic")
        done = self.why("SELECT v FROM 'p/#' WHERE v > 5", *aws, "$aws/rules/R/p/q")
        self.assertIn("FROM     'p/#' covers 'p/q'\n", done.stdout)
        self.assertIn("WHERE    false  v > 5   <- rules the message out", done.stdout)
        done = self.why("SELECT v FROM 'p/#'", *aws, "$aws/rules/R/q")
        self.assertIn("FROM     'p/#' does not cover 'q': level 1 is 'q', not 'p'\n", done.stdout)
        done = self.why("SELECT v, topic() AS t", *aws, "$aws/rules/R/q")
        self.assertIn("FROM     there is none: a topic that names the rule reaches it\n", done.stdout)
        self.assertIn('RESULT   it matches:\n{"v":4,"t":"q"}\n', done.stdout)
        done = self.why("SELECT v", *aws, "p/q")
        self.assertIn("FROM     there is none: only a topic that names the rule reaches it, $aws/rules/NAME/...\n", done.stdout)
        self.assertIn("RESULT   the rule does not match: it has no FROM, and the topic 'p/q' does not name it\n", done.stdout)
        done = self.why("SELECT v FROM 'p/#'", *aws, "$SYS/p")
        self.assertIn("does not cover '$SYS/p': level 1 is '$SYS', not 'p'\n", done.stdout)

    def test_why__aws_members_of_what_is_not_json_are_undefined(self):
        done = self.why("SELECT v FROM 'p' WHERE v > 5", "--dialect", "aws", "--payload", "raw")
        self.assertIn("PAYLOAD  not JSON, 3 bytes: breaks at byte 3: invalid token near 'raw'; its members are Undefined\n",
                      done.stdout)


class Rule(Folder):
    def test_rule__of_a_configuration_with_its_actions(self):
        path = self.write("sluice.yaml", RULES)
        done = run_program("sql", "--rule", "hot", "-c", path, "--actions", "--payload-file", "-", "--topic", "room/1/telemetry",
                           "--clientid", "d1", "--timestamp", "5", stdin='{"t":30}')
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(lines[0], '{"device":"d1","t":30,"ts":5}')
        self.assertEqual(len(lines), 5)
        self.assertTrue(lines[2].startswith('{"action":1,"republish":{"topic":"alerts/d1",'), lines[2])

    def test_rule__mistakes(self):
        path = self.write("sluice.yaml", RULES)
        done = run_program("sql", "--rule", "hto", "-c", path)
        self.assertEqual((done.returncode, done.stderr), (1, "sluice sql: there is no rule 'hto'; did you mean 'hot'?\n"))
        for wrong in (["--rule", "hot"], ["-c", path], ["SELECT 1 FROM 'a'", "--actions"],
                      ["SELECT 1 FROM 'a'", "--rule", "hot", "-c", path]):
            self.assertEqual(run_program("sql", *wrong).returncode, 2)


class Help(unittest.TestCase):
    def test_functions__all_some_and_one(self):
        self.assertGreater(len(run_program("help", "functions").stdout.splitlines()), 150)
        self.assertIn("  map_get(path, object", run_program("help", "functions", "MAP_*").stdout)
        self.assertEqual(run_program("help", "functions", "lower").stdout,
                         "lower(text)\n  In small letters.\n  Fails only for arguments of another kind.\n"
                         "  Example: lower('ÄB') gives \"äb\"\n")
        self.assertIn("  Never fails.\n", run_program("help", "functions", "is_null").stdout)

    def test_functions__an_example_is_a_statement_on_messages(self):
        self.assertEqual(run_program("help", "functions", "tumbling").stdout,
                         "tumbling('10s')\n  In GROUP BY: windows that follow each other.\n"
                         "  Fails when the rule is made, for a length below 100 ms, and for two windows in one statement.\n"
                         "  Example: SELECT window_start() AS began, count(*) AS n FROM 't' GROUP BY tumbling('10s')\n"
                         "    on     timestamp=1700000003000\n    on     timestamp=1700000009000\n"
                         "    on     timestamp=1700000010000\n"
                         "    gives  {\"began\":1700000000000,\"n\":2}\n    gives  {\"began\":1700000010000,\"n\":1}\n")
        self.assertIn("\n  Undefined for what did not come by MQTT.\n",
                      run_program("help", "functions", "traceid", "--dialect", "aws").stdout)

    def test_functions__of_a_family(self):
        time = run_program("help", "functions", "TIME").stdout
        self.assertTrue(time.startswith("Time\n  now_timestamp([unit])"), time)
        self.assertNotIn("\n\n", time)
        whole = run_program("help", "functions").stdout
        self.assertEqual({run_program("help", "functions", word).stdout.splitlines()[0] in whole.splitlines()
                          for word in ("window", "Windows", "regular expressions", "identifiers", "numbers")}, {True})
        self.assertIn("regexp_substr(", run_program("help", "functions", "regular", "--dialect", "aws").stdout)
        self.assertTrue(run_program("help", "functions", "jq").stdout.startswith("jq(program"), "a function comes first")

    def test_functions__unknown(self):
        done = run_program("help", "functions", "uper")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean upper?", done.stderr)
        done = run_program("help", "functions", "windws")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("there is no function and no family 'windws'; did you mean windows?", done.stderr)
        self.assertIn("windows belongs to the other dialect: --dialect standard",
                      run_program("help", "functions", "windows", "--dialect", "aws").stderr)
        self.assertEqual(run_program("help", "functions", "--dialect", "sql").returncode, 2)

    def test_pages__are_the_references(self):
        self.assertEqual(run_program("help", "rules").stdout, (ROOT / "rules/reference.md").read_text())
        self.assertIn(run_program("help", "connectors").stdout, (ROOT / "connectors/OPTIONS.md").read_text())

    def test_testing__is_printed_in_its_page(self):
        page, printed = ROOT / "rules/testing.md", run_program("help", "testing").stdout
        if os.environ.get("SLUICE_RENEW"):
            text = page.read_text(encoding="utf-8")
            page.write_text(text[:text.index("## A case\n")] + printed, encoding="utf-8")
        self.assertIn(printed, page.read_text(encoding="utf-8"))


class Memory(Folder):
    REMEMBERS = """
rules:
  sums:
    sql: SELECT payload.k AS k, count(*) AS n FROM "in" GROUP BY k, tumbling('10s')
    actions: [{republish: {topic: "out/${k}"}}]
  lags: {sql: SELECT lag(payload.v) AS x FROM "lag"}
tests:
  - name: a window gives its rows with the first message after it, open ones at the end
    rule: sums
    messages:
      - {topic: in, payload: {k: a}, expect: {rows: []}}
      - {topic: in, payload: {k: a}, after: 3s, expect: {rows: []}}
      - {topic: in, payload: {k: b}, after: 8s, expect: {rows: [{k: a, n: 2}]}}
    expect: {match: true, rows: [{k: a, n: 2}, {k: b, n: 1}]}
  - name: each case begins with no memory of others
    rule: lags
    messages: [{topic: lag, payload: {v: 1}}, {topic: lag, payload: {v: 2}}]
    expect: {rows: [{x: null}, {x: 1}]}
  - name: neither here
    rule: lags
    message: {topic: lag, payload: {v: 3}}
    expect: {rows: [{x: null}]}
"""

    def test_memory__lasts_as_long_as_a_case(self):
        done = run_program("test", self.write("t.yaml", self.REMEMBERS), cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (0, "3 passed, 0 failed\n"), done.stderr)


if __name__ == "__main__":
    unittest.main()
