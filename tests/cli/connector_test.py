"""`sluice connector`: one line says whether a connection of a configuration works, or why not."""
import contextlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import time
import unittest

from harness.broker import BIN, run_program, sanitizer_env, temp_folder

CONFIG = """\
connectors:
  good: {type: sqlite, path: ./good.db}
  wrong: {type: sqlite, path: /dev/null/a.db}
  nowhere: {type: "null"}
  silent: {type: postgres, url: "postgres://plant:s3cret@127.0.0.1:%(port)d/db", connect_timeout: 30s}
rules:
  r: {sql: 'SELECT payload.a AS a FROM "t"', actions: [{connector: good, table: never, columns: {a: "${a}"}}]}
"""


class Connector(unittest.TestCase):
    def setUp(self):
        self.listener = socket.socket()
        self.addCleanup(self.listener.close)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(8)
        self.folder = temp_folder()
        (self.folder / "a.yaml").write_text(CONFIG % {"port": self.listener.getsockname()[1]})

    def files(self):
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))

    def run_it(self, *words):
        return run_program("connector", *words, "-c", "a.yaml", cwd=self.folder)

    def test_connector__that_works_is_one_line(self):
        done = self.run_it("test", "good")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, "good: fine: sqlite, its file ./good.db can be made\n")
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.files(), ["a.yaml"])

    def test_connector__runs_no_rule_and_needs_no_data_folder(self):
        self.assertEqual(self.run_it("test", "nowhere").returncode, 0)
        self.assertEqual(self.files(), ["a.yaml"])

    def test_connector__that_does_not_work_says_why(self):
        done = self.run_it("test", "wrong")
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertEqual(done.stderr, "wrong: does not work: sqlite: cannot write in the folder /dev/null: Not a directory; "
                                      "a part of the path is a file; correct the path\n")

    def looks(self, settings, *words):
        (self.folder / "b.yaml").write_text(json.dumps({"connectors": {"x": settings}}))
        before = self.files()
        done = run_program("connector", "test", "x", "-c", "b.yaml", *words, cwd=self.folder)
        self.assertEqual(self.files(), sorted({*before, "b.yaml"}))
        self.assertEqual((done.stdout + done.stderr).count("\n"), 1, done)
        return done.returncode, done.stdout or done.stderr

    def test_connector__of_files_looks_at_the_folder_and_makes_nothing(self):
        (self.folder / "plain").write_text("x")
        (self.folder / "dir").mkdir()
        self.assertEqual(self.looks({"type": "file", "dir": "./dir"}), (0, "x: fine: file, its folder ./dir can be written\n"))
        self.assertEqual(self.looks({"type": "file", "dir": "new/a/b"}), (0, "x: fine: file, its folder new/a/b can be made\n"))
        for path in ("plain", "plain/a/b", "./plain/"):
            code, said = self.looks({"type": "file", "dir": path})
            self.assertEqual(code, 3, said)
            self.assertRegex(said, "^x: does not work: file: cannot write in the folder .*plain.*: Not a directory; .*correct the path")

    def test_connector__where_no_folder_can_be_made_says_so(self):
        for settings in ({"type": "sqlite", "path": "/proc/nowhere/x.db"}, {"type": "file", "dir": "/proc/nowhere/a"},
                         {"type": "sqlite", "path": "/proc/x.db"}):
            code, said = self.looks(settings)
            self.assertEqual(code, 3, said)
            self.assertRegex(said, f"^x: does not work: {settings['type']}: cannot write in the folder /proc.*; ")

    def test_connector__actions_that_do_not_fit_are_named(self):
        actions = [{"connector": "x", "table": "there", "columns": {"a": "${a}", "z": "${a}"}},
                   {"connector": "x", "table": "there", "columns": {"a": "${a}"}},
                   {"connector": "x", "table": "made_later", "columns": {"a": "${a}"}},
                   {"connector": "x", "table": "missing", "create": False, "columns": {"a": "${a}"}},
                   {"connector": "x", "sql": "UPDATE there SET a = ${a} WHERE b = 1"}]
        rules = {"r": {"sql": 'SELECT 1 AS a FROM "t"', "actions": actions}}
        (self.folder / "b.yaml").write_text(json.dumps({"connectors": {"x": {"type": "sqlite", "path": "./b.db"}}, "rules": rules}))
        for there in (False, True):
            if there:
                with contextlib.closing(sqlite3.connect(self.folder / "b.db")) as db, db:
                    db.execute("PRAGMA journal_mode=WAL")
                    db.execute("CREATE TABLE there (a)")
            before = self.files()
            done = run_program("connector", "test", "x", "-c", "b.yaml", cwd=self.folder)
            self.assertEqual(self.files(), before)
            self.assertEqual(done.returncode, 3, done)
            self.assertEqual(done.stdout, "")
            verdict, stderr = done.stderr.split("\n", 1)  # above what is wrong, and "fine" is not said
            self.assertTrue(verdict.startswith("x: not all will work: sqlite, its file ./b.db can be"), verdict)
            missing = "x: action r.3: no such table: missing; create it, or correct the action\n"
            if there:
                self.assertEqual(stderr, "x: action r.0: table there has no column named z; create it, or correct the action\n" + missing +
                                 "x: action r.4: no such column: b; create it, or correct the action\n")
            else:
                self.assertEqual(stderr, missing + "x: action r.4: no such table: there; create it, or correct the action\n")

    def test_connector__actions_and_sources_with_mistakes_are_named(self):
        """What `sluice check` refuses is not fine here. Those of other connectors are none of ours."""
        def columns(value, **more):
            return {"connector": "x", "table": "t", "columns": {"a": value}, **more}
        good, noise = columns("${a}"), {"connector": "nowhere", "messages": 10}
        mistakes = {
            'rules."r.1".actions[1].tabel': {"connector": "x", "tabel": "t", "columns": {"a": "${a}"}},
            'rules."r.1".actions[1].columns.a': columns("${machne}"),
            'rules."r.1".actions[1].on_conflict': columns("${a}", on_conflict="ignroe"),
            'rules."r.1".actions[1]: sql: ${a} at 1:19 stands in quotes': {"connector": "x", "sql": "UPDATE t SET a = '${a}'"},
        }
        for place, action in mistakes.items():
            rules = {"r.1": {"sql": 'SELECT payload.a AS a FROM "t"', "actions": [good, action]},
                     "other": {"sql": 'SELCT 1 FROM "t"', "actions": [{"connector": "nowhere"}]}}
            config = {"connectors": {"x": {"type": "sqlite", "path": "./b.db"}, "nowhere": {"type": "null"}, "calm": {"type": "null"}},
                      "sources": {"s": {**noise, "mesages": 1}}, "rules": rules}
            (self.folder / "b.yaml").write_text(json.dumps(config))
            with self.subTest(place):
                done = run_program("connector", "test", "x", "calm", "-c", "b.yaml", cwd=self.folder)
                self.assertEqual(done.returncode, 1, done)
                self.assertRegex(done.stdout, "^calm: fine: null, connected in [0-9]+ ms\\n$")
                verdict, *faults = done.stderr.splitlines()
                self.assertEqual(verdict, "x: not all will work: sqlite, its file ./b.db can be made")
                self.assertEqual(len(faults), 1, done)
                self.assertRegex(faults[0], "^x: b.yaml:1:[0-9]+: ")
                self.assertIn(place, faults[0])
        done = run_program("connector", "test", "nowhere", "-c", "b.yaml", cwd=self.folder)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stderr, "^nowhere: not all will work: (?s:.*)\nnowhere: b.yaml:1:.*sources.s.mesages.*\nnowhere: b.yaml:1:.*rules.other.sql")

    def test_connector__actions_and_sources_of_one_that_is_not_there_are_named(self):
        """Nobody's they would be, and so never be seen: a connector's name may be what is misspelt."""
        text = ('connectors: {x: {type: "null"}, calm: {type: "null"}}\nsources:\n  s: {connector: y, messages: 1}\nrules:\n'
                '  r.1: {sql: \'SELECT 1 AS a FROM "t"\', actions: [{connector: x}, {connector: xx}, {console: {}}]}\n'
                '  q: {sql: \'SELECT 1 AS a FROM "t"\', actions: [{conector: x}]}\n')
        (self.folder / "b.yaml").write_text(text)
        done = run_program("connector", "test", "x", "calm", "-c", "b.yaml", cwd=self.folder)
        self.assertEqual(done.returncode, 1, done)
        self.assertRegex(done.stdout, "^x: fine: null, [^\n]*\ncalm: fine: null, [^\n]*\n$")
        checked = run_program("check", "-c", "b.yaml", cwd=self.folder).stderr.splitlines()
        self.assertEqual(len(checked), 3, checked)
        for said in ("b.yaml:3:18: sources.s.connector: there is no connector `y`", 'b.yaml:5:78: rules."r.1".actions[1].connector: there is no '
                     "connector `xx`, did you mean `x`?; configured are: ", "rules.q.actions[0]"):
            self.assertTrue(any(said in line for line in checked), (said, checked))
        self.assertEqual(done.stderr.splitlines(), ["sluice connector: " + line for line in checked])

    def test_connector__all_that_are_named_are_tried(self):
        done = self.run_it("test", "wrong", "good", "wrong", "nowhere")
        self.assertEqual(done.returncode, 3, done)
        self.assertEqual([line.split(":")[0] for line in done.stdout.splitlines()], ["good", "nowhere"])
        self.assertEqual([line.split(":")[0] for line in done.stderr.splitlines()], ["wrong"])
        done = self.run_it("test", "nope", "good")
        self.assertEqual((done.returncode, done.stdout.count("good: fine")), (1, 1), done)
        self.assertIn("has no connector 'nope'; it has: good, wrong, nowhere, silent", done.stderr)
        done = self.run_it("test", "silent", "good", "--timeout", "1")
        self.assertEqual((done.returncode, done.stdout.count("good: fine")), (3, 1), done)
        self.assertIn("silent: does not work: postgres: no answer within 1 s", done.stderr)

    def test_connector__of_mongodb_refuses_options_of_a_url_that_do_not_count(self):
        """The client library only warns: a typo would mean no TLS."""
        cases = {
            "127.0.0.1:9/?tsl=true&authSuorce=admin&w=1": "option `tsl` (did you mean `tls`?), `authSuorce` (did you mean `authsource`?)",
            "127.0.0.1:9/db?tls=false&nonsenseOfMine=1": "option `nonsenseOfMine`\n",
            "127.0.0.1:9/db?retryWritess=false": "option `retryWritess` (did you mean `retrywrites`?)",
            "127.0.0.1:9/db?S3cret=a@b": "option `(not shown",
            "127.0.0.1:9/db?tlsCertificateKeyFilePassword=a&S3cret=b": "option `(not shown",
        }
        for url, said in cases.items():
            (self.folder / "b.yaml").write_text(json.dumps({"connectors": {"x": {"type": "mongodb", "url": "mongodb://" + url}}}))
            for words in (("connector", "test", "x"), ("check",)):
                with self.subTest(url=url, words=words):
                    done = run_program(*words, "-c", "b.yaml", cwd=self.folder)
                    self.assertEqual(done.returncode, 1, done)
                    self.assertIn(said, done.stderr)
                    self.assertNotIn("S3cret", done.stderr)
        known = ("authSource=a&AUTHMECHANISM=PLAIN&maxPoolSize=3&readPreference=secondary&readPreferenceTags=dc:ny&appName=a@b"
                 "&compressors=zlib&retryWrites=false&w=majority&wtimeoutMS=5&journal=true&ssl=false&heartbeatFrequencyMS=900")
        (self.folder / "b.yaml").write_text(json.dumps({"connectors": {
            "x": {"type": "mongodb", "url": "mongodb://u:p%3Fq@127.0.0.1:9/db?" + known}}}))
        self.assertEqual(run_program("check", "-c", "b.yaml", cwd=self.folder).returncode, 0)

    def test_connector__of_postgres_at_another_servers_port_says_so(self):
        port = self.listener.getsockname()[1]  # takes connections, as Redis and Kafka do, and waits for more
        code, said = self.looks({"type": "postgres", "url": f"postgres://u@127.0.0.1:{port}/db", "connect_timeout": "300ms"}, "--timeout", "60")
        self.assertEqual(code, 3, said)
        self.assertIn(f"127.0.0.1:{port} takes connections, but did not answer as PostgreSQL does", said)

    def test_connector__url_with_a_bare_at_in_its_password_is_refused_unshown(self):
        for scheme in ("postgres", "postgresql", "mongodb"):
            kind = "postgres" if scheme == "postgresql" else scheme
            for login in ("u:S3cret@Tail/x", "u:S3cret@Tail", "u:S3/cret@Tail", "u:5/cret@Tail", "u:S3?cret@Tail/x", "S3cret@Tail/x"):
                (self.folder / "b.yaml").write_text(json.dumps({"connectors": {"x": {"type": kind, "url": f"{scheme}://{login}@127.0.0.1/db"}}}))
                with self.subTest(scheme=scheme, login=login):
                    done = run_program("connector", "test", "x", "-c", "b.yaml", "--timeout", "2", cwd=self.folder)
                    said = done.stdout + done.stderr
                    self.assertEqual(done.returncode, 1, said)
                    self.assertNotRegex(said, "Tail|cret")
                    self.assertRegex(said, "%40|%2F")
        for url in ("postgres://u:p%40q%2Fr@127.0.0.1:9/db?application_name=a@b", "host=127.0.0.1 port=9 user=u password=x://y@z@w"):
            code, said = self.looks({"type": "postgres", "url": url}, "--timeout", "20")
            self.assertEqual(code, 3, said)
            self.assertIn("refused; is the server running", said)

    def test_connector__of_sqlite_looks_at_the_file_and_makes_nothing(self):
        (self.folder / "plain").write_text("no database at all")
        (self.folder / "dir").mkdir()
        for mode in ("wal", "delete"):
            with contextlib.closing(sqlite3.connect(self.folder / f"{mode}.db")) as db:
                db.execute(f"PRAGMA journal_mode={mode}")
                db.execute("CREATE TABLE t(a)")
            self.assertEqual(self.looks({"type": "sqlite", "path": f"./{mode}.db"}),
                             (0, f"x: fine: sqlite, its file ./{mode}.db can be written\n"))
        for path, why in (("plain", "not a database.*another kind of file"), ("dir", "unable to open.*check the path"),
                          ("plain/a.db", "Not a directory.*correct the path"), ("plain/b/a.db", "Not a directory")):
            code, said = self.looks({"type": "sqlite", "path": path})
            self.assertEqual(code, 3, said)
            self.assertRegex(said, f"^x: does not work: sqlite: cannot write .*{why}")
        with contextlib.closing(sqlite3.connect(self.folder / "delete.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            self.assertRegex(self.looks({"type": "sqlite", "path": "delete.db"})[1], "locked; another program writes to it")

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "nobody here whom rights would bind")
    def test_connector__without_rights_says_so(self):
        (self.folder / "theirs").mkdir()
        (self.folder / "theirs/a.db").write_text("")
        (self.folder / "theirs/a.db").chmod(0o444)
        (self.folder / "theirs").chmod(0o555)
        (self.folder / "c.yaml").write_text(json.dumps({"connectors": {
            "files": {"type": "file", "dir": "theirs"}, "deep": {"type": "file", "dir": "theirs/a/b"},
            "made": {"type": "sqlite", "path": "theirs/b.db"}, "there": {"type": "sqlite", "path": "theirs/a.db"}}}))
        self.folder.chmod(0o755)
        words = [BIN, "connector", "test", "-c", "c.yaml"]
        if os.geteuid() == 0:  # whom rights do not bind
            words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *words]
        for name, where in (("files", "theirs"), ("deep", "theirs/a/b, to be made in theirs"), ("made", "theirs"), ("there", "theirs")):
            done = subprocess.run([*words, name], cwd=self.folder, env=sanitizer_env(), text=True, capture_output=True, check=False)
            self.assertEqual(done.returncode, 3, done)
            self.assertIn(f"cannot write in the folder {where}: Permission denied; give the broker's user the right to write "
                          "there\n", done.stderr)

    def test_connector__whose_server_is_silent_ends_at_the_deadline(self):
        began = time.monotonic()
        done = self.run_it("test", "silent", "--timeout", "1")
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertLess(time.monotonic() - began, 25)  # connect_timeout is 30 s
        self.assertIn("no answer within 1 s", done.stderr)
        self.assertNotIn("s3cret", done.stdout + done.stderr)

    def test_connector__that_is_not_there_is_told_with_those_that_are(self):
        done = self.run_it("test", "godo")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no connector 'godo'; it has: good, wrong, nowhere, silent", done.stderr)

    def test_connector__of_mongodb_takes_its_database_from_the_url(self):
        for url, option, database in (("mongodb://h/iot?replicaSet=a", {}, "iot"), ("mongodb://h/admin", {"database": "iot"}, "iot")):
            (self.folder / "a.yaml").write_text(json.dumps({"connectors": {"docs": {"type": "mongodb", "url": url, **option}}}))
            self.assertIn(f"database={database}", self.run_it("list").stdout)

    def test_connector__list_masks_secrets(self):
        done = self.run_it("list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("good type=sqlite path=./good.db", done.stdout)
        self.assertIn("plant:***@", done.stdout)
        self.assertNotIn("s3cret", done.stdout)

    def test_connector__wrong_use_says_what_would_be_right(self):
        for words in ([], ["test"], ["nonsense"], ["test", "good", "--timeout", "0"]):
            done = self.run_it(*words)
            self.assertEqual(done.returncode, 2, words)
            self.assertIn("sluice connector", done.stderr)

    def test_connector__a_configuration_with_mistakes_is_refused(self):
        (self.folder / "a.yaml").write_text("connectors: {x: {type: sqlite, pth: a}}\n")
        done = self.run_it("test", "x")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a.yaml:1:", done.stderr)


if __name__ == "__main__":
    unittest.main()
