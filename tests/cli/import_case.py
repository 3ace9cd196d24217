"""What tests of `sluice import` share: files to import, what comes out, its check, its rows."""
import json
import os
import re
import shutil
import unittest

from harness.broker import run_program, temp_folder


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def write(self, name, content):
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False, indent=1)
        (self.folder / name).write_text(text, encoding="utf-8", newline="")
        return name

    def do(self, *args, code=0, stdin=None):
        done = run_program(*args, cwd=self.folder, stdin=stdin)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done

    def take(self, source, *files, code=0):
        """Imports; what comes out passes the check. Gives the text, and the rules of the report by their ids."""
        done = self.do("import", source, *files, "--report", "json", code=code)
        self.write("out.yaml", done.stdout)
        self.fetch(done.stdout)
        self.do("check", "-c", "out.yaml")
        report = json.loads(done.stderr)
        self.assertEqual(len(report["rules"]), report["unchanged"] + report["needs_mapping"] + report["refused"])
        return done.stdout, {r["id"]: r for r in report["rules"]}

    def fetch(self, text):
        """What the report asks for: secrets in the environment or in files, authorities' certificates in files."""
        for name in re.findall(r"[^$]\$\{file:([^}]+)\}", text):
            (self.folder / name).parent.mkdir(exist_ok=True)
            self.write(name, "5ecret\n")
        for name in re.findall(r"[^$]\$\{([A-Z][A-Z0-9_]*)\}", text):
            os.environ[name] = "5e" + name.lower()
            self.addCleanup(os.environ.pop, name, None)
        for name in re.findall(r'^ +ca: "?([^"\n]+)"?$', text, re.M):
            (self.folder / name).parent.mkdir(exist_ok=True)
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", self.folder / name)

    def status(self, rules):
        return {i: r["status"] for i, r in rules.items()}

    def notes(self, rule):
        return " | ".join(n["what"] + ": " + n["text"] for n in rule["notes"])

    def rows(self, rule, topic, payload, *more):
        return self.do("sql", "--rule", rule, "-c", "out.yaml", "--topic", topic, "--payload", payload, "--timestamp",
                       "1764000000000", *more).stdout

    def same_rows(self, rule, sql, topic, payload, *more):
        direct = self.do("sql", sql, "--topic", topic, "--payload", payload, "--timestamp", "1764000000000", *more).stdout
        self.assertEqual(self.rows(rule, topic, payload), direct)
        self.assertTrue(direct)
