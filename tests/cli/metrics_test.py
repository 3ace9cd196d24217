"""/metrics as Prometheus reads it: promtool has nothing to say, names and labels are those of conf/metrics.md, and a page of
thousands of actions stays small. SLUICE_RENEW=1 writes conf/metrics.md anew.
"""
import json
import os
import re
import shutil
import subprocess
import unittest

from harness import packet as m
from harness.broker import ROOT, Broker, free_port, temp_folder, wait_until
from harness.client import Client
from harness.pki import Pki

CONTRACT = ROOT / "conf/metrics.md"
HEAD = """\
# Metrics

What `/metrics` on `admin.bind` says, in Prometheus' text format. Names, types and labels stay as they are; `tests/cli/metrics_test.py`
compares this page with a running broker's. A series that has a label `retiring` belongs to an action that a reload has
sent to another connector, or ended, while it still has rows. With more than 1,000 actions those of their series that are zero are left out.

| name | type | labels | meaning |
| --- | --- | --- | --- |
"""

CONNECTORS = {
    "lite": {"type": "sqlite", "path": "./a.db"},
    "gone": {"type": "null"},
    "disk": {"type": "file", "dir": "./files"},
    "lake": {"type": "kafka", "brokers": "127.0.0.1:1"},
    "pg": {"type": "postgres", "url": "postgres://u:s3cret@127.0.0.1:1/db"},
    "docs": {"type": "mongodb", "url": "mongodb://u:s3cret@127.0.0.1:1/", "database": "d"},
    "cache": {"type": "redis", "url": "redis://u:s3cret@127.0.0.1:1"},
}
RULES = {
    "every": {"sql": 'SELECT payload.a AS a FROM "t/#"', "actions": [
        {"connector": "lite", "table": "x", "columns": {"a": "${a}"}},
        {"connector": "gone", "columns": {"a": "${a}"}},
        {"connector": "disk", "file": "x"},
        {"connector": "lake", "topic": "x", "value": "${a}"},
        {"connector": "pg", "table": "x", "columns": {"a": "${a}"}},
        {"connector": "docs", "collection": "x", "document": {"a": "${a}"}},
        {"connector": "cache", "command": ["SET", "a", "${a}"]},
        {"republish": {"topic": "r/${a}", "payload": "${a}"}},
    ]},
    "shadowed": {"sql": 'SELECT payload.a AS a FROM "t/#"', "actions": [{"console": {}}],
                 "shadow": 'SELECT payload.b AS a FROM "t/#"'},
    "windows": {"sql": "SELECT count(*) AS n FROM 't/#' GROUP BY tumbling('1s')", "actions": [{"console": {}}]},
}
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def families(page):
    """name -> [type, help, names of labels]"""
    found, name = {}, None
    for line in page.splitlines():
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            found[name] = ["", text, set()]
        elif line.startswith("# TYPE "):
            found[line.split()[2]][0] = line.split()[3]
        else:
            sample, labels, _ = SAMPLE.match(line).groups()
            base = sample if sample in found else re.sub(r"_(bucket|sum|count)$", "", sample)
            assert base == name, f"{line}: stands below {name}"
            found[base][2] |= {k for k, _ in LABEL.findall(labels or "")} - {"retiring", "le"}
    return found


def printed(found):
    rows = [f"| `{name}` | {kind} | {', '.join(sorted(labels)) or '-'} | {text} |"
            for name, (kind, text, labels) in sorted(found.items())]
    return HEAD + "\n".join(rows) + "\n"


class Metrics(unittest.TestCase):
    def page(self, broker):
        code, page = broker.get("/metrics")
        self.assertEqual(code, 200)
        return page

    def test_metrics__of_all_kinds_please_promtool_and_are_the_contract(self):
        folder = temp_folder()
        connectors = json.loads(json.dumps(CONNECTORS).replace("./", f"{folder}/"))
        chain = {"anonymous": True, "acl_default": "allow", "chain": [{"type": "cert"}]}
        config = {"connectors": connectors, "rules": RULES, "auth": chain, "sources": {
            "in": {"connector": "lake", "topics": ["x"]}, "made": {"connector": "gone", "messages": 0}}}
        pki, broker = Pki(folder), Broker(config, folder=folder, start=False)
        broker.write_config({"listeners": broker.config["listeners"] + [
            {"name": "mqtts", "type": "tls", "bind": f"127.0.0.1:{free_port()}",
             "tls": {"cert": pki.path("server.pem"), "key": pki.path("server.key")}}]})
        with broker.start():
            with Client(broker.port) as c:
                c.connect("m")
                for i in range(20):
                    c.publish(f"t/{i}", b'{"a": %d}' % i, qos=1)
            wait_until(lambda: all(a["received"] == 20 for a in broker.status()["actions"]))
            wait_until(lambda: broker.action("every", 1)["delivered"] == 20)
            page = self.page(broker)
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, timeout=60)
            self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))
        self.assertNotIn("s3cret", page)
        left = int(re.search(r'sluice_listener_certificate_seconds\{listener="mqtts"\} (\d+)', page)[1])
        self.assertTrue(59 * 86400 < left <= 60 * 86400, left)
        found = families(page)
        if os.environ.get("SLUICE_RENEW"):
            CONTRACT.write_text(printed(found))
        self.assertEqual(CONTRACT.read_text(), printed(found), "SLUICE_RENEW=1 writes conf/metrics.md anew")

    def test_health__names_connectors_that_are_not_up(self):
        folder = temp_folder()
        connectors = {"wrong": {"type": "sqlite", "path": "/dev/null/a.db"}, "good": {"type": "null"}}
        with Broker({"connectors": connectors, "rules": {}}, folder=folder) as broker:
            def health():
                code, body = broker.get("/health")
                self.assertEqual(code, 200)
                return json.loads(body)
            wait_until(lambda: health().get("connectors", [{}])[0].get("state") == "down" and len(health()["connectors"]) == 1)
            told = health()
            self.assertEqual((told["status"], told["connectors"][0]["name"]), ("degraded", "wrong"))
            self.assertIn("unable to open", told["connectors"][0]["reason"])
            broker.write_config({"connectors": {"good": {"type": "null"}, "wrong": {"type": "null"}}})
            broker.reload()
            wait_until(lambda: health() == {"status": "ok"})

    def test_event__tells_of_a_stalled_connector(self):
        folder = temp_folder()
        connectors = {"gone": {"type": "null", "delay": "1h"}}
        rules = {"store": {"sql": 'SELECT payload.a AS a FROM "t"',
                           "actions": [{"connector": "gone", "columns": {"a": "${a}"}, "stalled_after": "100ms"}]},
                 "told": {"sql": 'SELECT state, reason, connector AS name FROM "$events/connector/status" WHERE state = \'stalled\'',
                          "actions": [{"republish": {"topic": "told", "payload": "${.}"}}]}}
        with Broker({"connectors": connectors, "rules": rules}, folder=folder) as broker:
            with Client(broker.port) as c:
                c.connect("m")
                c.subscribe("told")
                c.publish("t", b'{"a": 1}', qos=1)
                told = json.loads(c.expect(m.PUBLISH, topic="told").payload)
            self.assertEqual((told["state"], told["name"]), ("stalled", "gone"))
            self.assertIn("action store.0 makes no progress: rows sent and not answered: 1", told["reason"])
            self.assertRegex(self.page(broker), r'sluice_action_stalled\{rule="store",action="0",connector="gone"\} 1\n')
            broker.write_config({"connectors": {"gone": {"type": "null"}}})
            broker.reload()
            wait_until(lambda: broker.action("store")["delivered"] == 1)
            self.assertEqual(broker.action("store")["state"], "running")

    def test_metrics__of_2000_actions_that_delivered_stay_small(self):
        rules = {f"r{i}": {"sql": f'SELECT payload.a AS a FROM "t"',
                           "actions": [{"connector": "gone", "columns": {"a": "${a}"}}]} for i in range(2000)}
        config = {"connectors": {"gone": {"type": "null"}}, "rules": rules}
        with Broker(config, folder=temp_folder()) as broker:
            with Client(broker.port) as c:
                c.connect("m")
                c.publish("t", b'{"a": 1}', qos=1)
            wait_until(lambda: all(a["delivered"] == 1 for a in broker.status()["actions"]))
            page = self.page(broker)
        lines = [line for line in page.splitlines() if line.startswith("sluice_action_")]
        self.assertLess(len(lines), 2000 * 9)
        self.assertLess(sum(map(len, lines)), 2000 * 900)
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
