"""What all servers share: a process in a folder, waiting until it answers, certificates, a network that can go silent."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .. import broker as own

CACHE = Path(os.environ.get("SLUICE_CACHE") or Path.home() / ".cache/sluice-tests")
INSIDE = bool(os.environ.get("SLUICE_INSIDE"))


def fetched(what):
    """The path of a download; tests/servers/fetch.sh puts it there."""
    path = CACHE / what
    if not path.exists():
        raise AssertionError(f"{path} is missing: run tests/servers/fetch.sh first, outside of the namespace")
    return path


def folder_for(name):
    """A folder that other users may pass: PostgreSQL and PgBouncer refuse to run as root."""
    path = own.temp_folder() / name
    path.parent.chmod(0o755)
    path.mkdir()
    return path


def port_open(port, timeout=1.0):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=timeout).close()
        return True
    except OSError:
        return False


class Server:
    """One server process. A subclass says what to run (command), and when it is ready (ready).

    start() returns when the server answers; launch() returns at once, so that several start side by side
    (start_all does that). kill9() is a crash; restart() begins again on the same folder and ports.
    `port` is the plain port; a subclass names the others.
    """
    name = "server"
    start_limit_s = 180.0
    user = None  # runs as this user, when not as the caller's
    port = 0

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder else folder_for(self.name)
        self.log_path = self.folder / f"{self.name}.log"
        self.process = None
        self._laid_out = self._prepared = False

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()

    # ---- What a subclass says ----

    def prepare(self):
        """Once, before the first start: files and settings. Must not wait for long."""

    def command(self):
        raise NotImplementedError

    def ready(self):
        """Does the server answer? Asked again and again after the start."""
        return port_open(self.port)

    def finish_start(self):
        """After the first time it was ready: users, tables, whatever needs a server that runs."""

    def env(self):
        """Variables for a program that wants to reach the server (tests/servers/servers.sh sets them)."""
        return {}

    # ---- Life ----

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def launch(self):
        assert not self.alive(), f"{self.name} runs already"
        if not self._laid_out:
            assert not port_open(self.port), f"port {self.port} is taken: is another {self.name} running? Use " \
                                             "tests/servers/inside.sh"
            self.prepare()
            self._laid_out = True
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(as_user(self.user) + self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, cwd=self.folder, start_new_session=True)
        own._running.add(self.process)  # pylint: disable=protected-access
        return self

    def wait_ready(self):
        deadline = time.monotonic() + self.start_limit_s
        while True:
            if not self.alive():
                raise AssertionError(f"{self.name} ended at start with code {self.process.returncode}:\n{self.log()}")
            if self.ready():
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} does not answer after {self.start_limit_s:.0f} s:\n{self.log()}")
            time.sleep(0.02)
        if not self._prepared:
            self.finish_start()
            self._prepared = True
        return self

    def start(self):
        return self.launch().wait_ready()

    def _gone(self):
        process, self.process = self.process, None
        process.wait()
        own._running.discard(process)  # pylint: disable=protected-access

    def stop(self, number=signal.SIGTERM, timeout=20.0):
        """Asks it to end, and makes it end when it does not."""
        if not self.process:
            return
        if self.alive():
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self._kill_group()
        self._gone()

    def _kill_group(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def kill9(self):
        """SIGKILL to the server and its children, as a crash of the machine's memory would."""
        self._kill_group()
        self._gone()

    def restart(self):
        """Starts again on the same folder; first ends the server if it still runs."""
        if self.process:
            self.stop()
        return self.start()

    def pause(self):
        """The server hangs: connections are accepted by the kernel, and nobody answers."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def log(self):
        with contextlib.suppress(FileNotFoundError):
            return self.log_path.read_text(errors="replace")[-4000:]
        return ""


def as_user(name):
    return ["setpriv", f"--reuid={name}", f"--regid={name}", "--init-groups"] if name and os.getuid() == 0 else []


def run(*command, user=None, check=True, **options):
    """A helper program; its output as text. A failure shows what it said."""
    done = subprocess.run(as_user(user) + [str(c) for c in command], capture_output=True, text=True, check=False,
                          **{"timeout": 180, **options})
    if check and done.returncode != 0:
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


# ---- One of each for a whole run -------------------------------------------------------------------------------

_shared = {}


def shared(kind):
    """The run's instance of this kind, started at first use, and started again if a test left it dead."""
    if kind not in _shared:
        _shared[kind] = kind()
    server = _shared[kind]
    if not server.alive():
        if server.process:
            server.stop()
        server.start()
    return server


def start_all(*servers):
    """Starts several side by side: they wait for the disk and for each other, not for us."""
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready()


def stop_shared():
    for server in _shared.values():
        server.stop()
    _shared.clear()


# ---- Certificates ----------------------------------------------------------------------------------------------

class TestCa:
    """A certificate authority of the run. Files in `folder`: ca.pem; server.{key,pem}, client.{key,pem} signed by it
    (localhost and 127.0.0.1; the client's CN is `tlsuser`), server-all.pem (key and chain in one file); other.pem is
    a CA that signed nothing, elsewhere.{key,pem} a server certificate for another host name."""
    _one = None

    def __init__(self, folder=None):
        self.folder = Path(folder) if folder else folder_for("tls")
        self._authority("ca")
        self._authority("other")
        self.leaf("server", "server")
        self.leaf("client", "tlsuser")
        self.leaf("elsewhere", "elsewhere", "DNS:elsewhere.example")
        parts = [(self.folder / f).read_text() for f in ("server.key", "server.pem", "ca.pem")]
        (self.folder / "server-all.pem").write_text("".join(parts))

    @classmethod
    def shared(cls):
        cls._one = cls._one or cls()
        return cls._one

    def path(self, name):
        return str(self.folder / name)

    def _openssl(self, *args, **options):
        run("openssl", *args, cwd=self.folder, **options)

    def _authority(self, name):
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                      "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name} of the tests",
                      "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    def leaf(self, name, common_name, names="DNS:localhost,IP:127.0.0.1"):
        """A key and a certificate; keys are PKCS#8, as Kafka needs."""
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key",
                      "-out", f"{name}.csr", "-subj", f"/CN={common_name}")
        (self.folder / f"{name}.ext").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "30", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
        (self.folder / f"{name}.key").chmod(0o600)  # libpq refuses a key that others may read

    def give(self, name, folder, user=None, target=None):
        """A copy that a server running as `user` accepts: its own, and closed to others."""
        path = Path(folder) / (target or name)
        shutil.copyfile(self.folder / name, path)
        path.chmod(0o600)
        if user and os.getuid() == 0:
            shutil.chown(path, user, user)
        return path


# ---- A network that goes silent --------------------------------------------------------------------------------

class Net:
    """Packets that disappear: no FIN, no RST, as when a cable is pulled. Only inside tests/servers/inside.sh."""

    @staticmethod
    def drop(*ports, direction="both"):
        """direction: "both"; "requests" (to the server only); "answers" (the server has it, the client never knows)."""
        assert INSIDE, "packets are dropped inside tests/servers/inside.sh only"
        sides = {"both": ("dport", "sport"), "requests": ("dport",), "answers": ("sport",)}[direction]
        rules = ["add table inet sluice", "add chain inet sluice in { type filter hook input priority 0; }"]
        rules += [f"add rule inet sluice in iif lo tcp {side} {port} drop" for port in ports for side in sides]
        run("nft", "; ".join(rules))

    @staticmethod
    def restore():
        """The network is back; what was under way arrives within a second."""
        run("nft", "delete table inet sluice", check=False)

    @classmethod
    @contextlib.contextmanager
    def dropped(cls, *ports, direction="both"):
        cls.drop(*ports, direction=direction)
        try:
            yield
        finally:
            cls.restore()
