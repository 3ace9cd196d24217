"""Two servers that speak MongoDB's protocol, for MongoDB itself is no Debian package and neither of them does all:
FerretDB (login, capped collections) and mongo-java-server (decimal128, NaN, nested arrays). README.md of tests/servers
has the table of what each can do."""
from ..broker import ROOT
from .base import Server, TestCa, fetched, port_open
from .mongo_wire import Mongo

FERRETDB, JARS = "ferretdb-1.24.0/ferretdb", "mongo-java-1.47.0"


class _MongoServer(Server):
    port, tls_port = 0, 0
    login = None

    def url(self, tls=False, login=True, **options):
        user = f"{self.login[0]}:{self.login[1]}@" if self.login and login else ""
        if tls:
            options = {"tls": "true", "tlsCAFile": TestCa.shared().path("ca.pem"), **options}
        tail = "&".join(f"{k}={v}" for k, v in options.items())
        return f"mongodb://{user}127.0.0.1:{self.tls_port if tls else self.port}/" + (f"?{tail}" if tail else "")

    def client(self):
        return Mongo(self.port, *(self.login or ()))

    def find(self, database, collection, where=None, **options):
        """Documents as dicts; see mongo_wire for what each BSON type becomes."""
        with self.client() as c:
            return c.find(database, collection, where, **options)


class FerretDB(_MongoServer):
    """Users: u / pw (SCRAM-SHA-1 and -256, database admin). Plain on `port`, TLS on `tls_port`. Data in SQLite files."""
    name, port, tls_port = "ferretdb", 17017, 17018
    login = ("u", "pw")

    def prepare(self):
        (self.folder / "data").mkdir()
        TestCa.shared()

    def command(self):
        ca, user, password = TestCa.shared(), *self.login
        return [str(fetched(FERRETDB)), "--handler=sqlite", f"--sqlite-url=file:{self.folder}/data/",
                f"--listen-addr=127.0.0.1:{self.port}", f"--listen-tls=127.0.0.1:{self.tls_port}",
                f"--listen-tls-cert-file={ca.path('server.pem')}", f"--listen-tls-key-file={ca.path('server.key')}",
                "--telemetry=disable", "--state-dir=-", "--debug-addr=-", "--log-level=warn", "--test-enable-new-auth",
                "--setup-database=admin", f"--setup-username={user}", f"--setup-password={password}"]

    def ready(self):
        return port_open(self.port) and port_open(self.tls_port)

    def env(self):
        return {"MONGODB_URL": self.url()}


class MongoJava(_MongoServer):
    """No login. Plain on `port`; `with MongoJava(tls=True)` speaks TLS instead. `port` differs for the two."""
    name, port, tls_port = "mongo-java", 17019, 17020

    def __init__(self, folder=None, tls=False):
        super().__init__(folder)
        self.tls = tls
        if tls:
            self.port = self.tls_port

    def command(self):
        ca = TestCa.shared()
        source = str(ROOT / "tests/servers/MongoJava.java")
        secure = [ca.path("server.key"), ca.path("server.pem")] if self.tls else []
        return ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{fetched(JARS)}/*", source,
                str(self.port), str(self.folder / "data.h2"), *secure]

    def ready(self):
        return "ready" in self.log()[-6:] and port_open(self.port)

    def env(self):
        return {"MONGO_JAVA_URL": self.url()}
