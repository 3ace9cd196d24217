"""Runs the interoperability tests of Eclipse Paho, for 3.1.1 and 5.0, against a broker of its own:

    python3 tests/mqtt/paho.py [FOLDER]

FOLDER: a checkout of https://github.com/eclipse/paho.mqtt.testing; without it one is fetched, which needs the network. They are run by
hand, not by tests/run.sh: they wait by the clock, three minutes in all. What they ask of a broker's settings stands in
SETTINGS; paho_test.py asks the same with our own means.
"""
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.broker import Broker, temp_folder  # noqa: E402  pylint: disable=wrong-import-position

SOURCE = "https://github.com/eclipse/paho.mqtt.testing"
SUITES = ("client_test.py", "client_test5.py")


def settings(folder):
    """test_server_keep_alive wants 60 s; test_subscribe_failure a filter that is refused, in 5.0 too with 0x80."""
    rules = folder / "paho-acl.yaml"
    rules.write_text("default: allow\nrules:\n  - {deny: subscribe, topics: {eq: test/nosubscribe}}\n")
    return {"mqtt": {"keepalive_max": "60s"}, "auth": {"anonymous": True, "acl_file": str(rules), "acl_on_denied": "hide"}}


def fetch():
    folder = temp_folder() / "paho"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", SOURCE, str(folder)], check=True)
    return folder


def main():
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else fetch()
    failed = 0
    with Broker(settings(temp_folder())) as broker:
        for suite in SUITES:
            print(f"--- {suite}", flush=True)
            done = subprocess.run([sys.executable, suite, "-p", str(broker.port)], cwd=source / "interoperability", check=False)
            failed |= done.returncode
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
