"""What the drill and the bad servers must know of each kind: one Sink a kind.

A message is {"c": client, "n": number}; the rule selects both, the action stores both, and arrivals() tells what the far
side holds, in the order in which it came.
"""
import sqlite3

from harness.broker import temp_folder
from harness.servers import FerretDB, Kafka, MongoJava, Net, Postgres, Redis, shared


class Sink:
    """`server` is one of harness.servers."""
    server, name = None, ""  # name: of the kind
    sql = 'SELECT payload.c AS c, payload.n AS n FROM "load/#"'
    # Options with which the kind notices a server that says nothing, and comes back, soon.
    hurried_connector, hurried_action = {}, {"timeout": "500ms", "retry": {"first": "1ms", "max": "20ms"}}

    def set_up(self):
        """Starts the server; empties the far side."""

    def connector(self, port=None):
        """The connector's options; `port` is that of a proxy."""
        raise NotImplementedError

    def action(self):
        raise NotImplementedError

    def arrivals(self):
        """(client, number) pairs, repetitions included."""
        raise NotImplementedError

    def proxied(self):
        """(port of the server behind a proxy, port at which the proxy must be; 0: any)."""
        return self.server.port, 0

    # What happens to the server.

    def kill(self):
        self.server.kill9()

    def restart(self):
        self.server.restart()

    def cut(self):
        Net.drop(self.server.port)

    def mend(self):
        Net.restore()


class ToSqlite(Sink):
    """No server, so no drill: tests/fault has that."""
    name = "sqlite"

    def set_up(self):
        self.path = temp_folder() / "far.db"

    def connector(self, port=None):
        return {"type": "sqlite", "path": str(self.path)}

    def action(self):
        return {"table": "readings", "columns": {"c": "${c}", "n": "${n}"}}

    def arrivals(self):
        with sqlite3.connect(self.path) as db:
            yield from db.execute("SELECT c, n FROM readings ORDER BY rowid")


class ToKafka(Sink):
    name = "kafka"
    hurried_connector = {"connect_timeout": "1s", "request_timeout": "1s",
                         "properties": {"reconnect.backoff.ms": "1", "reconnect.backoff.max.ms": "10", "retry.backoff.ms": "1"}}

    def set_up(self):
        self.server = shared(Kafka)
        self.server.warm_up()
        self.server.fresh_topic("drill", 4)

    def connector(self, port=None):
        return {"type": "kafka", "brokers": f"127.0.0.1:{port or self.server.port}"}

    def action(self):
        return {"topic": "drill", "key": "${clientid}", "value": "${c} ${n}"}

    def proxied(self):
        return self.server.behind_proxy_port, self.server.proxied_port

    def arrivals(self):
        """All of a client is in one partition, by its key."""
        for record in self.server.records("drill"):
            client, number = record.value.split()
            yield int(client), int(number)


class ToPostgres(Sink):
    """By `table`: COPY."""
    name = "postgres"
    hurried_connector = {"connect_timeout": "500ms", "pool": 1}

    def set_up(self):
        self.server = shared(Postgres)
        self.server.execute("DROP TABLE IF EXISTS drill; CREATE TABLE drill (arrived bigserial, c int NOT NULL, n int NOT NULL)")

    def connector(self, port=None):
        return {"type": "postgres", "url": f"postgresql://test@127.0.0.1:{port or self.server.port}/test"}

    def action(self):
        return {"table": "drill", "columns": {"c": "${c}", "n": "${n}"}}

    def arrivals(self):
        for client, number in self.server.query("SELECT c, n FROM drill ORDER BY arrived"):
            yield int(client), int(number)


class ToPostgresBySql(ToPostgres):
    def action(self):
        return {"sql": "INSERT INTO drill (c, n) VALUES (${c}, ${n})"}


class ToRedis(Sink):
    name = "redis"
    hurried_connector = {"connect_timeout": "500ms", "pool": 1}

    def set_up(self):
        self.server = shared(Redis)
        self.server.execute("DEL", "drill")

    def connector(self, port=None):
        return {"type": "redis", "url": f"redis://alice:pw1@127.0.0.1:{port or self.server.port}"}

    def action(self):
        return {"command": ["XADD", "drill", "*", "c", "${c}", "n", "${n}"]}

    def arrivals(self):
        with self.server.client() as client:
            start = b"-"
            while entries := client.command("XRANGE", "drill", start, "+", "COUNT", 10000):
                for _, fields in entries:
                    yield int(fields[1]), int(fields[3])
                start = b"(" + entries[-1][0]


class ToMongoDB(Sink):
    name = "mongodb"
    hurried_connector = {"connect_timeout": "500ms", "server_selection_timeout": "500ms", "timeout": "500ms", "pool": 1}
    kind = None

    def set_up(self):
        self.server = shared(self.kind)
        with self.server.client() as c:
            c.drop("test", "drill")

    def connector(self, port=None):
        url = self.server.url().replace(str(self.server.port), str(port or self.server.port))
        return {"type": "mongodb", "url": url, "database": "test"}

    def action(self):
        return {"collection": "drill", "document": {"c": "${c}", "n": "${n}"}}


class ToFerretDB(ToMongoDB):
    kind = FerretDB

    def arrivals(self):
        """From its own tables: half a million documents in a second, and surely in the order in which they came."""
        with sqlite3.connect(self.server.folder / "data/test.sqlite") as db:
            (table,) = db.execute("SELECT table_name FROM _ferretdb_collections WHERE name = 'drill'").fetchone()
            yield from db.execute("SELECT json_extract(_ferretdb_sjson, '$.c'), json_extract(_ferretdb_sjson, '$.n') "
                                  f'FROM "{table}" ORDER BY rowid')


class ToMongoJava(ToMongoDB):
    kind = MongoJava

    def arrivals(self):
        for document in self.server.find("test", "drill"):
            yield document["c"], document["n"]
