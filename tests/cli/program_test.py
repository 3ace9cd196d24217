"""The other commands: help, usage errors, passwd, sql, pub and sub."""
import json
import subprocess
import unittest

from harness.broker import BIN, Broker, run_program, sanitizer_env, temp_folder, wait_until

COMMANDS = ("run", "check", "sql", "passwd", "pub", "sub", "bench", "help")


class Program(unittest.TestCase):
    def test_help__names_every_command(self):
        done = run_program("help")
        self.assertEqual(done.returncode, 0)
        for command in COMMANDS:
            self.assertIn(command, done.stdout)

    def test_help__of_each_command_shows_its_usage(self):
        for command in COMMANDS:
            with self.subTest(command=command):
                done = run_program("help", command)
                self.assertEqual(done.returncode, 0)
                self.assertIn("usage: sluice " + command, done.stdout)

    def test_version__is_one_line(self):
        done = run_program("--version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^sluice \d+\.\d+\.\d+\n$")

    def test_usage__nothing_at_all_is_an_error(self):
        self.assertEqual(run_program().returncode, 2)

    def test_usage__unknown_command_names_the_nearest(self):
        done = run_program("chek")
        self.assertEqual(done.returncode, 2)
        self.assertIn("check", done.stderr)

    def test_usage__unknown_option_of_each_command(self):
        for command in COMMANDS[:-1]:
            with self.subTest(command=command):
                done = run_program(command, "--no-such-option")
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn("no-such-option", done.stderr)

    def test_usage__an_argument_too_many_is_refused(self):
        """Taking only the last one would be silent about the other."""
        for args in (("replay", "-c", "no.yaml", "one", "two"), ("replay", "-c", "no.yaml", "-a", "one", "two"),
                     ("tap", "-c", "no.yaml", "one", "two"), ("bench", "fanin", "pairs"), ("connector", "list", "-c", "no.yaml", "two"),
                     ("plan", "-c", "no.yaml", "two"), ("passwd", "no.pw", "one", "two"), ("--version", "two"),
                     ("sql", "SELECT 1", "two"), ("check", "-c", "no.yaml", "two"), ("help", "check", "two"),
                     ("help", "functions", "abs", "two"), ("help", "rules", "two")):
            with self.subTest(args=args):
                done = run_program(*args)
                self.assertEqual((done.returncode, done.stdout), (1 if args[0] == "plan" else 2, ""), done.stderr)
                self.assertRegex(done.stderr, "two|usage|one user|one argument")

    def test_usage__run_without_a_file(self):
        self.assertEqual(run_program("run").returncode, 2)


class Sql(unittest.TestCase):
    def test_sql__matching_message_gives_its_row(self):
        done = run_program("sql", "SELECT payload.t AS t FROM 'a/+' WHERE payload.t > 20", "--topic", "a/b",
                           "--payload", '{"t":21}')
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(json.loads(done.stdout), {"t": 21})

    def test_sql__mistake_shows_line_column_and_a_caret(self):
        done = run_program("sql", "SELECT flor(1) AS a FROM 'a'", "--topic", "a", "--payload", "{}")
        self.assertEqual(done.returncode, 1)
        for word in ("line 1, column 8", "flor", "floor", "^"):
            self.assertIn(word, done.stderr)

    def test_sql__no_match_says_which_part_refused(self):
        sql = "SELECT payload.t AS t FROM 'a/+' WHERE payload.t > 20"
        for topic, words in (("b/b", "FROM does not cover the topic 'b/b'"), ("a/b", "WHERE is not met")):
            done = run_program("sql", sql, "--topic", topic, "--payload", '{"t":2}')
            self.assertEqual((done.returncode, done.stdout), (0, ""))
            self.assertIn(words, done.stderr)

    def test_sql__user_properties_of_the_message(self):
        sql = "SELECT pub_props.'User-Property'.line AS line FROM 'a'"
        done = run_program("sql", sql, "--user-property", "line=L=1", "--user-property", "empty=")
        self.assertEqual((done.returncode, done.stdout), (0, '{"line":"L=1"}\n'))
        for wrong in ("line", "line=" + 65536 * "x"):
            self.assertEqual(run_program("sql", sql, "--user-property", wrong).returncode, 2)

    def test_sql__explain_lists_steps_with_their_source(self):
        done = run_program("sql", "--explain", "SELECT payload.t AS t FROM 'a/+' WHERE payload.t > 20")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("payload.t", done.stdout)

    def test_sql__jsonl_answers_line_by_line_in_order(self):
        cases = [{"id": "a", "sql": "SELECT qos AS q FROM 't'", "topic": "t", "payload": "{}", "qos": 1},
                 {"id": "b", "sql": "SELECT * FROM 'x'", "topic": "t", "payload": "{}"},
                 {"id": "c", "sql": "SELECT nope FROM 't'", "topic": "t", "payload": "{}"},
                 {"id": "d", "sql": "SELECT payload.a AS a FROM 't'", "topic": "t", "payload": "no json"}]
        done = run_program("sql", "--jsonl", stdin="".join(json.dumps(c) + "\n" for c in cases))
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([a["id"] for a in answers], ["a", "b", "c", "d"])
        self.assertEqual(answers[0]["rows"], [{"q": 1}])
        self.assertTrue(answers[1]["no_match"])
        self.assertEqual((answers[2]["stage"], answers[2]["line"], answers[2]["column"]), ("compile", 1, 8))
        self.assertEqual(answers[3]["stage"], "run")


class Passwd(unittest.TestCase):
    def test_passwd__user_can_log_in_and_others_cannot(self):
        folder = temp_folder()
        users = folder / "users.pw"
        done = run_program("passwd", str(users), "alice", stdin="wonderland\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("wonderland", users.read_text())
        self.assertEqual(users.stat().st_mode & 0o077, 0, "others may read the password file")
        with Broker({"auth": {"anonymous": False, "password_file": str(users), "acl_default": "allow"}}, folder=folder) as broker:
            for user, password, code in (("alice", "wonderland", 0), ("alice", "wrong", 1), ("bob", "wonderland", 1)):
                with self.subTest(user=user, password=password):
                    self.assertEqual(min(self.pub(broker, "-u", user, "-P", password), 1), code)
            self.assertNotEqual(self.pub(broker), 0)
            self.assertIn("Bad User Name or Password", broker.wait_log("connection refused"))
            found = []

            def refused():  # one line a second from a place: others' refusals may have taken this one
                self.assertNotEqual(self.pub(broker, "-i", "gate 7", "-u", "mal\nory" + "x" * 500, "-P", "sesame"), 0)
                found[:] = [line for line in broker.log().splitlines() if "gate 7" in line]
                return bool(found)
            wait_until(refused)
            line = found[0]
            self.assertRegex(line, r'clientid="gate 7" username="mal\\nory?x{120,125}" reason=')
            self.assertNotIn("sesame", line)

    def pub(self, broker, *args):
        return run_program("pub", "-p", str(broker.port), "-t", "a", "-m", "x", "-q", "1", *args).returncode


class PubSub(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker()

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def sub(self, *args):
        """`sluice sub`, subscribed when this returns."""
        before = self.subscriptions()
        s = subprocess.Popen([BIN, "sub", "-p", str(self.broker.port), *args], stdout=subprocess.PIPE, text=True,
                             env=sanitizer_env())
        self.addCleanup(s.stdout.close)
        self.addCleanup(s.wait)
        self.addCleanup(s.kill)
        wait_until(lambda: self.subscriptions() > before, 10, "sluice sub does not subscribe")
        return s

    def subscriptions(self):
        return self.broker.status()["broker"]["sluice_subscriptions"]

    def pub(self, *args, stdin=None):
        done = run_program("pub", "-p", str(self.broker.port), *args, stdin=stdin)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_pub_sub__round_trip_with_each_qos(self):
        for qos in "012":
            with self.subTest(qos=qos):
                s = self.sub("-t", f"cli/{qos}", "-q", qos, "-c", "1")
                self.pub("-t", f"cli/{qos}", "-q", qos, "-m", "hello world")
                self.assertEqual(s.stdout.read(), "hello world\n")

    def test_pub__lines_of_standard_input(self):
        s = self.sub("-t", "cli/lines", "-q", "1", "-c", "3")
        self.pub("-t", "cli/lines", "-q", "1", "-l", stdin="a\nb\nc\n")
        self.assertEqual(s.stdout.read(), "a\nb\nc\n")

    def test_pub__topic_lines_go_to_their_topics(self):
        s = self.sub("-t", "cli/to/#", "-q", "1", "-c", "2")
        self.pub("--topic-lines", "-q", "1", stdin='cli/to/a {"n": 1}\ncli/to/b {"n": 2}\n')
        self.assertEqual([json.loads(line)["n"] for line in s.stdout.read().splitlines()], [1, 2])

    def test_pub__nobody_listens_on_the_port(self):
        done = run_program("pub", "-p", "1", "-t", "a", "-m", "x")
        self.assertEqual(done.returncode, 3)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def test_pub__wildcard_in_the_topic_is_a_usage_error(self):
        done = run_program("pub", "-p", str(self.broker.port), "-t", "a/#", "-m", "x")
        self.assertIn(done.returncode, (1, 2))
        self.assertIn("a/#", done.stderr)
