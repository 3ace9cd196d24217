"""`sluice acl explain`, and what `sluice check` says about access rules."""
import unittest

from harness.broker import run_program, temp_folder

RULES = """default: deny
rules:
  - {deny: publish, topics: a/secret}
  - {allow: publish, topics: "a/${clientid}"}
  - {allow: subscribe, topics: ["s/+", "s/+/+/#"]}
  - {allow: all, attr.role: boss, cert_cn: "c*", topics: "#"}
"""


class Acl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = temp_folder()
        cls.conf = cls.folder / "sluice.yaml"
        (cls.folder / "acl.yaml").write_text(RULES)
        cls.conf.write_text("listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\nauth: {anonymous: true, acl_file: acl.yaml}\n")

    def explain(self, *args, conf=None):
        return run_program("acl", "explain", "-c", str(conf or self.conf), *args, cwd=self.folder)

    def test_explain__names_the_rule_and_its_line(self):
        done = self.explain("--clientid", "x", "publish", "a/x")
        self.assertEqual((done.returncode, done.stdout),
                         (0, 'allowed: acl.yaml:4: rule 2: {"allow":"publish","topics":"a/${clientid}"}\n'))
        done = self.explain("--clientid", "secret", "publish", "a/secret", "--retain", "--qos", "1")
        self.assertEqual((done.returncode, done.stdout),
                         (1, 'denied: acl.yaml:3: rule 1: {"deny":"publish","topics":"a/secret"}\n'))
        done = self.explain("publish", "b")
        self.assertEqual((done.returncode, done.stdout), (1, "denied: by default, no rule fits\n"))

    def test_explain__of_a_part_names_a_topic_that_is_not_allowed(self):
        done = self.explain("subscribe", "s/#")
        self.assertEqual((done.returncode, done.stdout),
                         (1, "denied: by default, no rules allow all of it\n  not allowed, for example: s\n"))
        self.assertEqual(self.explain("subscribe", "s/+/x/y").returncode, 0)

    def test_explain__who_may_be_said_in_full(self):
        who = ("--attr", "role=boss", "--cert-cn", "c1", "--ip", "10.0.0.1", "--user", "u")
        self.assertEqual(self.explain(*who, "subscribe", "#").returncode, 0)
        self.assertEqual(self.explain(*who[2:], "subscribe", "#").returncode, 1)
        self.assertEqual(self.explain("--superuser", "subscribe", "$SYS/#").returncode, 0)
        self.assertEqual(self.explain("connect").returncode, 0)
        done = self.explain("--rules", '[{"allow": "publish", "topics": "own"}]', "publish", "own")
        self.assertEqual((done.returncode, done.stdout),
                         (0, 'allowed: own rule 1: {"allow":"publish","topics":"own"}\n'))
        self.assertEqual(self.explain("--rules", "[7]", "publish", "own").returncode, 1)

    def test_explain__wrong_use_is_said(self):
        for args in (("publish",), ("publish", "a/+"), ("subscribe", "a+"), ("fly", "a"), ("publish", "a", "b"),
                     ("--qos", "3", "publish", "a"), ("--ip", "x", "publish", "a"), ("--attr", "x", "publish", "a"),
                     ("--nobody", "publish", "a"), ("publish", "a", "--user"), ("connect", "a"), ()):
            done = self.explain(*args)
            self.assertEqual(done.returncode, 2, args)
            self.assertIn("sluice acl: ", done.stderr)
        self.assertEqual(run_program("acl").returncode, 2)
        self.assertEqual(run_program("acl", "explain", "publish", "a").returncode, 2)

    def test_explain__without_rules_everything_is_allowed(self):
        conf = self.folder / "open.yaml"
        conf.write_text("listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\nauth: {anonymous: true}\n")
        done = self.explain("publish", "a", conf=conf)
        self.assertEqual(done.returncode, 0)
        self.assertIn("no access rules", done.stdout)

    def test_check__places_of_mistakes_in_both_files(self):
        (self.folder / "bad.yaml").write_text("rules:\n  - {allow: publish, topics: 'a+'}\n  - {allow: fly, topics: a}\n")
        (self.folder / "p.json").write_text('{"Version": "2012-10-17",\n "Statement": [{"Effect": "Allow",\n  "NotAction": "x"}]}')
        conf = self.folder / "bad_conf.yaml"
        conf.write_text("listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\n"
                        "auth: {anonymous: true, acl_file: bad.yaml, policy_files: [p.json, absent.json]}\n")
        done = run_program("check", "-c", str(conf), cwd=self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn("bad.yaml:2:30: rules[0].topics: ", done.stderr)
        self.assertIn("bad.yaml:3:13: rules[1].allow: ", done.stderr)
        self.assertIn("p.json:3:3: Statement[0].NotAction: ", done.stderr)
        self.assertIn("absent.json", done.stderr)
        self.assertIn("auth.policy_files[1]", done.stderr)

    def test_check__hints_at_rules_that_never_decide(self):
        (self.folder / "shadow.yaml").write_text(
            "rules:\n  - {deny: publish, topics: [a/+, b/#]}\n  - {allow: publish, user: u, topics: a/x}\n"
            "  - {allow: publish, topics: a/#}\n  - {allow: all, topics: b}\n  - {allow: subscribe, user: u, topics: c}\n"
            "  - {allow: subscribe, topics: [c, d], qos: 0}\n  - {allow: subscribe, topics: d, group: g}\n"
            "  - {allow: subscribe, topics: d, qos: 0}\n  - {deny: connect}\n  - {allow: connect, user: u}\n")
        conf = self.folder / "shadow_conf.yaml"
        conf.write_text("listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\nauth: {anonymous: true, acl_file: shadow.yaml}\n")
        done = run_program("check", "-c", str(conf), cwd=self.folder)
        self.assertEqual(done.returncode, 0)
        hints = [line.split(": rule ")[1].split(" never")[0] for line in done.stdout.splitlines() if line.startswith("hint: ")]
        self.assertEqual(hints, ["2", "8", "10"])
        self.assertIn("hint: shadow.yaml:3: rule 2 never decides: rule 1 (line 2) comes before it", done.stdout)

    def test_check__hints_where_nobody_may_do_anything(self):
        self.assertEqual(run_program("passwd", str(self.folder / "u.pw"), "u", stdin="secret\n").returncode, 0)
        conf = self.folder / "mute.yaml"
        conf.write_text("listeners: [{name: mqtt, bind: '127.0.0.1:0'}]\nauth: {password_file: u.pw, acl_default: deny}\n")
        done = run_program("check", "-c", str(conf), cwd=self.folder)
        self.assertEqual(done.returncode, 0)
        self.assertIn("hint: no access rules", done.stdout)
