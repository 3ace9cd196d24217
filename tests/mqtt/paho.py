"""Runs the interoperability tests of Eclipse Paho, for 3.1.1 and 5.0, against a broker of its own:

    python3 tests/mqtt/paho.py [--folder FOLDER] [--suite 3.1.1|5] [TEST ...]

FOLDER: a checkout of https://github.com/eclipse/paho.mqtt.testing; without it one is fetched, which needs the network.
TEST: only these, such as Test.test_keepalive. The exit status is 0 when every test passed. They are run by hand, not by
tests/run.sh: they wait by the clock, four minutes in all. What they ask of a broker's settings stands in settings();
paho_test.py asks the same with our own means.
"""
import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.broker import Broker, temp_folder  # noqa: E402  pylint: disable=wrong-import-position

SOURCE = "https://github.com/eclipse/paho.mqtt.testing"
SUITES = {"3.1.1": "client_test.py", "5": "client_test5.py"}
# Each suite reads -p itself and then starts unittest, which would read the command line again and refuses -p (the suite for
# 3.1.1 leaves it there): so unittest gets a command line of its own.
START = """
import runpy, sys, unittest
suite, tests, plain = sys.argv[1], sys.argv[4:], unittest.main
unittest.main = lambda: plain(argv=[suite, "-v"] + tests)
sys.argv = [suite] + sys.argv[2:4]
runpy.run_path(suite, run_name="__main__")
"""


def settings(folder):
    """test_server_keep_alive wants 60 s; test_subscribe_failure a filter that is refused, in 5.0 too with 0x80."""
    rules = folder / "paho-acl.yaml"
    rules.write_text("default: allow\nrules:\n  - {deny: subscribe, topics: {eq: test/nosubscribe}}\n")
    return {"mqtt": {"keepalive_max": "60s"}, "auth": {"anonymous": True, "acl_file": str(rules), "acl_on_denied": "hide"}}


def fetch():
    folder = temp_folder() / "paho"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", SOURCE, str(folder)], check=True)
    return folder


def run(suite, folder, tests):
    """A broker of its own for each suite: what one leaves behind, the other does not meet."""
    print(f"--- {suite}", flush=True)
    with Broker(settings(temp_folder())) as broker:
        command = [sys.executable, "-W", "ignore", "-c", START, suite, "-p", str(broker.port), *tests]
        return subprocess.run(command, cwd=folder / "interoperability", check=False).returncode


def main():
    parser = argparse.ArgumentParser(description="Runs the interoperability tests of Eclipse Paho.")
    parser.add_argument("--folder", type=Path, help=f"a checkout of {SOURCE}")
    parser.add_argument("--suite", choices=SUITES, action="append", help="only this one; may be given twice")
    parser.add_argument("tests", nargs="*", metavar="TEST")
    options = parser.parse_args()
    folder = options.folder.resolve() if options.folder else fetch()
    codes = [run(SUITES[name], folder, options.tests) for name in options.suite or SUITES]
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
