"""What `sluice run` and `sluice check` say when they cannot do what they are asked, and the exit codes of wrong use."""
import os
import socket
import subprocess
import unittest

from harness.broker import BIN, Broker, free_port, run_program, temp_folder, wait_until
from harness.fake import Fake

MINIMAL = """\
node: {{data_dir: {data_dir}}}
listeners: [{{name: mqtt, bind: "127.0.0.1:{port}"}}]
auth: {{anonymous: true}}
admin: {admin}
"""


def run_as_nobody(test, folder, *args):
    """Permissions mean nothing to root: as root, the program runs as another user, who may look into `folder`."""
    if os.geteuid():
        return run_program(*args, cwd=folder, timeout=180)
    folder.chmod(0o755)
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", BIN]
    try:
        subprocess.run([*other, "--version"], cwd=folder, check=True, capture_output=True, timeout=180)
    except (OSError, subprocess.CalledProcessError):
        test.skipTest("no other user may run the program")
    return run_program(*other[1:], *args, program=other[0], cwd=folder, timeout=180)


class Files(unittest.TestCase):
    """A configuration that is no readable file: one line, named, exit 1, and nothing is made."""

    def setUp(self):
        self.folder = temp_folder()

    def refused(self, name, *words):
        for command in ("run", "check"):
            with self.subTest(command=command):
                done = run_program(command, "-c", name, cwd=self.folder, timeout=180)
                self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                for word in (name, *words):
                    self.assertIn(word, done.stderr)
                self.assertFalse((self.folder / "data").exists())

    def test_file__missing(self):
        self.refused("nowhere.yaml", "No such file")

    def test_file__is_a_folder(self):
        (self.folder / "a.yaml").mkdir()
        self.refused("a.yaml", "directory")

    def test_file__may_not_be_read(self):
        path = self.folder / "a.yaml"
        path.write_text("node: {}\n")
        path.chmod(0)
        done = run_as_nobody(self, self.folder, "check", "-c", "a.yaml")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "^a.yaml: .*Permission denied")

    def test_file__behind_a_file(self):
        (self.folder / "a").write_text("")
        self.refused("a/b.yaml", "Not a directory")

    def test_file__is_no_text(self):
        (self.folder / "a.yaml").write_bytes(bytes(range(128, 256)))
        self.refused("a.yaml")

    def test_file__empty_is_a_broker_with_defaults(self):
        (self.folder / "a.yaml").write_text("")
        done = run_program("check", "-c", "a.yaml", cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("a.yaml: fine", done.stdout)


class Start(unittest.TestCase):
    """A start that the system refuses: one sentence that names the option and a way out, exit 3."""

    def start(self, data_dir="./data", port=None, admin="{enabled: false}", extra=""):
        folder = temp_folder()
        (folder / "afile").write_text("")
        text = MINIMAL.format(data_dir=data_dir, port=port or free_port(), admin=admin)
        (folder / "a.yaml").write_text(text + extra)
        return run_program("run", "-c", "a.yaml", cwd=folder, timeout=180)

    def refused(self, *words, **settings):
        done = self.start(**settings)
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        said = [line for line in done.stderr.splitlines() if line.startswith("sluice run: ")]
        self.assertEqual(len(said), 1, done.stderr)
        for word in words:
            self.assertIn(word, said[0])

    def test_port__taken_by_another_program(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            self.refused("listener mqtt", str(port), "choose another port", port=port)

    def test_port__taken_while_connectors_come_up(self):
        """They say that they are there, and then that they go, to workers that never began."""
        with Broker() as broker:
            extra = ("connectors: {a: {type: 'null'}, b: {type: sqlite, path: b.db}}\n"
                     "rules: {r: {sql: \"SELECT * FROM 't'\", actions: [{connector: a}]},"
                     " s: {sql: \"SELECT * FROM '$events/connector/status'\", actions: [{connector: a}]}}\n")
            for _ in range(3):
                self.refused("listener mqtt", str(broker.port), "choose another port", port=broker.port, extra=extra)

    def test_port__taken_by_another_sluice_is_not_shared_with_it(self):
        with Broker() as broker:
            self.refused("listener mqtt", str(broker.port), "choose another port", port=broker.port)

    def test_port__of_the_status_pages_is_taken(self):
        with Broker() as broker:
            self.refused("admin.bind", str(broker.admin_port), "choose another",
                         admin=f'{{bind: "127.0.0.1:{broker.admin_port}"}}')

    def test_port__two_addresses_that_a_name_makes_one(self):
        """What a name stands for is known when its address is taken."""
        folder, port = temp_folder(), free_port()
        address = socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)[0][4][0]
        other = f"[{address}]" if ":" in address else address
        (folder / "a.yaml").write_text(f'listeners:\n- {{name: a, bind: "localhost:{port}"}}\n- {{name: b, bind: "{other}:{port}"}}\n'
                                       "auth: {anonymous: true}\nadmin: {enabled: false}\n")
        done = run_program("run", "-c", "a.yaml", cwd=folder, timeout=180)
        self.assertEqual((done.returncode, (folder / "data/actions").exists()), (1, False), done.stderr)
        self.assertEqual(done.stderr.splitlines(), [
            f"a.yaml:3:19: listeners[1].bind: listener b cannot listen on {other}:{port}: listener a does, on localhost:{port} "
            "(a.yaml:2:19); remove one of them, or choose another port for it"])

    def test_data_dir__in_use_by_another_sluice(self):
        with Broker() as broker:
            self.refused("node.data_dir", "in use by another sluice", data_dir=broker.folder / "data")

    def test_data_dir__is_free_again_after_a_kill(self):
        broker = Broker()
        broker.kill()
        broker.start()
        broker.stop()

    def test_data_dir__parent_is_missing(self):
        self.refused("node.data_dir", "./no/such/place", "make it yourself", data_dir="./no/such/place")

    def test_data_dir__is_a_file(self):
        self.refused("node.data_dir", "afile", "name a folder", data_dir="./afile")

    def test_data_dir__may_not_be_written(self):
        folder = temp_folder()
        (folder / "closed").mkdir(mode=0o555)
        (folder / "a.yaml").write_text(MINIMAL.format(data_dir="closed", port=free_port(), admin="{enabled: false}"))
        done = run_as_nobody(self, folder, "run", "-c", "a.yaml")
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertRegex(done.stderr, "node.data_dir: .*Permission denied; name a folder")


class Untouched(unittest.TestCase):
    """A start that is refused has connected to nothing, delivered nothing and changed no file, whatever waits on its disk: another
    process may be at work with all of it."""

    def setUp(self):
        """A broker's folder with a row that waits for a server, which comes only when the broker has gone."""
        peer = free_port()
        self.mine = Broker({"connectors": {"cache": {"type": "redis", "url": f"redis://127.0.0.1:{peer}"}},
                            "rules": {"r": {"sql": "SELECT payload AS v FROM 't'",
                                            "actions": [{"connector": "cache", "command": ["SET", "k", "${v}"]}]}}})
        self.assertEqual(run_program("pub", "-p", str(self.mine.port), "-t", "t", "-q", "1", "-m", "1").returncode, 0)
        wait_until(lambda: self.mine.status()["actions"][0]["queued"] == 1, message=lambda: str(self.mine.status()["actions"]))
        self.mine.stop_at_once()
        self.peer = Fake(lambda conn: conn.hang(), port=peer)
        self.addCleanup(self.peer.close)

    def files(self):
        found = [p for p in (self.mine.folder / "data").rglob("*") if p.is_file()]
        self.assertTrue(any("actions" in p.parts for p in found), found)
        return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns, p.read_bytes()) for p in found}

    def refused(self, *words, code=3, **changes):
        before = self.files()
        self.mine.write_config(changes)
        done = run_program("run", "-c", str(self.mine.config_path), cwd=self.mine.folder)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertEqual(self.peer.connections, 0, done.stdout + done.stderr)
        self.assertNotIn("connected", done.stdout + done.stderr)
        self.assertEqual(self.files(), before)

    def test_start__on_a_taken_port_touches_nothing(self):
        with Broker() as other:
            bind = {"name": "mqtt", "type": "tcp", "bind": f"127.0.0.1:{other.port}"}
            self.refused("listener mqtt: cannot listen on 127.0.0.1 port", listeners=[bind])

    def test_start__on_a_taken_port_of_any_address_touches_nothing(self):
        with Broker() as other:
            free = {"name": "free", "type": "tcp", "bind": f"127.0.0.1:{free_port()}"}
            self.refused("listener b: cannot listen on any address port", listeners=[free, {**free, "name": "b", "bind": f"*:{other.port}"}])

    def test_start__with_the_status_pages_port_taken_touches_nothing(self):
        with Broker() as other:
            self.refused("admin.bind: cannot listen on 127.0.0.1", admin={"bind": f"127.0.0.1:{other.admin_port}"})

    def test_start__with_two_listeners_on_one_port_touches_nothing(self):
        bind = {"name": "a", "type": "tcp", "bind": f"127.0.0.1:{self.mine.port}"}
        self.refused("listener b cannot listen on", "listener a does", code=1, listeners=[bind, {**bind, "name": "b"}])

    def test_start__with_the_status_pages_on_a_listeners_port_touches_nothing(self):
        for host, admin in (("127.0.0.1", "127.0.0.1"), ("localhost", "[::]"), ("*", "127.0.0.1")):
            bind = {"name": "a", "type": "tcp", "bind": f"{host}:{self.mine.port}"}
            self.refused("the status pages cannot listen on", "listener a does", code=1, listeners=[bind],
                         admin={"bind": f"{admin}:{self.mine.port}"})

    def test_start__on_a_data_folder_in_use_touches_nothing(self):
        with Broker(folder=temp_folder()) as other:
            other.stop()
            other.write_config({"node": {"data_dir": str(self.mine.folder / "data")}})
            other.start()
            self.refused("node.data_dir", "in use by another sluice")

    def test_start__that_was_refused_delivers_when_the_port_is_free(self):
        with Broker() as other:
            bind = {"name": "mqtt", "type": "tcp", "bind": f"127.0.0.1:{other.port}"}
            self.refused("choose another port", listeners=[bind])
        self.mine.write_config({})
        self.mine.port = other.port
        self.mine.start()
        wait_until(lambda: self.peer.connections > 0, message=lambda: self.mine.log())
        self.mine.kill()  # its peer says nothing, which a stop would wait for


HELP = {  # what the help of each command must name at least
    "run": ("-c, --config", "SIGTERM", "SIGHUP"),
    "check": ("-c, --config",),
    "sql": ("--topic", "--payload", "--qos", "--clientid", "--username", "--timestamp", "--dialect", "--explain",
            "--jsonl"),
    "passwd": ("FILE USER", "--delete", "--batch", "--iterations"),
    "pub": ("--host", "--port", "--id", "--username", "--password", "--topic", "--message", "--lines", "--topic-lines",
            "--qos", "--retain", "--user-property", "--reconnect", "--timeout", "examples:"),
    "sub": ("--host", "--port", "--topic", "--qos", "--count", "--wait", "--verbose", "--format", "examples:"),
    "bench": ("--pubs", "--subs", "--messages", "--payload", "--rate", "--broker-pid", "--json", "scenarios:", "fanin",
              "pairs", "fanout", "wild", "idle", "sink"),
    "help": ("[COMMAND]",),
}


class Usage(unittest.TestCase):
    def test_help__of_each_command_is_complete(self):
        for command, words in HELP.items():
            for args in (("help", command), (command, "--help")):
                if args[0] == args[-1] or args == ("help", "--help"):
                    continue
                with self.subTest(args=args):
                    done = run_program(*args)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    ends = () if command == "help" else ("Exit code: 0",)
                    for word in ("usage: sluice " + command, *words, *ends):
                        self.assertIn(word, done.stdout)

    def test_help__lines_fit_a_terminal(self):
        for command in HELP:
            for line in run_program("help", command).stdout.splitlines():
                self.assertLessEqual(len(line), 160, line)

    def test_usage__wrong_use_is_exit_2_with_a_word_about_it(self):
        for args, word in (
                (("run", "-c"), "-c"), (("run", "a", "b"), "a"), (("check",), "usage"), (("help", "nope"), "nope"),
                (("help", "run", "check"), "one command"), (("passwd",), "usage"), (("passwd", "a"), "usage"),
                (("passwd", "a", "b", "--iterations", "x"), "iterations"), (("pub",), "usage"),
                (("pub", "-t", "a"), "-m"), (("pub", "-t", "a", "-m", "b", "-q", "3"), "-q"),
                (("pub", "-t", "a", "-m", "b", "-p", "99999"), "65535"), (("sub",), "-t"),
                (("sub", "-t", "a/#/b"), "filter"), (("bench", "nope"), "scenario must be fanin"),
                (("sql",), "usage"), (("sql", "SELECT 1 AS a FROM 'a'", "--qos", "7"), "qos")):
            with self.subTest(args=args):
                done = run_program(*args, stdin="")
                self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
                self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main()
