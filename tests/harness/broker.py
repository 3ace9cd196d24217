"""Starts the broker under test on free ports in a folder of its own, and stops it: nothing is left behind.

The program is $SLUICE_BIN (tests/run.sh sets it), by default the dev build. With TEST_TARGET=mosquitto the same
tests run against Debian's mosquitto, which is how a protocol test shows that it is right itself.
A broker that ends badly, or whose sanitizer says something, fails the test that stops it.
"""
import atexit
import collections
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = os.path.abspath(os.environ.get("SLUICE_BIN") or ROOT / "build/dev/sluice")
TARGET = os.environ.get("TEST_TARGET", "sluice")
SLOW = 4 if "tsan" in BIN else 2 if "dev" in BIN else 1
PATIENCE_S = 90.0  # nothing that must happen is waited for less long: how fast the machine is, no test asks
SANITIZER = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:)")
_running = set()
_folders = set()
_given = collections.deque(maxlen=1000)


def free_port():
    """Below the range that outgoing connections use, so that nobody takes it before the broker does; not one of those that were
    given before, which somebody may be about to use."""
    while True:
        port = random.randrange(20000, 32000)
        if port in _given:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                _given.append(port)
                return port
            except OSError:
                continue


def temp_folder():
    path = tempfile.mkdtemp(prefix="sluice-test-")
    _folders.add(path)
    return Path(path)


def sanitizer_env():
    """Settings under which a finding ends the program with a code of its own and prints where."""
    env = dict(os.environ)
    env.setdefault("ASAN_OPTIONS", "exitcode=99:abort_on_error=0:detect_leaks=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:exitcode=99")
    env.setdefault("TSAN_OPTIONS", f"exitcode=99:suppressions={ROOT}/tests/harness/tsan.supp")
    return env


@atexit.register
def _sweep():
    for process in list(_running):
        process.kill()
        process.wait()
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


def _told_to_stop(*_):
    _sweep()
    os._exit(143)  # an exception would only fail the test that runs


signal.signal(signal.SIGTERM, _told_to_stop)


def run_program(*args, stdin=None, timeout=180, cwd=None, program=None):
    """The program's exit code, output and errors, as text."""
    done = subprocess.run([program or BIN, *args], input=stdin, capture_output=True, text=True, timeout=timeout,
                          cwd=cwd, env=sanitizer_env(), check=False)
    if SANITIZER.search(done.stderr):
        raise AssertionError(f"sanitizer report from {args}:\n{done.stderr[-6000:]}")
    return done


class Broker:
    """One broker process; restart() keeps its ports and folder. `config` is merged over the defaults."""

    def __init__(self, config=None, folder=None, program=None, start=True):
        self.folder = Path(folder) if folder else temp_folder()
        self.port, self.admin_port = free_port(), free_port()
        self.program = program or BIN
        self.config_path = self.folder / "sluice.yaml"
        self.log_path = self.folder / "broker.log"
        self.process = None
        self.allowed_to_fail = False
        self.config = self.default_config()
        self.write_config(config or {})
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop(check=kind is None)

    def default_config(self):
        return {
            "node": {"name": "test", "data_dir": str(self.folder / "data")},
            "listeners": [{"name": "mqtt", "type": os.environ.get("TEST_TRANSPORT", "tcp"), "bind": f"127.0.0.1:{self.port}"}],
            "auth": {"anonymous": True},
            "admin": {"bind": f"127.0.0.1:{self.admin_port}"},
        }

    def write_config(self, changes):
        """JSON is YAML; a section given replaces keys of the section that stands, an empty one empties it."""
        for key, value in changes.items():
            if value and isinstance(value, dict) and isinstance(self.config.get(key), dict):
                self.config[key] = {**self.config[key], **value}
            else:
                self.config[key] = value
        self.config_path.write_text(json.dumps(self.config, indent=1))

    # ---- Life ----

    def command(self):
        if TARGET == "mosquitto":
            path = self.folder / "mosquitto.conf"
            limit = {"1KB": 1024, "64KB": 65536}.get(self.config.get("mqtt", {}).get("max_packet_size"), 1 << 20)
            path.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
                            f"max_packet_size {limit}\nuser root\n")
            return ["mosquitto", "-c", str(path)]
        return [self.program, "run", "-c", str(self.config_path)]

    def start(self, wait=True):
        log = open(self.log_path, "ab")
        # Should the test run itself be killed, the kernel ends the broker.
        guard = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(guard + self.command(), stdout=log, stderr=log, cwd=self.folder, env=sanitizer_env())
        log.close()
        _running.add(self.process)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=PATIENCE_S):
        deadline = time.monotonic() + timeout
        pages = TARGET == "sluice" and self.config["admin"].get("enabled", True)
        ports = [self.port, self.admin_port] if pages else [self.port]
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self._forget()
                raise AssertionError(f"the broker ended at start with code {self.process.returncode}:\n{self.log()}")
            try:
                for port in ports:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"the broker does not accept connections:\n{self.log()}")

    def _forget(self):
        _running.discard(self.process)

    def stop(self, check=True, timeout=PATIENCE_S):
        """SIGTERM, wait, and look at how it ended. Returns the exit code."""
        if not self.process:
            return None
        process, self.process = self.process, None
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "no end within the time allowed"
        _running.discard(process)
        if check:
            found = SANITIZER.search(self.log())
            assert not found, f"sanitizer report:\n{self.log()[found.start():][:6000]}"
            assert code == 0, f"the broker ended with {code}:\n{self.log()[-3000:]}"
        return code

    def stop_at_once(self):
        """Two signals: the second one ends what the first one waits for. How it ended is looked at as stop() does."""
        for said in ("stopping", "stopping at once"):
            self.process.send_signal(signal.SIGTERM)
            self.wait_log(said, 30 * SLOW)
        return self.stop()

    def kill(self):
        """SIGKILL, as a crash would."""
        process, self.process = self.process, None
        process.kill()
        process.wait()
        _running.discard(process)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def log(self):
        try:
            return self.log_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_log(self, pattern, timeout=PATIENCE_S, after=0):
        """The first line of the log, from offset `after`, in which the pattern is found."""
        found = []

        def look():
            found[:] = [line for line in self.log()[after:].splitlines() if re.search(pattern, line)]
            return bool(found)
        wait_until(look, timeout, lambda: f"no log line with {pattern!r} in:\n{self.log()[after:][-3000:]}")
        return found[0]

    def rss_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))

    # ---- Admin API ----

    def get(self, path, timeout=PATIENCE_S):
        c = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=timeout)
        try:
            c.request("GET", path)
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def status(self):
        code, body = self.get("/api/v1/status")
        assert code == 200, f"status page answered {code}: {body}"
        return json.loads(body)

    def rule(self, name):
        return next(r for r in self.status()["rules"] if r["id"] == name)

    def action(self, rule, index=0):
        return next(a for a in self.status()["actions"] if a["rule"] == rule and a["index"] == index)

    def connector(self, name):
        return next(c for c in self.status()["connectors"] if c["name"] == name)

    def wait_connector(self, name, state, timeout=PATIENCE_S):
        """Until the connector is in this state; the reason that stands beside it, on the same page."""
        page = {}

        def there():
            page.update(reason=None)
            page.update(self.connector(name))
            return page["state"] == state
        wait_until(there, timeout, lambda: f"not {state}: {page}\n{self.log()[-6000:]}")
        return page["reason"]

    def wait_settled(self, rule, index=0, timeout=60.0 * SLOW):
        """Waits until the action has nothing queued; returns its counters."""
        last = {}

        def empty():
            last.update(self.action(rule, index))
            return last["queued"] == 0
        wait_until(empty, timeout, lambda: f"action of {rule} still has rows queued: {last}")
        return last


def wait_until(condition, timeout=PATIENCE_S, message="condition did not come true"):
    """For `timeout` seconds or PATIENCE_S, whichever is longer."""
    deadline = time.monotonic() + max(timeout, PATIENCE_S)
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(message() if callable(message) else message)
        time.sleep(0.02)
