"""No password, token or key is ever printed: not by a command, not in the log at any level, not on a status page, not in the words
of a client library that chokes on it, and not when a server sends it back to us."""
import json
import subprocess
import unittest

from harness.broker import BIN, Broker, sanitizer_env, temp_folder, wait_until
from harness.fake import Fake

SECRET = "hUsHhUsH7"  # in every secret option, and nowhere else
TLS = {"key_password": SECRET, "cert": "./no.pem", "key": "./no.key"}

# One connector for each place where a secret can stand; each passes `sluice check`.
RIGHT = {
    "kafka_plain": {"type": "kafka", "brokers": "127.0.0.1:1", "sasl": {"mechanism": "plain", "username": "u", "password": SECRET}},
    "kafka_scram": {"type": "kafka", "brokers": "127.0.0.1:1", "sasl": {"mechanism": "scram-sha-256", "username": "u", "password": SECRET}},
    "kafka_iam": {"type": "kafka", "brokers": "127.0.0.1:1", "tls": {},
                  "sasl": {"mechanism": "aws-msk-iam", "region": "eu-central-1", "access_key": "AK", "secret_key": SECRET,
                           "session_token": SECRET}},
    "kafka_properties": {"type": "kafka", "brokers": "127.0.0.1:1", "properties": {"ssl.keystore.password": SECRET}},
    "pg_url": {"type": "postgres", "url": f"postgres://u:{SECRET}@127.0.0.1:1/db"},
    "pg_query": {"type": "postgres", "url": f"postgres://127.0.0.1:1/db?user=u&password={SECRET}"},
    "pg_option": {"type": "postgres", "hosts": ["127.0.0.1:1"], "database": "db", "user": "u", "password": SECRET},
    "redis_url": {"type": "redis", "url": f"redis://u:{SECRET}@127.0.0.1:1"},
    "redis_option": {"type": "redis", "servers": ["127.0.0.1:1"], "username": "u", "password": SECRET},
    "redis_sentinel": {"type": "redis", "mode": "sentinel", "master": "m", "servers": ["127.0.0.1:1"], "password": SECRET,
                       "sentinel_password": SECRET},
    "mqtt_option": {"type": "mqtt", "url": "mqtt://127.0.0.1:1", "username": "u", "password": SECRET},
    "mongo_url": {"type": "mongodb", "url": f"mongodb://u:{SECRET}@127.0.0.1:1/iot", "server_selection_timeout": "100ms"},
}
# And each of these is refused, by us or by the client library.
WRONG = {
    "kafka": [
        {"sasl": {"mechanism": "plain", "password": SECRET}},
        {"sasl": {"mechanism": "plain", "username": "u", "password": [SECRET]}},
        {"sasl": {"mechanism": "oauthbearer", "token_url": f"https://u:{SECRET}@h/t", "client_id": "u", "client_secret": SECRET}},
        {"properties": {"ssl.key.password": SECRET, "no.such.property": SECRET}},
        {"properties": {"sasl.password": SECRET}},
        {"properties": {"ssl.ca.pem": SECRET}},
        {"properties": {"sasl.oauthbearer.client.secret": SECRET}},
        {"properties": {"sasl.oauthbearer.config": SECRET}},
        {"properties": {"ssl.key.password": [SECRET]}},
        {"properties": SECRET},
        {"tls": TLS},
        {"sasl": SECRET},
    ],
    "postgres": [
        {"url": f"postgres://u:{SECRET}@127.0.0.1:port/db"},
        {"url": f"postgres://u:{SECRET}@127.0.0.1:1/db?nonsense=1"},
        {"url": f"postgres://u:{SECRET}%zz@127.0.0.1:1/db"},
        {"url": f"postgres://u:{SECRET}@[::1/db"},
        {"url": f"postgres://u:x@{SECRET}@127.0.0.1:99999/db"},
        {"url": f"host=127.0.0.1 password='{SECRET}"},
        {"url": f"host=127.0.0.1 password={SECRET} nonsense"},
        {"url": f"postgres://127.0.0.1:1/db?sslpassword={SECRET}&sslmode=never"},
        {"url": [f"postgres://u:{SECRET}@127.0.0.1:1/db"]},
        {"url": "postgres://127.0.0.1:1/db", "password": {"a": SECRET}},
        {"url": f"postgres://u:{SECRET}@127.0.0.1:1/db", "password": SECRET + "2"},
        {"hosts": ["127.0.0.1:1"], "database": "db", "user": "u", "tls": TLS, "password": SECRET},
        {"url": "postgres://127.0.0.1:1/db", "password": "${file:./not-there}"},
    ],
    "redis": [
        {"url": f"redis://u:{SECRET}@127.0.0.1:port"},
        {"url": f"redis://u:{SECRET}@127.0.0.1:1/database"},
        {"url": f"http://u:{SECRET}@127.0.0.1:1"},
        {"url": f"redis://u:{SECRET}"},
        {"url": f"u:{SECRET}@127.0.0.1"},
        {"url": f"redis://u:{SECRET}@127.0.0.1:1", "password": SECRET},
        {"url": f"redis://u:{SECRET}@127.0.0.1:1", "servers": ["h"]},
        {"url": f"redis://u:a%zz{SECRET}@127.0.0.1:1"},
        {"url": "redis://127.0.0.1:1", "password": [SECRET]},
        {"url": "rediss://127.0.0.1:1", "tls": TLS},
        {"servers": ["127.0.0.1:1"], "sentinel_password": SECRET},
        {"servers": ["127.0.0.1:1"], "sentinel_password": {"x": SECRET}},
    ],
    "mqtt": [
        {"url": f"mqtt://u:{SECRET}@127.0.0.1:1"},
        {"url": f"mqtts://u:{SECRET}@127.0.0.1:port"},
        {"url": f"http://u:{SECRET}@127.0.0.1"},
        {"url": "mqtt://127.0.0.1:1", "password": SECRET},
        {"url": "mqtt://127.0.0.1:1", "username": "u", "password": [SECRET]},
        {"url": "mqtts://127.0.0.1:1", "tls": TLS},
    ],
    "mongodb": [
        {"url": f"mongodb://u:{SECRET}@127.0.0.1:x/iot"},
        {"url": f"mongodb://u:{SECRET}:more@127.0.0.1/iot"},
        {"url": f"mongodb://u:{SECRET}@h@127.0.0.1/iot"},
        {"url": f"mongodb://u:{SECRET}%zz@127.0.0.1/iot"},
        {"url": f"mongodb://u:{SECRET}@/iot"},
        {"url": f"mongodb://u:{SECRET}@127.0.0.1"},
        {"url": f"mongo://u:{SECRET}@127.0.0.1/iot"},
        {"url": f"mongodb://u:{SECRET}@127.0.0.1/iot?authMechanism=NONE"},
        {"url": f"mongodb://u:{SECRET}@127.0.0.1/iot?w=0"},
        {"url": f"mongodb://127.0.0.1/iot?tls=true&tlsCertificateKeyFile=/no.pem&tlsCertificateKeyFilePassword={SECRET}"},
        {"url": f"mongodb://u:{SECRET}@127.0.0.1/a.b"},
        {"url": f"mongodb://AK:{SECRET}@127.0.0.1/iot?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:{SECRET}&x"},
        {"url": {"a": f"mongodb://u:{SECRET}@127.0.0.1/iot"}},
        {"url": "mongodb://127.0.0.1/iot", "tls": TLS},
    ],
}
ACTIONS = {
    "kafka": {"topic": "t", "value": "${a}"},
    "postgres": {"table": "t", "columns": {"a": "${a}"}},
    "redis": {"command": ["SET", "a", "${a}"]},
    "mqtt": {"topic": "t"},
    "mongodb": {"collection": "c"},
}


def echo(conn):
    """A server that sends back what it gets, as some put the arguments of a command that they do not know into their error."""
    while True:
        data = conn.file.read1(4096)
        if not data:
            return
        conn.send(b"-ERR unknown command, with args beginning with: '" + data.replace(b"\r\n", b" ") + b"'\r\n")


class Secrets(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()

    def write(self, name, text):
        (self.folder / name).write_text(text if isinstance(text, str) else json.dumps(text, indent=1))
        return name

    def say(self, *words, code=None):
        """All that a command prints."""
        done = subprocess.run([BIN, *words], cwd=self.folder, env={**sanitizer_env(), "MARK": SECRET}, capture_output=True, text=True,
                              errors="replace", timeout=120, check=False)
        said = done.stdout + done.stderr
        self.assertNotIn(SECRET, said, f"{words}: {said[:3000]}")
        if code is not None:
            self.assertEqual(done.returncode, code, f"{words}: {said[:3000]}")
        return said

    def test_secrets__of_settings_that_are_right(self):
        config = {"connectors": RIGHT, "rules": {f"r{i}": {
            "sql": 'SELECT payload.a AS a FROM "t"', "actions": [{"connector": name, **ACTIONS[c["type"]]}]}
            for i, (name, c) in enumerate(RIGHT.items())}}
        self.write("a.yaml", config)
        self.say("check", "-v", "-c", "a.yaml", code=0)
        listed = self.say("connector", "list", "-c", "a.yaml", code=0)
        self.assertGreaterEqual(listed.count("***"), 13)
        for name in RIGHT:
            self.assertIn("does not work", self.say("connector", "test", name, "-c", "a.yaml", "--timeout", "3", code=3))

    def test_secrets__of_settings_that_are_wrong(self):
        for kind, cases in WRONG.items():
            for case in cases:
                with self.subTest(kind=kind, case=case):
                    brokers = {"brokers": "127.0.0.1:1"} if kind == "kafka" else {}
                    self.write("a.yaml", {"connectors": {"x": {"type": kind, **brokers, **case}}})
                    if "a.yaml:" in self.say("check", "-c", "a.yaml"):
                        continue  # every other command says the same
                    self.say("connector", "list", "-c", "a.yaml", code=0)
                    self.say("connector", "test", "x", "-c", "a.yaml", "--timeout", "2", code=3)
        for text in (f'connectors: {{x: {{type: redis, password: "{SECRET}\n', f"connectors: {{x: {{type: redis, password: {SECRET}: a}}}}\n",
                     f"connectors:\n  x: {{type: redis, password: {SECRET}, password: {SECRET}}}\n", f"connectors:\n\tpassword: {SECRET}\n",
                     f"connectors:\n  x: {{type: redis, pasword: {SECRET}}}\n", f"connectors:\n  x: redis://u:{SECRET}@h\n"):
            with self.subTest(text=text):
                self.say("check", "-c", self.write("a.yaml", text), code=1)

    def test_secrets__that_come_from_the_environment_and_from_files(self):
        self.write("secret.txt", SECRET + "\n")
        for how in ("${MARK}", "${file:./secret.txt}"):
            self.write("a.yaml", {"connectors": {
                "pg": {"type": "postgres", "url": f"postgres://u:{how}@127.0.0.1:port/db"},
                "redis": {"type": "redis", "url": f"redis://u:{how}@127.0.0.1:port"},
                "docs": {"type": "mongodb", "url": f"mongodb://u:{how}@127.0.0.1:x/"},
                "lake": {"type": "kafka", "brokers": "127.0.0.1:1", "properties": {"ssl.keystore.password": how, "acks": how}}}})
            self.say("check", "-c", "a.yaml", code=1)
            self.write("a.yaml", {"connectors": {name: json.loads(json.dumps(c).replace(SECRET, how)) for name, c in RIGHT.items()}})
            self.say("check", "-c", "a.yaml", code=0)
            self.say("connector", "list", "-c", "a.yaml", code=0)

    def test_secrets__that_a_server_sends_back(self):
        with Fake(echo) as fake:
            for settings in ({"type": "redis", "url": f"redis://:{SECRET}@127.0.0.1:{fake.port}"},
                             {"type": "redis", "url": f"redis://u:{SECRET}@127.0.0.1:{fake.port}/3"},
                             {"type": "redis", "mode": "sentinel", "master": "m", "servers": [f"127.0.0.1:{fake.port}"],
                              "sentinel_password": SECRET},
                             {"type": "postgres", "url": f"postgres://u:{SECRET}@127.0.0.1:{fake.port}/db"},
                             {"type": "mongodb", "url": f"mongodb://u:{SECRET}@127.0.0.1:{fake.port}/db", "server_selection_timeout": "1s"},
                             {"type": "kafka", "brokers": f"127.0.0.1:{fake.port}",
                              "sasl": {"mechanism": "plain", "username": "u", "password": SECRET}}):
                with self.subTest(settings=settings):
                    self.write("a.yaml", {"connectors": {"x": settings}})
                    self.say("connector", "test", "x", "-c", "a.yaml", "--timeout", "3", code=3)

    def test_secrets__of_a_broker_that_runs(self):
        with Fake(echo) as fake:
            connectors = {**RIGHT, "echo": {"type": "redis", "url": f"redis://u:{SECRET}@127.0.0.1:{fake.port}"}}
            config = {"log": {"level": "debug"}, "connectors": connectors, "rules": {f"r{i}": {
                "sql": 'SELECT payload.a AS a FROM "t"', "actions": [{"connector": name, **ACTIONS[c["type"]]}]}
                for i, (name, c) in enumerate(connectors.items())},
                "sources": {"orders": {"connector": "kafka_properties", "topics": ["x"], "properties": {"ssl.keystore.password": SECRET}}}}
            with Broker(config, folder=self.folder) as broker:
                for turn in range(2):
                    wait_until(lambda: [c["state"] for c in broker.status()["connectors"] if not c.get("retiring")]
                               == ["down"] * len(connectors), 60)
                    pages = [broker.get(path)[1] for path in ("/", "/health", "/metrics", "/api/v1/status")]
                    self.assertNotIn(SECRET, "".join(pages))
                    self.assertIn("***", pages[-1])
                    broker.write_config(json.loads(json.dumps(config).replace(SECRET, f"{SECRET}{turn}")))
                    self.say("plan", "-c", str(broker.config_path))
                    broker.reload()
                    broker.wait_log("reloaded")
                self.assertNotIn(SECRET, broker.log())
            self.assertNotIn(SECRET, broker.log())
            self.assertNotIn(SECRET, "".join(p.read_text(errors="replace") for p in (self.folder / "data").rglob("*") if p.is_file()))


if __name__ == "__main__":
    unittest.main()
