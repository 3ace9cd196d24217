"""The tour behind examples/quickstart.sh: broker up, factory playing, counters and rows shown and checked.

The broker runs with conf/sluice.yaml as it stands; only where one of its ports is taken, with a copy on free ports.
What the tour measures is what this run added, so it can be repeated over the same data folder.
"""
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLUICE = ROOT / "build/release/sluice"
CONF = ROOT / "conf/sluice.yaml"
SECONDS, RATE = 10, 2000
DATABASE = ROOT / "data/archive.db"


def is_taken(port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def choose_ports(folder):
    """The configuration to use and its MQTT and admin ports."""
    text = CONF.read_text()
    ports = {name: int(port) for name, port in re.findall(r'(type: tcp|admin:)[^\n]*\n?[^\n]*?127\.0\.0\.1:(\d+)', text)}
    mqtt, admin = ports["type: tcp"], ports["admin:"]
    if not is_taken(mqtt) and not is_taken(admin):
        return CONF, mqtt, admin
    for old in (mqtt, admin):
        if is_taken(old):
            new = free_port()
            print(f"     port {old} is taken; using {new} for this run")
            text = text.replace(f"127.0.0.1:{old}", f"127.0.0.1:{new}")
            mqtt, admin = (new, admin) if old == mqtt else (mqtt, new)
    copy = folder / "sluice.yaml"
    copy.write_text(text)
    return copy, mqtt, admin


class Tour:
    def __init__(self, folder):
        self.folder = folder
        self.conf, self.mqtt_port, self.admin_port = choose_ports(folder)
        self.log = open(folder / "broker.log", "wb")
        self.broker = self.feed = self.pub = None

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/api/v1/status", timeout=10) as answer:
            return json.load(answer)

    def start(self):
        self.broker = subprocess.Popen([SLUICE, "run", "-c", str(self.conf)], cwd=ROOT, stderr=self.log, stdout=self.log)
        for _ in range(200):
            if self.broker.poll() is not None:
                sys.exit("the broker did not start:\n" + (self.folder / "broker.log").read_text())
            try:
                return self.status()
            except OSError:
                time.sleep(0.05)
        sys.exit("the broker does not answer on its admin port")

    def play(self, before):
        """Factory | sluice pub, with a line on the screen that moves. Returns what the factory sent."""
        self.feed = subprocess.Popen([sys.executable, ROOT / "examples/factory/simulate.py", "--seconds", str(SECONDS),
                                      "--rate", str(RATE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.pub = subprocess.Popen([SLUICE, "pub", "-p", str(self.mqtt_port), "--topic-lines", "-q", "1", "--quiet"],
                                    stdin=self.feed.stdout)
        self.feed.stdout.close()
        told = []
        reader = threading.Thread(target=lambda: told.append(self.feed.stderr.read()))
        reader.start()
        began = time.monotonic()
        while self.pub.poll() is None:
            time.sleep(1)
            published = matched(self.status()) - matched(before)
            print(f"     {time.monotonic() - began:4.0f} s  {published:6d} messages through the rules", flush=True)
        reader.join()
        if self.feed.wait() or self.pub.returncode:
            sys.exit(f"the factory could not publish: {told}")
        return json.loads(told[0])

    def settle(self):
        """Waits until every row has arrived."""
        for _ in range(600):
            status = self.status()
            if all(a["queued"] == 0 for a in status["actions"]):
                return status
            time.sleep(0.05)
        return status

    def stop(self):
        for process in (self.feed, self.pub, self.broker):
            if process and process.poll() is None:
                process.send_signal(signal.SIGTERM)
        code = self.broker.wait(30) if self.broker else 0
        self.log.close()
        return code


def matched(status):
    return max((r["matched"] for r in status["rules"]), default=0)


def added(after, before, keys, name):
    """The counters of each entry less what they were before; nested counts (dropped) become their sum."""
    def number(entry, key):
        value = entry.get(key, 0)
        return sum(value.values()) if isinstance(value, dict) else value
    old = {name(e): e for e in before}
    return {name(e): {k: number(e, k) - number(old.get(name(e), {}), k) for k in keys} for e in after}


RULE_KEYS = ("matched", "filtered", "produced", "failed", "rows")
ACTION_KEYS = ("received", "delivered", "rejected", "dropped", "queued")


def table(title, keys, rows):
    print(f"\n{title:<28}" + "".join(f"{k:>11}" for k in keys))
    for name, counts in rows.items():
        print(f"  {name:<26}" + "".join(f"{counts[k]:>11}" for k in keys))


def count_rows(name):
    if not DATABASE.exists():
        return 0
    db = sqlite3.connect(DATABASE, timeout=10)
    try:
        return db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # the table comes with its first row
    finally:
        db.close()


def sample(name):
    db = sqlite3.connect(DATABASE, timeout=10)
    rows = db.execute(f"SELECT * FROM {name} ORDER BY rowid DESC LIMIT 5")
    heads = [d[0] for d in rows.description]
    print(f"\nlast rows of {name} in {DATABASE.relative_to(ROOT)}:")
    print("  " + "".join(f"{h:>16}" for h in heads))
    for row in rows:
        print("  " + "".join(f"{str(v):>16}" for v in row))
    db.close()


def differences(sent, rules, actions, stored):
    """What does not add up, in words; empty when all does."""
    bad = []
    for name, r in rules.items():
        if r["matched"] != r["filtered"] + r["produced"] + r["failed"]:
            bad.append(f"rule {name}: matched is not filtered + produced + failed")
    for name, a in actions.items():
        if a["received"] != a["delivered"] + a["rejected"] + a["dropped"] + a["queued"]:
            bad.append(f"action {name}: received is not delivered + rejected + dropped + queued")
        if a["queued"] or a["dropped"] or a["rejected"]:
            bad.append(f"action {name}: not every row was delivered")
        if a["received"] != rules[name.split("/")[0]]["rows"]:
            bad.append(f"action {name}: received is not the rows of its rule")
    readings = rules["readings"]
    if (readings["matched"], readings["failed"]) != (sent["sent"], sent["rubbish"]):
        bad.append(f"the factory sent {sent['sent']} messages, {sent['rubbish']} of them rubbish; the rule saw "
                   f"{readings['matched']} and {readings['failed']}")
    for name, grown in stored.items():
        if grown != rules[name]["rows"]:
            bad.append(f"the table of rule {name} grew by {grown} rows, the rule made {rules[name]['rows']}")
    return bad


TABLES = {"readings": "readings", "hot_assets": "alerts"}  # rule: its table


def tour(folder):
    t = Tour(folder)
    try:
        before = t.start()
        before = t.settle()  # rows that an earlier run left in its logs
        rows_before = {rule: count_rows(name) for rule, name in TABLES.items()}
        sent = t.play(before)
        after = t.settle()
        rules = added(after["rules"], before["rules"], RULE_KEYS, lambda r: r["id"])
        actions = added(after["actions"], before["actions"], ACTION_KEYS, lambda a: f"{a['rule']}/{a['index']} {a['connector']}")
        stored = {rule: count_rows(name) - rows_before[rule] for rule, name in TABLES.items()}
    finally:
        code = t.stop()
    table("rule", RULE_KEYS, rules)
    table("action", ACTION_KEYS, actions)
    for name in TABLES.values():
        sample(name)
    bad = differences(sent, rules, actions, stored)
    if code:
        bad.append(f"the broker ended with code {code}")
    print(f"\nsent {sent['sent']} messages with QoS 1, {sent['rubbish']} of them malformed on purpose: "
          + ("everything adds up." if not bad else "NOT everything adds up:"))
    for line in bad:
        print("  " + line)
    return not bad


def main():
    if not SLUICE.exists():
        sys.exit("build/release/sluice is missing; run examples/quickstart.sh")
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="sluice-tour-") as folder:
        fine = tour(Path(folder))
    program = SLUICE.relative_to(ROOT)
    print(f"""
To keep it running:      {program} run -c conf/sluice.yaml
and in another terminal: python3 examples/factory/simulate.py --seconds 3600 | {program} pub --topic-lines -q 1
                         {program} sub -t 'alerts/#'
Status and metrics:      http://127.0.0.1:18083/api/v1/status   http://127.0.0.1:18083/metrics""")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
