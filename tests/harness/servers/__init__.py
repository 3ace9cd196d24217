"""The real servers that connectors are tested against, started in temporary folders.

    from harness.servers import Kafka, Net, Postgres, shared

    class Table(unittest.TestCase):
        def setUp(self):
            self.pg = shared(Postgres)            # started at first use, one for all tests of the run
            self.pg.execute("DROP TABLE IF EXISTS t; CREATE TABLE t (id int)")

        def test_table__server_killed_midway(self):
            self.pg.kill9()
            self.pg.restart()                     # same folder, same port, what was committed is there

Run them inside tests/servers/inside.sh: the ports are fixed, and Net drops packets. tests/servers/README.md lists
ports, logins and costs; tests/servers/fetch.sh downloads what is not a Debian package.
"""
from .base import Net, Server, TestCa, shared, start_all, stop_shared
from .kafka import Kafka
from .mongodb import FerretDB, MongoJava
from .mqtt import Mosquitto, RabbitMq
from .postgres import PgBouncer, Postgres
from .redis import Redis, RedisCluster, RedisSentinel

__all__ = ["FerretDB", "Kafka", "MongoJava", "Mosquitto", "Net", "PgBouncer", "Postgres", "RabbitMq", "Redis", "RedisCluster", "RedisSentinel", "Server", "TestCa", "shared", "start_all", "stop_shared"]
