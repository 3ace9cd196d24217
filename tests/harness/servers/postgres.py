"""PostgreSQL 15 and PgBouncer, from Debian's packages."""
import re
import shutil
import signal
import time
from pathlib import Path

from .. import broker as own
from .base import Server, TestCa, run, shared


def _programs():
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: float(p.parent.name))
    assert folders, "PostgreSQL is not installed: tests/deps.sh install servers"
    return folders[-1]


_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _field(text):
    if text == r"\N":
        return None
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text)


class Postgres(Server):
    """Logins on 127.0.0.1, database `test` (the superuser is `test` too):
    test: no password; scramuser / pw: SCRAM-SHA-256; tlsuser: by client certificate, TLS only; tlsonly: no password, TLS
    only. The server's certificate and its CA come from TestCa.shared(). 20 connections, 17 of them for ordinary users.
    `copy_of`, another of these that runs: this one begins as a standby that streams from it, until promote()."""
    name, user, port = "postgres", "postgres", 15432

    def __init__(self, folder=None, port=None, settings=(), copy_of=None):
        super().__init__(folder)
        self.port = port or self.port
        self.settings, self.copy_of = list(settings), copy_of
        self.programs = _programs()
        self.data = self.folder / "data"

    def prepare(self):
        ca = TestCa.shared()
        shutil.chown(self.folder, self.user, self.user)
        if self.copy_of:
            self.follow(self.copy_of)
            return
        run(self.programs / "initdb", "-D", self.data, "-U", "test", "-A", "trust", "--no-sync", "--no-locale", "-E",
            "UTF8", user=self.user, cwd=self.folder)
        ca.give("server.key", self.data, self.user)
        ca.give("server.pem", self.data, self.user)
        ca.give("ca.pem", self.data, self.user)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as f:
            f.write("\n".join([
                "listen_addresses = '127.0.0.1'", f"port = {self.port}", f"unix_socket_directories = '{self.folder}'",
                "max_connections = 20", "fsync = off",
                "dynamic_shared_memory_type = mmap",  # /dev/shm is shared with servers in other namespaces
                "shared_buffers = 16MB", "ssl = on", "ssl_ca_file = 'ca.pem'",
                "ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", *self.settings]) + "\n")
        (self.data / "pg_hba.conf").write_text(
            "local all all trust\n"
            "hostssl all tlsuser 127.0.0.1/32 cert\n"
            "host replication test 127.0.0.1/32 trust\n"
            "host all scramuser 127.0.0.1/32 scram-sha-256\n"
            "hostssl all tlsonly 127.0.0.1/32 trust\n"
            "host all tlsonly,tlsuser 127.0.0.1/32 reject\n"
            "host all all 127.0.0.1/32 trust\n")

    def command(self):
        return [str(self.programs / "postgres"), "-D", str(self.data)]

    def ready(self):
        return "accepting" in run(self.programs / "pg_isready", "-h", "127.0.0.1", "-p", self.port, check=False)

    def finish_start(self):
        if self.copy_of:
            return
        self.execute("CREATE DATABASE test", database="postgres")
        self.execute("CREATE ROLE scramuser LOGIN PASSWORD 'pw'; CREATE ROLE tlsuser LOGIN; CREATE ROLE tlsonly LOGIN;"
                     "GRANT ALL ON SCHEMA public TO PUBLIC")

    # ---- Replication ----

    def follow(self, primary):
        """Becomes a standby of `primary`, whatever it held before; start it afterwards."""
        shutil.rmtree(self.data, ignore_errors=True)
        run(self.programs / "pg_basebackup", "-D", self.data, "-R", "-h", "127.0.0.1", "-p", primary.port, "-U", "test",
            "-c", "fast", "--no-sync", user=self.user, cwd=self.folder)
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as f:
            f.write(f"port = {self.port}\nunix_socket_directories = '{self.folder}'\n")

    def acknowledge_with_standbys(self, on=True):
        """Commits are answered when a standby has them as well; returns when one is there to do that."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if on else ''}'")
        self.execute("SELECT pg_reload_conf()")
        own.wait_until(lambda: not on or self.value("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "0", 30,
                       "no standby follows")

    def promote(self):
        self.execute("SELECT pg_promote()")

    def wait_ready(self):
        """After a kill the children may live a little longer than their parent and still hold the shared memory."""
        for attempt in range(50):
            try:
                return super().wait_ready()
            except AssertionError as e:
                if not self._prepared or attempt == 49 or not re.search("pre-existing shared memory|lock file", str(e)):
                    raise
            self._gone()
            time.sleep(0.1)
            self.launch()
        return self

    def stop(self, number=signal.SIGINT, timeout=20.0):
        """SIGINT: sessions are ended. SIGTERM would wait for clients to leave."""
        super().stop(number, timeout)

    def url(self, user="test", password=None, database="test", **options):
        login = f"{user}:{password}" if password else user
        tail = "&".join(f"{k}={v}" for k, v in options.items())
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}" + (f"?{tail}" if tail else "")

    def env(self):
        return {"POSTGRES_URL": self.url()}

    # ---- Looking inside, without a library: psql ----

    def execute(self, sql, database="test"):
        """Runs statements; an error is an AssertionError. Returns what psql prints, unaligned."""
        return run("psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", self.port, "-U", "test",
                   "-d", database, "-f", "-", input=sql, timeout=300)

    def query(self, sql, database="test"):
        """Rows as lists of text, exactly; NULL is None."""
        out = run("psql", "-X", "-q", "-h", "127.0.0.1", "-p", self.port, "-U", "test", "-d", database, "-v",
                  "ON_ERROR_STOP=1", "-c", f"COPY ({sql}) TO STDOUT", timeout=300)
        return [[_field(f) for f in line.split("\t")] for line in out.split("\n")[:-1]]

    def value(self, sql):
        """The one value of a query with one row and one column."""
        (row,) = self.query(sql)
        return row[0]


class PgBouncer(Server):
    """In front of a Postgres, pool_mode = transaction with two server connections: what a statement prepared in one
    transaction leaves behind is not there in the next. The same logins; scramuser's password is checked by nobody."""
    name, user, port = "pgbouncer", "postgres", 16432

    def __init__(self, folder=None, server=None, pool_size=2):
        super().__init__(folder)
        self.server, self.pool_size = server, pool_size

    def prepare(self):
        self.server = self.server or shared(Postgres)
        shutil.chown(self.folder, self.user, self.user)
        users = self.folder / "users.txt"
        users.write_text('"test" ""\n"scramuser" "pw"\n')  # a user that is not listed is refused
        (self.folder / "pgbouncer.ini").write_text("\n".join([
            "[databases]", f"* = host=127.0.0.1 port={self.server.port}", "[pgbouncer]", "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}", "unix_socket_dir =", "auth_type = trust", f"auth_file = {users}", "admin_users = test",
            "pool_mode = transaction", f"default_pool_size = {self.pool_size}", f"pidfile = {self.folder}/pid",
            "ignore_startup_parameters = extra_float_digits"]) + "\n")

    def command(self):
        return ["pgbouncer", str(self.folder / "pgbouncer.ini")]

    def stop(self, number=signal.SIGINT, timeout=5.0):
        super().stop(number, timeout)

    def url(self, user="test", database="test"):
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def console(self, command):
        """PAUSE, RESUME, RECONNECT, SHOW POOLS and the like."""
        return run("psql", "-X", "-q", "-At", "-h", "127.0.0.1", "-p", self.port, "-U", "test", "-d", "pgbouncer", "-c", command)

    def env(self):
        return {"PGBOUNCER_URL": self.url()}
