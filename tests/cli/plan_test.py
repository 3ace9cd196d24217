"""`sluice plan`: what a file would change in the broker that runs, and making it so."""
import json
import unittest

from harness.broker import Broker, free_port, run_program, temp_folder

SQL = "SELECT payload.t AS t FROM 'in'"


class Plan(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def broker(self):
        archive = {"type": "file", "dir": str(self.folder / "rows")}
        to_file = {"connector": "archive", "file": "rows.jsonl", "line": "${.}"}
        rules = {"a": {"sql": SQL, "actions": [to_file, {"console": {}}], "tags": ["x"]},
                 "b": {"sql": SQL}, "c": {"sql": SQL, "enabled": False}}
        return Broker({"connectors": {"archive": archive}, "rules": rules}, folder=self.folder)

    def plan(self, broker, *args, code=0):
        done = run_program("plan", "-c", str(broker.config_path), *args, cwd=self.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_plan__same_file__nothing_would_change(self):
        with self.broker() as broker:
            self.assertEqual(self.plan(broker), "nothing would change\n")
            self.assertRegex(self.plan(broker, "--apply"), "nothing would change\napplied: .* passwords")

    def test_plan__apply_brings_a_new_password(self):
        """A running broker does not show its passwords: nothing can be seen to change."""
        def config(password):
            return {"connectors": {"db": {"type": "redis", "url": "redis://127.0.0.1:1", "password": password}}}
        with Broker(config("old"), folder=self.folder) as broker:
            broker.write_config(config("new"))
            at = len(broker.log())
            self.assertIn("applied", self.plan(broker, "--apply"))
            broker.wait_log("name=db", after=at)
            self.assertEqual(broker.status()["config"]["reloads"], 1)

    def test_plan__names_sections_of_settings(self):
        """Those that a reload takes, and those that wait for a restart: before and after --apply."""
        with Broker({"auth": {"anonymous": True}, "mqtt": {"max_inflight": 10}}, folder=self.folder) as broker:
            (self.folder / "users.pw").write_text("")
            broker.write_config({"auth": {"anonymous": False, "password_file": str(self.folder / "users.pw")},
                                 "mqtt": {"max_inflight": 20}, "node": {"outbound": {"allow": ["127.0.0.1/32"]}}})
            said = self.plan(broker, code=2)
            waits = "~ mqtt: max_inflight 10 -> 20; needs a restart\n"
            self.assertRegex(said, "(?m)^~ auth: anonymous true -> false, password_file .* -> .*users.pw\"$")
            self.assertRegex(said, "(?m)^~ node.outbound: allow .* -> .*127.0.0.1/32")
            self.assertIn(waits, said)
            self.assertTrue(said.endswith("0 to create, 3 to change, 0 to remove\n"), said)
            self.assertTrue(self.plan(broker, "--apply", code=2).endswith("but these differences are left:\n" + waits))
            self.assertEqual(self.plan(broker, code=2), waits + "0 to create, 1 to change, 0 to remove\n")
            broker.write_config({"mqtt": {"max_inflight": 10}})
            self.assertEqual(self.plan(broker), "nothing would change\n")

    def test_plan__names_listeners(self):
        """New, changed and gone: all of it is of a reload, none waits for a restart."""
        ports = [free_port(), free_port()]
        gone, new = ({"name": n, "type": "tcp", "bind": f"127.0.0.1:{p}"} for n, p in zip(("gone", "new"), ports))
        with Broker(folder=self.folder, start=False) as broker:
            plain = broker.config["listeners"][0] | {"type": "tcp"}
            broker.write_config({"listeners": [plain, gone]})
            broker.start()
            broker.write_config({"listeners": [{**plain, "max_connections": 9, "bind": f"0.0.0.0:{broker.port}"}, new]})
            said = self.plan(broker, code=2)
            self.assertEqual(said, f'~ listener mqtt: bind "127.0.0.1:{broker.port}" -> "0.0.0.0:{broker.port}", max_connections '
                             '"unlimited" -> 9; for new connections\n'
                             f"+ listener new (tcp on 127.0.0.1:{ports[1]})\n"
                             f"- listener gone (tcp on 127.0.0.1:{ports[0]}): its clients stay\n"
                             "1 to create, 1 to change, 1 to remove\n")
            self.assertTrue(self.plan(broker, "--apply").endswith("\napplied\n"))
            self.assertEqual(self.plan(broker), "nothing would change\n")

    def test_plan__of_a_tag_that_no_rule_has_is_refused(self):
        with self.broker() as broker:
            self.assertEqual(self.plan(broker, "--tag", "nope", code=1), "sluice plan: no rule has the tag 'nope'\n")
            self.assertEqual(self.plan(broker, "--tag", "x"), "nothing would change\n")

    def test_plan__says_what_is_created_changed_and_removed(self):
        with self.broker() as broker:
            rules = broker.config["rules"]
            changed = {**rules["a"], "sql": SQL + " WHERE payload.t > 1", "tags": ["y"],
                       "actions": [{**rules["a"]["actions"][0], "line": "x"}]}
            broker.write_config({"connectors": {}, "rules": {}})
            broker.write_config({"connectors": {"archive": {"type": "file", "dir": str(self.folder / "other")}, "new": {"type": "null"}},
                                 "rules": {"a": changed, "c": {"sql": SQL}, "d": {"sql": SQL, "shadow": SQL}}})
            said = self.plan(broker, code=2)
            lines = said.splitlines()
            self.assertIn("~ rule a: sql, tags, action 0 (archive), no action 1 (console) any more", lines)
            self.assertIn("~ rule c: enabled", lines)
            self.assertIn("+ rule d", lines)
            self.assertIn("- rule b", lines)
            self.assertIn("+ connector new (null)", lines)
            self.assertRegex(said, '~ connector archive: dir ".*rows" -> ".*other"')
            self.assertEqual(lines[-1], "2 to create, 3 to change, 1 to remove")
            self.assertEqual(self.plan(broker, "--tag", "y", code=2).splitlines()[-1], "0 to create, 1 to change, 0 to remove")
            self.assertIn("applied", self.plan(broker, "--apply"))
            self.assertEqual({r["id"] for r in broker.status()["rules"]}, {"a", "c", "d"})
            self.assertEqual(self.plan(broker), "nothing would change\n")

    def test_plan__actions_that_shift_are_the_same_actions(self):
        """As a reload has it: counters, like queues, go with the action and not with its place."""
        def table(name, **more):
            return {"connector": "db", "table": name, "columns": {"t": "${t}"}, **more}

        with Broker({"connectors": {"db": {"type": "sqlite", "path": str(self.folder / "a.db")}},
                     "rules": {"a": {"sql": SQL, "actions": [{"console": {}}, table("one"), table("two")]}}}, folder=self.folder) as broker:
            sent = run_program("pub", "-p", str(broker.port), "-t", "in", "-q", "1", "-m", '{"t": 1}')
            self.assertEqual(sent.returncode, 0)
            for actions, said in (
                    ([table("one"), table("two"), {"console": {}}],
                     "action 1 (db) is action 0 now, action 2 (db) is action 1 now, action 0 (console) is action 2 now"),
                    ([table("two"), {"console": {}}],
                     "action 1 (db) is action 0 now, no action 0 (db) any more, action 2 (console) is action 1 now"),
                    ([table("three"), table("two", columns={"t": "${t}", "u": "1"})],
                     "new action 0 (db), action 0 (db) is action 1 now, and changed, no action 1 (console) any more"),
                    ([table("three"), table("two", columns={"t": "${t}", "u": "2"})], "action 1 (db)")):
                broker.write_config({"rules": {"a": {"sql": SQL, "actions": actions}}})
                self.assertEqual(self.plan(broker, code=2).splitlines()[0], "~ rule a: " + said)
                self.assertIn("applied", self.plan(broker, "--apply"))
                self.assertEqual(self.plan(broker), "nothing would change\n")
            taken = [a["taken"] for a in broker.status()["rules"][0]["actions"]]
            self.assertEqual(taken, [0, 1])

    def test_plan__sources_that_are_new_changed_and_gone(self):
        noise = {"connector": "nowhere", "messages": 10}
        with Broker({"connectors": {"nowhere": {"type": "null"}}, "sources": {"a": noise, "b": noise}}, folder=self.folder) as broker:
            self.assertEqual(self.plan(broker), "nothing would change\n")
            broker.write_config({"sources": {}})
            broker.write_config({"sources": {"a": {**noise, "messages": 20}, "c": noise}})
            self.assertEqual(self.plan(broker, code=2).splitlines()[:3],
                             ["~ source a: messages 10 -> 20", "+ source c (null)", "- source b"])
            self.assertIn("applied", self.plan(broker, "--apply"))

    def test_plan__order_of_rules_is_a_change(self):
        with self.broker() as broker:
            rules = broker.config["rules"]
            broker.write_config({"rules": {}})
            broker.write_config({"rules": {k: rules[k] for k in ("b", "a", "c")}})
            self.assertIn("the order in which rules run", self.plan(broker, code=2))

    def test_plan__mistakes_in_the_file_are_told_and_nothing_is_done(self):
        with self.broker() as broker:
            broker.write_config({"rules": {"a": {"sql": "SELECT"}}})
            self.assertIn("rules.a.sql", self.plan(broker, "--apply", code=1))
            self.assertEqual(broker.status()["config"]["refused"], 0)

    def test_plan__refused_by_the_broker__says_why(self):
        with self.broker() as broker:
            (self.folder / "users").write_text("")
            broker.write_config({"rules": {"z": {"sql": SQL}}, "auth": {"password_file": str(self.folder / "absent")}})
            self.assertIn("absent", self.plan(broker, "--apply", code=1))
            self.assertEqual(broker.status()["config"]["refused"], 1)

    def test_plan__other_file_or_no_broker(self):
        with self.broker() as broker:
            other = self.folder / "other.yaml"
            other.write_text(json.dumps({**broker.config, "rules": {}}))
            done = run_program("plan", "-c", str(other), "--apply", cwd=self.folder)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the running broker reads", done.stderr)
            other.write_text(json.dumps({**broker.config, "admin": {"bind": f"127.0.0.1:{free_port()}"}}))
            done = run_program("plan", "-c", str(other), cwd=self.folder)
            self.assertRegex(done.stderr, "does not answer at admin.bind: .*\nif this file changes admin.bind, .* still answers at the old one")
            broker.stop()
            self.assertIn("does not answer", self.plan(broker, code=1))
            self.assertEqual(run_program("plan").returncode, 1)


if __name__ == "__main__":
    unittest.main()
