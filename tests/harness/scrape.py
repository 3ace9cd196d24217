"""Reads the counters again and again while a test runs, and checks at every scrape that they add up:

    per rule     matched  = filtered + produced + failed
    per action   received = delivered + rejected + dropped + queued

and that the Prometheus page says the same about all rules together. Between two scrapes counters may only grow.
"""
import json
import re
import threading
import time

from .broker import PATIENCE_S

GROWING_RULE = ("matched", "filtered", "produced", "failed")
GROWING_ACTION = ("received", "delivered", "rejected")


def dropped(action):
    value = action.get("dropped", 0)
    return sum(value.values()) if isinstance(value, dict) else value


def rule_error(r):
    if r["matched"] != r["filtered"] + r["produced"] + r["failed"]:
        return f"rule {r['id']}: {r['matched']} matched is not {r['filtered']} filtered + {r['produced']} produced " \
               f"+ {r['failed']} failed"
    return None


def action_error(a):
    if a["received"] != a["delivered"] + a["rejected"] + dropped(a) + a["queued"]:
        return f"action {a['rule']}/{a['index']}: {a['received']} received is not {a['delivered']} delivered + " \
               f"{a['rejected']} rejected + {dropped(a)} dropped + {a['queued']} queued"
    return None


def status_errors(status):
    errors = [rule_error(r) for r in status["rules"]] + [action_error(a) for a in status["actions"]]
    return [e for e in errors if e]


def action_metrics_errors(page):
    """Each action's rows on the /metrics page; a series that is not there is zero."""
    rows, queued = {}, {}
    for labels, value in re.findall(r"^sluice_action_rows_total\{(.*)\} (\d+)$", page, re.M):
        key, result = re.fullmatch(r'(.*),result="(\w+)"', labels).groups()
        rows.setdefault(key, {})[result] = int(value)
    for labels, value in re.findall(r"^sluice_action_queued_rows\{(.*)\} (\d+)$", page, re.M):
        queued[labels] = int(value)
    errors = []
    for key, n in rows.items():
        lost = sum(v for k, v in n.items() if k.startswith("dropped_"))
        rejected = n.get("rejected", 0)
        if n.get("received", 0) != n.get("delivered", 0) + rejected + lost + queued.get(key, 0) or \
                rejected != n.get("dead_lettered", 0) + n.get("on_error", 0):
            errors.append(f"metrics page: action {key}: {n}, {queued.get(key)} queued do not add up")
    return errors


def metrics_errors(page):
    """The totals over all rules on the /metrics page, and each action's."""
    errors = action_metrics_errors(page)
    if errors:
        return errors
    values = {n: int(v) for n, v in re.findall(r"^sluice_rules_(\w+)_total (\d+)$", page, re.M)}
    if not values:
        return ["the metrics page has no sluice_rules_*_total"]
    if values["matched"] != values["filtered"] + values["produced"] + values["failed"]:
        return [f"metrics page: rules {values} do not add up"]
    return []


class Scraper:
    """with Scraper(broker) as s: ...; then s.check(at_least=10)."""

    def __init__(self, broker, every_s=0.1, also=None):
        """also: takes the status, returns further complaints."""
        self.broker, self.every_s, self.also = broker, every_s, also or (lambda status: [])
        self.count, self.errors, self.last = 0, [], None
        self._before = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exc):
        self._stop.set()
        self._thread.join()
        self.scrape()

    def restarted(self):
        """Counters start again from what the new process knows."""
        self._before = {}

    def _run(self):
        while not self._stop.wait(self.every_s):
            self.scrape()

    def scrape(self):
        before = self._before
        try:
            code, body = self.broker.get("/api/v1/status", timeout=90)
            metrics_code, page = self.broker.get("/metrics", timeout=90)
        except (OSError, EOFError, ValueError):
            return  # the broker is down, as some tests want it
        except Exception as e:  # pylint: disable=broad-except
            if type(e).__module__ == "http.client":
                return  # cut off in the middle by a kill
            raise
        if code != 200 or metrics_code != 200:
            self.errors.append(f"pages answered {code} and {metrics_code}")
            return
        status = json.loads(body)
        self.count += 1
        self.last = status
        now = {}
        for r in status["rules"]:
            now.update({(r["id"], k): r[k] for k in GROWING_RULE})
        for a in status["actions"]:
            now.update({(a["rule"], a["index"], k): a[k] for k in GROWING_ACTION})
        shrunk = [f"{k} went from {before[k]} to {v}" for k, v in now.items() if v < before.get(k, 0)]
        if before is not self._before:
            shrunk = []  # restarted() came in between
        else:
            self._before = now
        self.errors += status_errors(status) + metrics_errors(page) + shrunk + self.also(status)

    def check(self, at_least=1):
        assert self.count >= at_least, f"only {self.count} scrapes succeeded"
        assert not self.errors, f"{len(self.errors)} of {self.count} scrapes do not add up: {self.errors[:5]}"


def settle(broker, timeout=PATIENCE_S):
    """Waits until no action has anything queued; returns the status."""
    deadline = time.monotonic() + max(timeout, PATIENCE_S)
    while True:
        status = broker.status()
        if all(a["queued"] == 0 for a in status["actions"]) or time.monotonic() > deadline:
            return status
        time.sleep(0.05)
