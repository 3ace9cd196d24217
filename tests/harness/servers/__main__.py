"""Starts servers for a command, or until Ctrl-C; tests/servers/servers.sh says how."""
import os
import signal
import subprocess
import sys

from . import FerretDB, Kafka, MongoJava, PgBouncer, Postgres, Redis, RedisCluster, RedisSentinel, TestCa, shared

KINDS = {"postgres": Postgres, "pgbouncer": PgBouncer, "redis": Redis, "cluster": RedisCluster, "sentinel": RedisSentinel,
         "kafka": Kafka, "ferretdb": FerretDB, "mongo-java": MongoJava}


def main():
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    names, command = words[:at], words[at + 1:]
    found = {"SLUICE_TEST_CA": TestCa.shared().path("ca.pem")}
    servers = [shared(KINDS[name]) for name in names]
    for server in servers:
        found.update(server.env())
    try:
        if command:
            return subprocess.run(command, env={**os.environ, **found}, check=False).returncode
        print("\n".join(f"{k}={v}" for k, v in found.items()), flush=True)
        print("the servers run; Ctrl-C ends them", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        for server in reversed(servers):
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
