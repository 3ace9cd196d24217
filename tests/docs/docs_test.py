"""What the documents say is true: every example compiles or runs, every link leads somewhere, every name exists.

Commands of a page run in its order, in a temporary folder that looks like the checkout; build/release/sluice there
is the program under test. Four things are changed on the way, here and nowhere else: ports (so that a broker of yours
may go on running), the size of `sluice bench`, the process it measures, and pauses and deadlines, which are longer for
busy machines. What can't be run says why (markdown.py).
"""
import contextlib
import os
import re
import signal
import subprocess
import unittest

from harness.broker import BIN, ROOT, SLOW, Broker, free_port, run_program, sanitizer_env, temp_folder, wait_until
from markdown import LANGUAGES, pages

PAGES = pages()
BLOCKS = [b for page in PAGES for b in page.blocks]


OTHER_FILES = re.compile(r"(_test\.yaml|^acl\.yaml|^bans\.yaml|\.json)$")


def configuration(block):
    """The block as a whole file: its actions get a rule around them."""
    if block.marker("actions of a rule") is None:
        return block.text
    head, actions = block.text.split("actions:\n")
    rule = "rules:\n  example:\n    sql: SELECT clientid AS device, payload.t AS t, timestamp AS ts FROM 'room/#'\n"
    return head + rule + "    actions:\n" + re.sub(r"^", "    ", actions, flags=re.M)


class Examples(unittest.TestCase):
    """A test for each block is added below."""

    def check_yaml(self, block):
        if OTHER_FILES.search(block.marker("save as") or ""):
            return  # tests of rules, which the page runs; what configurations of the page name
        path = temp_folder() / "docs.yaml"
        for other in block.page.blocks:
            if other.marker("save as"):
                (path.parent / other.marker("save as")).write_text(other.text)
        path.write_text(configuration(block))
        done = run_program("check", "-c", "docs.yaml", cwd=path.parent)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stderr}\n{path.read_text()}")

    def check_sql(self, block):
        done = run_program("sql", "--explain", block.text)
        self.assertEqual(done.returncode, 0, f"{block}\n{done.stderr}")
        after = block.page.blocks[block.page.blocks.index(block) + 1:][:1]
        if after and after[0].marker("prints") is not None:
            self.assertEqual(done.stdout.strip(), after[0].text.strip(), f"{after[0]} is not what the program prints")


def smaller(command):
    """`sluice bench` with the last word on how much."""
    size = {"idle": " --subs 20 --hold 1", "sink": " -n 2000 --pubs 10"}
    return command[1] + size.get(command[2], " -n 2000 --pubs 10 --subs 10")


class Session:
    """A page's commands, one block after the other, as a reader would type them."""

    def __init__(self, test, page):
        self.test, self.page = test, page
        self.folder, self.mqtt_port, self.admin_port = temp_folder(), free_port(), free_port()
        self.waiting, self.broker, self.output = [], None, ""
        for entry in ROOT.iterdir():
            if entry.name not in ("build", "data", ".git"):
                (self.folder / entry.name).symlink_to(entry)
        for preset in ("release", "dev"):
            (self.folder / "build" / preset).mkdir(parents=True)
            (self.folder / "build" / preset / "sluice").symlink_to(BIN)

    def save(self, name, text):
        text = text.replace(":1883", f":{self.mqtt_port}")
        if "\nadmin:" not in text and not OTHER_FILES.search(name):
            text += f'admin: {{bind: "127.0.0.1:{self.admin_port}"}}\n'
        (self.folder / name).write_text(text)

    def adapted(self, text):
        port = self.mqtt_port
        if "$(pidof mosquitto)" in text or " bench " in text:
            self.broker = self.broker or Broker({"mqtt": {"max_queued": 100000}})
            port = self.broker.port
            text = text.replace("$(pidof mosquitto)", str(self.broker.process.pid))
            text = re.sub(r"(sluice bench (\w+)[^#\n]*?)( *#.*)?$", smaller, text, flags=re.M)
        text = re.sub(r"(sluice (?:pub|sub|tap|bench)|mosquitto_(?:pub|sub))(?= )", rf"\1 -p {port}", text)
        text = re.sub(r"^sleep 1$", "sleep 3", text, flags=re.M)
        text = re.sub(r" -W ([0-9]+)\b", r" -W \g<1>0", text)
        return text.replace("127.0.0.1:18083", f"127.0.0.1:{self.admin_port}")

    def shell(self, block):
        path = self.folder / f"out-{block.line}"
        with open(path, "wb") as out:
            process = subprocess.Popen(["bash", "-c", "set -e -o pipefail\n" + self.adapted(block.text)], stdout=out,
                                       stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder, env=sanitizer_env(),
                                       start_new_session=True)
        self.test.addCleanup(self.end, process)
        if block.marker("in the background") is not None:
            self.waiting.append((block, process, path))
            wait_until(lambda: process.poll() is not None or b"started" in path.read_bytes(), 15 * SLOW, f"{block}: no start")
            self.test.assertIsNone(process.poll(), f"{block} has ended:\n{path.read_text()}")
            return
        code = process.wait(150 * SLOW)
        self.output = path.read_text(errors="replace")
        self.test.assertEqual(code, 0, f"{block}\n{self.output}")

    def end(self, process):
        """Nothing that a block started stays behind."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def prints(self, block):
        """The lines, in any order, for two programs at work print as they come; times may differ."""
        for line in filter(None, block.lines):
            pattern = re.sub(r"\b1[0-9]{12}\b", "[0-9]{13}", re.escape(line))
            self.test.assertRegex(self.output, f"(?m)^{pattern}$", f"{block}: this was not printed")

    def finish(self):
        """Ctrl-C for what runs in the background: it ends well."""
        for block, process, path in self.waiting:
            os.killpg(process.pid, signal.SIGINT)
            code = process.wait(90 * SLOW)
            self.test.assertIn(code, (0, 130), f"{block}\n{path.read_text()}")
            self.test.assertNotIn("Sanitizer", path.read_text())
        if self.broker:
            self.broker.stop()

    def run(self):
        for block in self.page.blocks:
            if block.marker("not run") is not None:
                continue
            if block.marker("save as") is not None:
                self.save(block.marker("save as"), block.text)
            elif block.language == "sh":
                self.shell(block)
            elif block.marker("prints") is not None and block.language != "sql" and self.output:
                self.prints(block)


class Commands(unittest.TestCase):
    """A test for each page with commands is added below."""


def add_tests():
    for block in BLOCKS:
        if block.marker("not run") is None and block.language in ("yaml", "sql"):
            name = re.sub(r"\W+", "_", f"test_{block}__{block.language}")
            setattr(Examples, name, lambda self, b=block: getattr(self, f"check_{b.language}")(b))
    for page in PAGES:
        if any(b.language == "sh" and b.marker("not run") is None for b in page.blocks):
            def run(self, p=page):
                session = Session(self, p)
                session.run()
                session.finish()
            setattr(Commands, re.sub(r"\W+", "_", f"test_{page.name}__commands"), run)


add_tests()


class Blocks(unittest.TestCase):
    def test_blocks__are_of_a_kind_that_is_tested_or_say_why_not(self):
        for block in BLOCKS:
            with self.subTest(block=str(block)):
                if block.language not in LANGUAGES:
                    self.assertTrue(block.marker("not run"), f"{block}: how should ```{block.language} be tested?")

    def test_blocks__commands_and_rules_stand_in_fences(self):
        for page in PAGES:
            found = re.findall(r"^(?: {4}|\t)(?:build/\S+/sluice |sluice |SELECT |FOREACH |connectors:|rules:|actions:).*$", page.prose, re.M)
            self.assertEqual(found, [], f"{page.name}: fence it (```sh, ```sql, ```yaml), so that it is tested")

    def test_blocks__what_is_not_run_is_known(self):
        """Adding a reason means changing this number too: on purpose."""
        idle = [b for b in BLOCKS if b.marker("not run") is not None]
        for block in idle:
            self.assertGreater(len(block.marker("not run")), 10, f"{block}: the reason is missing")
        print(f"\ndocs: {len(BLOCKS)} blocks, {len(idle)} of them not run:")
        for block in idle:
            print(f"  {block}: {block.marker('not run')}")
        self.assertLessEqual(len(idle), 7)


class Truth(unittest.TestCase):
    def test_links__lead_somewhere(self):
        by_path = {p.path.resolve(): p for p in PAGES}
        for page in PAGES:
            for link in page.links():
                if re.match(r"https?:", link):
                    continue
                target, _, anchor = link.partition("#")
                path = (page.path.parent / target).resolve() if target else page.path
                with self.subTest(page=page.name, link=link):
                    self.assertTrue(path.exists(), "there is no such file")
                    if anchor:
                        self.assertIn(anchor, by_path[path].anchors())

    def test_readme__each_folder_has_one(self):
        folders = [p for p in ROOT.iterdir() if p.is_dir() and p.name in (
            "base", "sql", "connectors", "rules", "broker", "conf", "examples", "tests")]
        for top in ("base", "broker"):
            folders += [p for p in (ROOT / top).iterdir() if p.is_dir()]
        for folder in folders:
            with self.subTest(folder=folder.name):
                self.assertTrue((folder / "README.md").exists())

    def test_paths__in_backticks_exist(self):
        start = re.compile(r"^(base|sql|connectors|rules|broker|conf|examples|tests|cmake)/[\w./*<>{}-]*$")
        for page in PAGES:
            for word in page.words():
                if start.match(word) and "<" not in word:
                    with self.subTest(page=page.name, word=word):
                        found = list(ROOT.glob(word.rstrip("/"))) + list(page.path.parent.glob(word.rstrip("/")))
                        self.assertTrue(found, "there is no such file")

    def test_programs__of_the_build_folder_are_built(self):
        declared = "".join(p.read_text() for p in ROOT.glob("tests/**/CMakeLists.txt"))
        for page in PAGES:
            for word in re.findall(r"build/\w+/(?:tests|bench|fuzz)/(\w+)", page.prose):
                with self.subTest(page=page.name, program=word):
                    name = re.sub("_(replay|fuzz)$", "", word)
                    self.assertTrue(re.search(rf"\b{name}\b", declared) or list(ROOT.glob(f"tests/**/{name}.c")))

    def test_options__named_in_prose_exist(self):
        printed = (ROOT / "conf/reference.md").read_text()
        for page in PAGES:
            for word in page.words():
                if re.match(r"(node|log|mqtt|auth|admin)\.[a-z_]+$", word) and not word.endswith((".h", ".c", ".md")):
                    with self.subTest(page=page.name, option=word):
                        self.assertTrue(f"`{word}`" in printed or (ROOT / word).exists())

    def test_commands__named_in_prose_exist(self):
        for page in PAGES:
            for word in page.words():
                named = re.match(r"(?:build/\w+/)?sluice ([a-z]+)\b", word)
                if named:
                    with self.subTest(page=page.name, command=word):
                        self.assertEqual(run_program("help", named[1]).returncode, 0)

    def test_libraries__of_the_table_are_what_the_build_links(self):
        wanted = {"libuv": "libuv", "OpenSSL": "OpenSSL", "SQLite": "sqlite3", "libyaml": "yaml-0.1", "jansson": "jansson",
                  "xxHash": "libxxhash", "http-parser": "http_parser", "re2c": "re2c", "lemon": "lemon",
                  "cmocka": "cmocka", "PCRE2": "libpcre2-8", "libjq": "jq", "zlib": "zlib", "librdkafka": "rdkafka",
                  "hiredis": "hiredis", "libpq": "libpq", "libmongoc": "libmongoc-1.0", "libcurl": "libcurl", "libcrypt": "crypt", "LMDB": "lmdb", "snappy": "snappy", "zstd": "libzstd"}
        text = "".join(p.read_text() for p in [ROOT / "CMakeLists.txt", *ROOT.glob("*/**/CMakeLists.txt")]
                       if "build" not in p.relative_to(ROOT).parts)
        found = re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET ([\w.-]+)", text)
        found += re.findall(r"find_package\((\w+)", text) + re.findall(r"find_library\(\w+ (\w+)", text)
        found += re.findall(r"find_program\(\w+ (\w+)", text)
        found = set(found) - {"Threads", "PkgConfig"}
        table = re.search(r"\| library \|.*?\n\n", (ROOT / "README.md").read_text(), re.S)[0]
        rows = "\n".join(row.split("|")[1] for row in table.strip().splitlines()[2:])
        for library, name in wanted.items():
            self.assertIn(library, rows, "the table of README.md lacks it")
            self.assertIn(name, found, f"the build does not use {library}")
        self.assertEqual(found - set(wanted.values()), set(), "the table of README.md lacks these")

    def test_conf_readme__mistakes_look_as_shown(self):
        page = next(p for p in PAGES if p.name == "conf/README.md")
        shown = next(b.text for b in page.blocks if "unknown option" in b.text)
        folder = temp_folder() / "conf"
        folder.mkdir()
        text = (ROOT / "conf/sluice.yaml").read_text()
        text = text.replace("\nmqtt:\n", "\nmqtt:\n  max_paket_size: 64KB\n  connect_timeout: 5 parsecs\n")
        (folder / "sluice.yaml").write_text(text)
        done = run_program("check", "-c", "conf/sluice.yaml", cwd=folder.parent)
        self.assertEqual((done.returncode, done.stderr), (1, shown))

    def test_readme__status_pages_and_signals_are_as_said(self):
        with Broker() as broker:
            for path in ("/metrics", "/api/v1/status"):
                self.assertEqual(broker.get(path)[0], 200)
            broker.config_path.write_text("node: {nam: x}\n")
            broker.process.send_signal(signal.SIGHUP)
            self.assertIn("name", broker.wait_log("reload refused, the running state is unchanged"))


if __name__ == "__main__":
    unittest.main()
