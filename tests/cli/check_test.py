"""`sluice check`: every mistake is named with file, line, column, what was expected and the nearest spelling."""
import re
import unittest

from harness.broker import ROOT, run_program, temp_folder

GOOD = """\
node: {name: a, data_dir: ./data}
listeners:
  - {name: mqtt, type: tcp, bind: "127.0.0.1:18830"}
connectors:
  archive: {type: sqlite, path: ./archive.db}
rules:
  hot:
    sql: |
      SELECT clientid AS device, payload.t AS t
      FROM "room/+/telemetry"
      WHERE payload.t > 28
    actions:
      - {connector: archive, table: readings, columns: {device: "${device}", t: "${t}"}, batch: {linger: 5ms}}
"""


class Check(unittest.TestCase):
    def check(self, text):
        path = temp_folder() / "a.yaml"
        path.write_text(text)
        return run_program("check", "-c", str(path), cwd=path.parent)

    def refused(self, old, new, line, column, *words):
        """GOOD with `old` replaced is refused at this place; the message holds these words."""
        self.assertIn(old, GOOD)
        done = self.check(GOOD.replace(old, new, 1))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        places = re.findall(r"a\.yaml:(\d+):(\d+)", done.stderr)
        self.assertIn((str(line), str(column)), places, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_check__a_source_that_is_missing_is_shown_as_its_kind_writes_it(self):
        for kind, example in (("kafka", "{connector: lake, topics: [...]}"), ("redis", "{connector: cache, streams: [...]}"),
                              ("postgres", "{connector: db, query: SELECT ..., ack: DELETE ...}")):
            done = self.check(GOOD.replace('"room/+/telemetry"', f'"$sources/{kind}:outbox"').replace("clientid", "key"))
            self.assertEqual(done.returncode, 1)
            self.assertIn(f"`outbox: {example}`", done.stderr)

    def test_check__good_file_is_fine(self):
        done = self.check(GOOD)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_check__quickstart_configuration_is_fine(self):
        done = run_program("check", "-c", "conf/sluice.yaml", cwd=ROOT)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_check__says_what_waiting_rows_may_take(self):
        path = temp_folder() / "a.yaml"
        path.write_text(GOOD)
        done = run_program("check", "-v", "-c", str(path), cwd=path.parent)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("rows that wait, at most: memory 64 MB (1 action 64 MB, node.buffer_memory 256 MB); disk 1 GB in ./data,",
                      done.stdout)

    def test_check__says_which_keys_a_ttl_does_not_reach(self):
        def said(action):
            return self.check("connectors: {x: {type: redis, url: 'redis://h'}}\nrules: {r: {sql: 'SELECT 1 AS a FROM \"t\"', "
                              "actions: [{connector: x, %s}]}}\n" % action)

        for action, stays in (
                ("commands: [[SET, 'a:${a}', 1], [INCR, n], [PUBLISH, c, 1], [LPUSH, 'l:${a}', 1]], ttl: 1h", "n (INCR), l:${a} (LPUSH)"),
                ("commands: [[HSET, 'a:${a}', f, 1], [EVAL, s, 1, k], [EVAL, s, 0]], ttl: 1h, transaction: true", "k (EVAL)")):
            done = said(action)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stderr, rf'WARN .*`ttl` is for the first command.s key alone action=r\.0 stays="{re.escape(stays)}"')
        for action in ("commands: [[SET, 'a:${a}', 1], [INCR, n]]", "command: [SET, 'a:${a}', 1], ttl: 1h",
                       "stream: {key: s}, ttl: 1h", "commands: [[SADD, 'a:${a}', 1], [SREM, 'a:${a}', 2]], ttl: 1h",
                       "commands: [[SET, a, 1], [LPUSH, l, 1], [EXPIRE, l, 60], [DEL, m], [SET, k, 1, ex, 60]], ttl: 1h"):
            done = said(action)
            self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_check__says_what_the_count_of_rows_bounds(self):
        path = temp_folder() / "a.yaml"
        action = "{connector: x, value: '${a}', buffer: {rows: %s}}"
        path.write_text("connectors: {x: {type: 'null'}}\nrules: {r: {sql: 'SELECT 1 AS a FROM \"t\"', actions: [%s, %s]}}\n" %
                        (action % 500, action % 700))
        said = run_program("check", "-v", "-c", str(path), cwd=path.parent).stdout
        self.assertIn("disk 2 GB", said)
        self.assertIn("; rows 1200 (buffer.rows)", said)
        path.write_text(path.read_text().replace("500", "unlimited"))
        self.assertIn("; rows 700 (buffer.rows, of 1 action of 2)",
                      run_program("check", "-v", "-c", str(path), cwd=path.parent).stdout)

    def test_check__starts_nothing(self):
        folder = temp_folder()
        (folder / "a.yaml").write_text(GOOD)
        run_program("check", "-c", "a.yaml", cwd=folder)
        self.assertEqual([p.name for p in folder.iterdir()], ["a.yaml"])

    def test_check__aws_rules_whose_patterns_mean_something_else_are_told(self):
        done = self.check("""
rules:
  a:
    dialect: aws
    sql: SELECT a FROM 't' WHERE regexp_matches(a, '(')
    actions: [{console: {}}]
  b:
    dialect: aws
    sql: SELECT regexp_substr(a, '[a-z&&[^b]]+') AS x FROM 't'
    actions: [{console: {}}]
""")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("1:25: regexp_matches() is always Undefined: this is no regular expression: missing closing parenthesis",
                      done.stderr)
        self.assertIn("1:8: && within [ ] is not Java's intersection here; write (?=[^b])[a-z] for [a-z&&[^b]]", done.stderr)

    def binds(self, *binds, admin="{enabled: false}"):
        """What is said of listeners a, b, ... on these addresses, line by line: a stands on line 3."""
        listeners = "".join(f'  - name: {"abcdef"[i]}\n    bind: "{bind}"\n' for i, bind in enumerate(binds))
        done = self.check(f"auth: {{anonymous: true}}\nlisteners:\n{listeners}admin: {admin}\n")
        self.assertEqual(done.returncode, 1 if done.stderr else 0)
        return [line[line.index("a.yaml"):] for line in done.stderr.splitlines()]

    def test_bind__two_listeners_on_one_address(self):
        for one, other in (("127.0.0.1:18830", "127.0.0.1:18830"), (":18830", "*:18830"), ("[::1]:18830", "[0::1]:18830"),
                           ("localhost:18830", "LocalHost:18830")):
            said, = self.binds(one, other)
            self.assertRegex(said, r"^a\.yaml:6:11: listeners\[1\]\.bind: listener b cannot listen on " + re.escape(other) + ": listener a does, on "
                             + re.escape(one) + r" \(\S*a\.yaml:4:11\); remove one of them, or choose another port for it")

    def test_bind__an_address_that_another_listener_holds(self):
        for one, other in (("0.0.0.0:18830", "127.0.0.1:18830"), ("[::]:18830", "[::1]:18830"), (":18830", "127.0.0.1:18830"),
                           ("*:18830", "[::1]:18830"), ("*:18830", "0.0.0.0:18830"), ("*:18830", "localhost:18830")):
            for binds, wide in (((one, other), "a"), ((other, one), "b")):
                said, = self.binds(*binds)
                self.assertIn(f"listener b cannot listen on {binds[1]}: listener a does, on {binds[0]} (", said)
                self.assertIn(f"; remove listener {'ba'['ab'.index(wide)]}, for {one} is all", said)
                self.assertIn(" addresses, or choose another port for it", said)

    def test_bind__addresses_that_go_together(self):
        self.assertEqual(self.binds("127.0.0.1:18830", "127.0.0.2:18830", "[::1]:18830", "127.0.0.1:18831"), [])
        self.assertEqual(self.binds("0.0.0.0:18830", "[::]:18830", admin="{bind: '127.0.0.1:18083'}"), [])
        self.assertEqual(self.binds("127.0.0.1:0", "127.0.0.1:0", admin="{bind: '127.0.0.1:0'}"), [])
        self.assertEqual(self.binds("127.0.0.1:18830", admin="{enabled: false, bind: '127.0.0.1:18830'}"), [])

    def test_bind__the_status_pages_on_a_listeners_address(self):
        for listener, admin in (("127.0.0.1:18830", "127.0.0.1:18830"), ("0.0.0.0:18830", "127.0.0.1:18830"), ("127.0.0.1:18830", ":18830"),
                                ("127.0.0.1:18830", "[::]:18830"), ("*:18830", "[::1]:18830")):
            said, = self.binds("127.0.0.1:18831", listener, admin=f'{{bind: "{admin}"}}')
            self.assertRegex(said, r"^a\.yaml:7:15: admin\.bind: the status pages cannot listen on " + re.escape(admin) + ": listener b does, on "
                             + re.escape(listener) + r"[^;]* \(\S*a\.yaml:6:11\); choose another port for one of them")

    def test_bind__a_listener_on_the_status_pages_default(self):
        said, = self.binds("0.0.0.0:18083", admin="{}")
        self.assertRegex(said, r"^a\.yaml:4:11: listeners\[0\]\.bind: listener a cannot listen on 0\.0\.0\.0:18083: the status pages do, on "
                               r"127\.0\.0\.1:18083 \(their default\); choose another port for one of them")
        done = self.check("admin: {bind: ':1883'}\n")
        self.assertRegex(done.stderr, r"a\.yaml:1:15: admin\.bind: the status pages cannot listen on :1883: listener mqtt does, on "
                                      r"127\.0\.0\.1:1883 \(its default\); ")

    def test_bind__three_on_one_are_two_mistakes(self):
        self.assertEqual(len(self.binds("127.0.0.1:18830", "127.0.0.1:18830", "0.0.0.0:18830")), 2)

    def test_bind__the_status_pages_take_no_names(self):
        for bind in ("localhost:18083", "*:18083"):
            said, = self.binds("127.0.0.1:18830", admin=f'{{bind: "{bind}"}}')
            self.assertRegex(said, r"^a\.yaml:5:15: admin\.bind: '.*' is no IP address")

    def test_unknown_key__at_the_top(self):
        self.refused("listeners:", "listners:", 2, 1, "listners", "listeners")

    def test_unknown_key__in_a_section(self):
        self.refused("data_dir", "data_dri", 1, 17, "data_dri", "data_dir")

    def test_unknown_key__of_a_connector(self):
        self.refused("path: ./archive.db", "pth: ./archive.db", 5, 27, "pth", "path")

    def test_unknown_key__of_an_action(self):
        self.refused("linger", "lingr", 13, 98, "lingr", "linger")

    def test_wrong_unit__of_a_duration(self):
        self.refused("5ms", "5mb", 13, 106, "5mb", "5ms")

    def test_wrong_unit__duration_without_unit(self):
        self.refused("5ms", "5", 13, 106, "for example 5ms")

    def test_wrong_type__of_a_port(self):
        self.refused('"127.0.0.1:18830"', '"127.0.0.1:port"', 3, 35, "bind")

    def test_unknown_connector_type__names_the_nearest(self):
        self.refused("type: sqlite", "type: sqlit", 5, 19, "sqlit", "sqlite")

    def test_unknown_connector__in_an_action_names_the_nearest(self):
        self.refused("connector: archive", "connector: archiv", 13, 21, "archiv", "archive")

    def test_sql__syntax_error_is_placed_in_the_file(self):
        self.refused('FROM "room/+/telemetry"', 'FORM "room/+/telemetry"', 10, 7, "expected")

    def test_sql__error_at_the_start_of_the_text(self):
        self.refused("SELECT clientid", "SELEKT clientid", 9, 7, "SELECT")

    def test_sql__unknown_column_names_the_nearest(self):
        self.refused("clientid AS device", "clientd AS device", 9, 14, "clientd", "clientid")

    def test_sql__unknown_function_names_the_nearest(self):
        self.refused("payload.t > 28", "flor(payload.t) > 28", 11, 13, "flor", "floor")

    def test_sql__invalid_filter_in_from(self):
        self.refused("room/+/telemetry", "room/+x/telemetry", 10, 12, "+")

    def test_template__unknown_column_is_refused(self):
        self.refused('"${device}"', '"${devise}"', 13, 68, "devise", "device")

    def test_yaml__mistake_in_the_syntax_is_placed(self):
        done = self.check(GOOD + "  - broken: [1, 2\n")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"a\.yaml:\d+:\d+")

    def test_yaml__key_twice_is_refused(self):
        done = self.check(GOOD + "node: {name: b}\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("node", done.stderr)

    def test_check__several_mistakes_are_all_told(self):
        done = self.check(GOOD.replace("data_dir", "data_dri").replace("5ms", "5mb").replace("clientid", "clientd"))
        self.assertEqual(done.returncode, 1)
        for word in ("data_dri", "5mb", "clientd"):
            self.assertIn(word, done.stderr)

    def test_check__mistakes_of_actions_and_sources_are_told_beside_those_of_their_connector(self):
        done = self.check("""\
connectors:
  lake: {type: kafka, brokers: "127.0.0.1:1", acsk: all}
  pg: {type: postgres, url: "postgres://127.0.0.1:1/db", port: 5}
  docs: {type: mongodb, database: iot}
  cache: {type: redis}
sources:
  orders: {connector: lake, topcis: [a]}
rules:
  r:
    sql: SELECT clientid AS device FROM "t"
    actions:
      - {connector: lake, topic: "a.${devise}"}
      - {connector: pg, table: x}
      - {connector: pg, table: x, colums: {a: "${device}"}}
      - {connector: docs, collection: c, operation: update}
      - {connector: docs, collection: c, document: {a: "${devlce}"}}
      - {connector: cache, command: [SET, a, "${devize}"]}
      - {connector: cache, command: [SET, a, "${device}"], batch: {lingr: 5ms}}
      - {connector: cache, command: [SET, a, "${device}"], expire: 10m}
""")
        self.assertEqual(done.returncode, 1)
        for word in ("acsk", "connectors.pg.port", "connectors.docs", "connectors.cache", "topcis", "devise",
                     "`table` needs `columns`", "colums", "needs a `filter`", "devlce", "devize", "lingr", "write `ttl`"):
            self.assertIn(word, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 13, done.stderr)

    def test_check__a_type_of_a_field_that_is_not_there_is_named(self):
        done = self.check("""\
connectors: {docs: {type: mongodb, url: "mongodb://127.0.0.1:1/", database: iot}}
rules:
  r:
    sql: SELECT payload.t AS t FROM "t"
    actions:
      - {connector: docs, collection: c, document: {at: "${t}"}, types: {at: date}}
      - {connector: docs, collection: c, document: {at: "${t}"}, types: {ta: date}}
""")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"^\S*:7:\d+: rules\.r\.actions\[1\]: `types\.ta`: there is no such field in `document`; correct")
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)

    def test_check__source_of_another_type_is_named(self):
        done = self.check("""\
connectors: {db: {type: postgres, url: "postgres://127.0.0.1:1/db"}}
sources: {outbox: {connector: db, query: "SELECT id FROM t ORDER BY id LIMIT ${limit}", ack: "DELETE FROM t WHERE id = ANY(${cursors})"}}
rules: {r: {sql: 'SELECT key AS k FROM "$sources/kafka:outbox"', actions: [{console: {}}]}}
""")
        self.assertEqual(done.returncode, 1)
        self.assertIn("did you mean '$sources/postgres:outbox'?", done.stderr)

    def test_check__missing_file_says_so(self):
        done = run_program("check", "-c", "nowhere.yaml")
        self.assertIn(done.returncode, (1, 3))
        self.assertIn("nowhere.yaml", done.stderr)

    def test_check__link_of_a_listener_that_is_not_there(self):
        """Nobody would be asked about anywhere, and everybody refused."""
        folder = temp_folder()
        (folder / "a.yaml").write_text("auth:\n  chain:\n    - {type: cert, listeners: [mqqt]}\n"
                                       "listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\n")
        done = run_program("check", "-c", "a.yaml", cwd=folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn('a.yaml:3:31: auth.chain[0].listeners: there is no listener "mqqt", did you mean `mqtt`?', done.stderr)

    def test_check__missing_password_file_is_named(self):
        folder = temp_folder()
        (folder / "a.yaml").write_text("auth: {password_file: nobody.pw}\nlisteners: [{name: mqtt, bind: '127.0.0.1:0'}]\n"
                                       "admin: {enabled: false}\n")
        for command, code in (("check", 1), ("run", 3)):
            done = run_program(command, "-c", "a.yaml", cwd=folder)
            self.assertEqual(done.returncode, code)
            self.assertIn("nobody.pw: the password file cannot be read", done.stderr)

    def test_check__environment_variable_that_is_not_set_is_named(self):
        done = self.check(GOOD.replace("./archive.db", '"${SLUICE_NO_SUCH_VARIABLE}"'))
        self.assertEqual(done.returncode, 1)
        self.assertIn("SLUICE_NO_SUCH_VARIABLE", done.stderr)

    def test_run__bad_file_starts_nothing(self):
        folder = temp_folder()
        (folder / "a.yaml").write_text(GOOD.replace("clientid", "clientd"))
        done = run_program("run", "-c", "a.yaml", cwd=folder, timeout=180)
        self.assertEqual(done.returncode, 1)
        self.assertIn("a.yaml:9:14", done.stderr)
        self.assertFalse((folder / "data").exists())
