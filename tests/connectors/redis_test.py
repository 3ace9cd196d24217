"""The redis connector against a real server: what a rule sends is what the keys hold, and each row gets its own answer."""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

from connectors.redis_case import RedisCase
from harness.broker import BIN, ROOT, free_port, run_program, temp_folder, wait_until
from harness.servers import TestCa

README = ROOT / "connectors/redis/README.md"


def relay(front, port):
    """One connection of a unix socket to a port, until either side ends."""
    client, _ = front.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:
        def copy(a, b):
            with contextlib.suppress(OSError):
                while data := a.recv(65536):
                    b.sendall(data)
        back = threading.Thread(target=copy, args=(server, client), daemon=True)
        back.start()
        copy(client, server)
        server.shutdown(socket.SHUT_RDWR)
        back.join()


class Commands(RedisCase):
    def get(self, *words):
        return self.redis.execute(*words)

    def test_redis__command_with_templates(self):
        self.deliver({"d": "a", "t": 21.5}, {"d": "b", "t": 3}, sql='SELECT payload.d AS device, payload.t AS t FROM "in/#"',
                     action={"command": ["HSET", "room:${device}", "t", "${t}", "unit", "C"]})
        self.assertEqual(self.get("HGETALL", "room:a"), [b"t", b"21.5", b"unit", b"C"])
        self.assertEqual(self.get("HGETALL", "room:b"), [b"t", b"3", b"unit", b"C"])

    def test_redis__several_commands_in_their_order(self):
        self.deliver({"k": "a", "v": "1"}, {"k": "a", "v": "2"},
                     action={"commands": [["SET", "last:${k}", "${v}"], ["RPUSH", "all", "${k}=${v}"], ["INCRBY", "n", 2]]})
        self.assertEqual((self.get("GET", "last:a"), self.get("LRANGE", "all", 0, -1), self.get("GET", "n")),
                         (b"2", [b"a=1", b"a=2"], b"4"))

    def test_redis__objects_and_arrays_become_arguments_where_a_command_takes_many(self):
        sql = 'SELECT payload.o AS o, payload.l AS l FROM "in/#"'
        message = {"o": {"t": 21.50, "s": "q\"\u00e9\n", "n": None, "deep": {"a": [1]}, "b": True}, "l": ["x", 2, {"y": 1}]}
        self.deliver(message, sql=sql, action={"commands": [
            ["HSET", "h", "${o}"], ["RPUSH", "l", "${l}"], ["SET", "text", "${o}"], ["RPUSH", "whole", "${o}"],
            ["HSET", "emqx", "${map_to_redis_hset_args(o)}"], ["XADD", "x", "*", "${o}"], ["HSET", "row", "${.}"],
            ["SADD", "joined", "<${l}>"]]})
        pairs = [b"t", b"21.5", b"s", "q\"\u00e9\n".encode(), b"deep", b'{"a":[1]}', b"b", b"true"]
        self.assertEqual(sorted(self.get("HGETALL", "h")), sorted(pairs))
        self.assertEqual(self.get("LRANGE", "l", 0, -1), [b"x", b"2", b'{"y":1}'])
        self.assertEqual(json.loads(self.get("GET", "text")), message["o"])
        self.assertEqual(json.loads(self.get("LRANGE", "whole", 0, -1)[0]), message["o"])
        self.assertEqual(self.get("HGET", "emqx", "t"), b"21.500000")
        self.assertEqual(self.get("XRANGE", "x", "-", "+")[0][1], pairs)
        self.assertEqual(json.loads(self.get("HGET", "row", "l")), message["l"])
        self.assertEqual(self.get("SMEMBERS", "joined"), [b'<["x",2,{"y":1}]>'])

    def test_redis__empty_object_is_rejected_alone(self):
        self.deliver({"v": {}}, {"v": {"a": 1}}, {"v": "text"}, rejected=2, action={"command": ["HSET", "h", "${v}"]})
        self.assertEqual(self.get("HGETALL", "h"), [b"a", b"1"])
        self.assertIn("${v} is empty", self.reasons[0])
        self.assertIn("wrong number of arguments", self.reasons[1])

    def test_redis__key_without_a_value(self):
        self.deliver({"v": 1}, {"k": "", "v": 2}, {"k": "a"}, rejected=1)
        self.assertIn("${k} is the key and has no value", self.reasons[0])
        self.assertEqual((self.get("GET", ""), self.get("GET", "a")), (b"2", b""))

    def test_redis__stream(self):
        self.deliver(*({"k": "a", "v": n} for n in range(250)), {"k": "b", "v": None}, {"k": "a", "v": {"x": 1}}, rejected=1,
                     action={"stream": {"key": "s:${k}", "maxlen": 20, "approximate": False, "fields": {"v": "${v}"}}})
        entries = self.get("XRANGE", "s:a", "-", "+")
        self.assertEqual([e[1] for e in entries], [[b"v", str(n).encode()] for n in range(231, 250)] + [[b"v", b'{"x":1}']])
        self.assertIn("every field of the entry is NULL", self.reasons[0])

    def test_redis__stream_of_whole_rows_with_ids(self):
        self.deliver({"k": "1-1", "v": "x"}, {"k": "1-2", "v": None}, {"k": "1-1", "v": "old"}, rejected=1,
                     action={"stream": {"key": "s", "id": "${k}"}})
        self.assertEqual(self.get("XRANGE", "s", "-", "+"), [[b"1-1", [b"k", b"1-1", b"v", b"x"]], [b"1-2", [b"k", b"1-2"]]])
        self.assertIn("equal or smaller", self.reasons[0])

    def test_redis__stream_fields_from_one_template(self):
        self.deliver({"v": {"a": 1, "b": "x"}}, action={"stream": {"key": "s", "fields": "${v}"}})
        self.assertEqual(self.get("XRANGE", "s", "-", "+")[0][1], [b"a", b"1", b"b", b"x"])

    def test_redis__ttl(self):
        self.deliver({"k": "a", "v": 1}, action={"command": ["SET", "${k}", "${v}"], "ttl": "1h"})
        self.assertTrue(3500000 < self.get("PTTL", "a") <= 3600000)
        self.deliver({"k": "h", "v": 1}, action={"command": ["HSET", "${k}", "f", "${v}"], "ttl": "90s", "transaction": True})
        self.assertTrue(80000 < self.get("PTTL", "h") <= 90000)
        self.deliver({"k": "s", "v": 1}, action={"stream": {"key": "${k}"}, "ttl": "1d"})
        self.assertTrue(86300000 < self.get("PTTL", "s") <= 86400000)

    def test_redis__transaction(self):
        action = {"transaction": True, "commands": [["INCR", "n"], ["RPUSH", "l", "${v}"], ["HSET", "h", "f", "${v}"]]}
        self.deliver(*({"v": n} for n in range(500)), action=action)
        self.assertEqual((self.get("GET", "n"), self.get("LLEN", "l"), self.get("HGET", "h", "f")), (b"500", 500, b"499"))
        self.get("DEL", "h")
        self.get("SET", "h", "text")
        self.deliver({"v": "x"}, action=action, rejected=1)
        self.assertIn("command 3 (HSET): WRONGTYPE", self.reasons[0])
        self.assertIn("does not undo", self.reasons[0])

    def test_redis__transaction_that_is_refused_does_nothing(self):
        action = {"transaction": True, "commands": [["INCR", "n"], ["HSET", "h", "${v}"]]}
        self.deliver({"v": "one word"}, {"v": {"f": 1}}, rejected=1, action=action)
        self.assertIn("command 2 (HSET): ERR wrong number of arguments", self.reasons[0])
        self.assertEqual(self.get("GET", "n"), b"1")

    def test_redis__scripts(self):
        script = "if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('RPUSH', KEYS[2], ARGV[1]) redis.call('SET', KEYS[1], 1, 'EX', 60) end"
        self.deliver({"k": "1", "v": "a"}, {"k": "1", "v": "a"}, {"k": "2", "v": "b"},
                     action={"command": ["EVAL", script, 2, "seen:{q}:${k}", "out:{q}", "${v}"]})
        self.assertEqual(self.get("LRANGE", "out:{q}", 0, -1), [b"a", b"b"])

    def test_redis__script_with_no_arguments_behind_its_keys(self):
        script = "return redis.call('RPUSH', KEYS[1], #ARGV)"
        self.deliver({"v": []}, {"v": ["a", "b"]}, action={"command": ["EVAL", script, 1, "l", "${v}"]})
        self.assertEqual(self.get("LRANGE", "l", 0, -1), [b"0", b"2"])
        self.deliver({"k": 1, "v": []}, {"k": 2, "v": []}, {"k": 1, "v": ["l"]}, rejected=1,
                     action={"command": ["EVAL", script, "${k}", "l", "${v}"]})
        self.assertIn("${v} is empty", self.reasons[0])

    def test_redis__empty_text_is_an_argument_but_no_command(self):
        self.deliver({"k": "s"}, action={"command": ["SADD", "${k}", ""]})
        self.assertEqual(self.get("SMEMBERS", "s"), [b""])
        self.deliver({"v": 1}, action={"command": ["EVAL", "redis.call('SET', KEYS[1], '<' .. ARGV[1] .. '>')", 1, "", ""]})
        self.assertEqual(self.get("GET", ""), b"<>")
        for command in ([], "", [""], ["", "k"]):
            code, said = self.check({"command": command})
            self.assertEqual(code, 1, said)
            self.assertRegex(said, "no name of a command|0 entries")

    def test_redis__once_as_the_readme_says_it(self):
        """A row that could not be stored is no copy: replayed, it is stored; replayed once more, it is known."""
        script = re.search(r"- EVAL\n +- \|\n(.*?) +- 2\n", README.read_text(), re.S).group(1)
        action = {"command": ["EVAL", script, 2, "{readings}:seen:${m}", "{readings}", "${k}", "${v}"]}
        self.get("SET", "{readings}", "text")
        with self.broker(action, sql='SELECT msgid() AS m, payload.k AS k, payload.v AS v FROM "in/#"') as b:
            path = b.folder / "data/dead/r.0.jsonl"
            self.publish(b, {"k": "a", "v": 1})
            self.assertEqual(b.wait_settled("r")["rejected"], 1)
            letters = path.read_text()
            self.assertIn("WRONGTYPE", letters)
            self.get("DEL", "{readings}")
            for n in (1, 2):
                path.write_text(letters)
                said = run_program("replay", "-c", str(b.config_path), cwd=b.folder)
                self.assertEqual(said.returncode, 0, said.stderr)
                self.assertEqual(b.wait_settled("r")["replayed"], n)
                self.assertEqual(self.get("XLEN", "{readings}"), 1)
        self.assertEqual(self.get("XRANGE", "{readings}", "-", "+")[0][1], [b"device", b"a", b"t", b"1"])

    def test_redis__database_and_client_name(self):
        with self.broker(database=3, client_name="plant-7") as b:
            self.publish(b, {"k": "a", "v": 1})
            b.wait_settled("r")
            self.assertIn(b"name=plant-7", self.get("CLIENT", "LIST"))
        self.assertIsNone(self.get("GET", "a"))
        with self.redis.client() as c:
            c.command("SELECT", 3)
            self.assertEqual(c.command("GET", "a"), b"1")

    def test_redis__describes_itself(self):
        ca = TestCa.shared()
        with self.broker(url=self.redis.url(tls=True), tls={"ca": ca.path("ca.pem")}) as b:
            self.wait_state(b, "up")
            shown = json.dumps(self.state(b))
        for part in (f'"127.0.0.1:{self.redis.tls_port}"', '"ready"', "TLSv1.3"):
            self.assertIn(part, shown)

    def test_redis__unix_socket(self):
        self.redis.execute("CONFIG", "GET", "port")
        path = str(self.redis.folder / "redis.sock")
        with socket.socket(socket.AF_UNIX) as front:  # Redis takes such a setting only at its start
            front.bind(path)
            front.listen()
            threading.Thread(target=relay, args=(front, self.redis.port), daemon=True).start()
            self.deliver({"k": "a", "v": 1}, servers=[path], username="alice", password="pw1", url=None)
            os.unlink(path)

    def test_redis__pool_keeps_the_order_of_a_key(self):
        with self.broker({"command": ["RPUSH", "l:${k}", "${v}"], "order_key": "${k}"}, pool=4) as b:
            self.publish(b, *({"k": n % 10, "v": n} for n in range(3000)))
            self.assertEqual(b.wait_settled("r")["delivered"], 3000)
        for k in range(10):
            self.assertEqual([int(v) for v in self.get("LRANGE", f"l:{k}", 0, -1)], list(range(k, 3000, 10)))


class Rows(RedisCase):
    """Every row gets its own answer."""

    def test_redis__one_poison_row_in_ten_thousand(self):
        self.redis.execute("SET", "k5000", "no hash")
        self.deliver(*({"k": f"k{n}", "v": n} for n in range(10000)), rejected=1, action={"command": ["HSET", "${k}", "v", "${v}"]})
        self.assertIn("WRONGTYPE", self.reasons[0])
        self.assertIn("use another key", self.reasons[0])
        self.assertEqual(self.redis.execute("DBSIZE"), 10000)
        self.assertEqual(self.redis.execute("HGET", "k9999", "v"), b"9999")

    def test_redis__values_that_a_command_does_not_take(self):
        self.deliver(*({"k": "n", "v": v} for v in (1, "x", 2.5, -1, "9223372036854775807", "1 2", 1, -7)), rejected=4,
                     action={"command": ["INCRBY", "${k}", "${v}"]})
        self.assertEqual(self.redis.execute("GET", "n"), b"9223372036854775800")
        self.assertEqual(sum("not an integer" in r for r in self.reasons), 3)

    def test_redis__hostile_values_are_data(self):
        values = ["'; DROP TABLE x; --", 'q"uo\\te', "$1 ${x} $${y}", "nul\0byte", "\r\nFLUSHALL\r\n", "*1\r\n$8\r\nFLUSHALL\r\n",
                  "$-1\r\n", "%s%n", "\u202e\ud7ff", " ", "{a}b", "-ERR x", "x" * 100000]
        self.deliver(*({"k": v, "v": v} for v in values), action={"commands": [["SET", "${k}", "${v}"], ["RPUSH", "l", "${v}"]]})
        for v in values:
            self.assertEqual(self.redis.execute("GET", v), v.encode())
        self.assertEqual(self.redis.execute("LRANGE", "l", 0, -1), [v.encode() for v in values])
        raw = [b"\xff\x00\xfe'\"\\", b"\x80", bytes(range(256))]
        self.deliver(*raw, sql='SELECT payload AS v FROM "in/#"', action={"command": ["RPUSH", "raw", "${v}"]})
        self.assertEqual(self.redis.execute("LRANGE", "raw", 0, -1), raw)

    def test_redis__full_memory_makes_rows_wait(self):
        self.redis.execute("SET", "fill", "x" * 100000)
        with self.broker() as b:
            self.redis.execute("CONFIG", "SET", "maxmemory", "1mb")
            try:
                self.publish(b, *({"k": f"k{n}", "v": n} for n in range(50)))
                time.sleep(1.5)
                n = b.action("r")
                self.assertEqual((n["queued"], n["rejected"], n["retried"]), (50, 0, 0))
                self.assertRegex(self.wait_state(b, "degraded"), "takes no rows for now: OOM command not allowed .*maxmemory")
            finally:
                self.redis.execute("CONFIG", "SET", "maxmemory", "0")
            self.assertEqual(b.wait_settled("r")["delivered"], 50)
            self.wait_state(b, "up")

    def test_redis__busy_with_a_script(self):
        self.redis.execute("CONFIG", "SET", "busy-reply-threshold", "50")
        with self.broker() as b, self.redis.client() as c:
            self.wait_state(b, "up")
            c.send("EVAL", "while true do end", 0)
            time.sleep(0.3)
            self.publish(b, *({"k": f"k{n}", "v": n} for n in range(20)))
            time.sleep(0.5)
            self.assertEqual(b.action("r")["queued"], 20)
            self.redis.execute("SCRIPT", "KILL")
            self.assertEqual(b.wait_settled("r")["delivered"], 20)

    def test_redis__what_no_row_is_to_blame_for_makes_the_action_wait(self):
        cases = (({"command": ["HNOSUCH", "${k}", "${v}"]}, "unknown command"),
                 ({"command": ["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", 1, "${k}"]}, "SCRIPT LOAD"))
        for action, part in cases:
            with self.subTest(part=part), self.broker(action) as b:
                self.publish(b, {"k": "a", "v": "of a message"})
                reason = self.wait_state(b, "degraded")
                self.assertIn(part, reason)
                self.assertNotIn("of a message", reason)
                self.assertEqual(b.action("r")["queued"], 1)
                b.kill()

    def test_redis__one_row_whose_word_is_no_command(self):
        """What no row is to blame for where it is fixed, one is where a template makes it: the others are stored."""
        self.redis.execute("SET", "n:there", 1)
        sha = self.redis.execute("SCRIPT", "LOAD", "return redis.call('RPUSH', KEYS[1], ARGV[1])").decode()
        self.redis.execute("ACL", "SETUSER", "narrow", "+object|encoding")
        self.addCleanup(self.redis.execute, "ACL", "SETUSER", "narrow", "-object|encoding")
        narrow = {"url": self.redis.url("narrow", "pw3")}
        cases = ((["OBJECT", "${k}", "n:there"], "ENCODING", "NOSUCH", "unknown subcommand", {}),
                 (["OBJECT", "${k}", "n:there"], "ENCODING", "REFCOUNT", "NOPERM", narrow),
                 (["EVALSHA", "${k}", 1, "list", "${v}"], sha, "0" * 40, "NOSCRIPT", {}),
                 (["PUBLISH", "${k}", "${v}"], "n:there", "n:secret", "NOPERM", narrow))
        self.redis.execute("ACL", "SETUSER", "narrow", "+publish", "resetchannels", "&n:there")
        self.addCleanup(self.redis.execute, "ACL", "SETUSER", "narrow", "-publish", "resetchannels")
        for command, good, bad, reason, connector in cases:
            for at in (0, 50, 99):
                with self.subTest(reason=reason, at=at):
                    rows = [{"k": bad if n == at else good, "v": n} for n in range(100)]
                    with self.broker({"command": command, "batch": {"rows": 30}}, **connector) as b:
                        self.publish(b, *rows)
                        self.publish_until(b, 1, {"k": good, "v": 100})  # where the bad one is first or last
                        self.assertIn(reason, self.dead(b)[0]["reason"])

    def test_redis__more_denied_rows_than_a_batch_has(self):
        """As long as others come now and then, which are stored; also where a row is another command each time it goes."""
        for value in ("${v}", "${meta.delay_ms}"):
            with self.subTest(value=value), \
                 self.broker({"command": ["SET", "${k}", value], "batch": {"rows": 10}}, url=self.redis.url("narrow", "pw3")) as b:
                self.publish(b, *({"k": f"x:{n}", "v": n} for n in range(45)))
                self.wait_state(b, "degraded")
                self.publish_until(b, 45, {"k": "n:a", "v": 1})

    def test_redis__many_denied_rows_take_five_batches(self):
        """In each one of others is let in at least; fewer may be a coincidence, when rights change all the time."""
        with self.broker({"command": ["SET", "${k}", "${v}"], "batch": {"rows": 10}}, url=self.redis.url("narrow", "pw3")) as b:
            self.publish(b, *({"k": f"x:{n}", "v": n} for n in range(45)))
            self.wait_state(b, "degraded")
            n = b.action("r")
            while n["rejected"] == 0:
                self.publish(b, {"k": "n:a", "v": 1})
                wait_until(lambda least=n["delivered"] + 1: b.action("r")["delivered"] >= least, 30, lambda: str(b.action("r")))
                n = b.action("r")
            self.assertGreaterEqual(n["delivered"], 5)
            self.publish_until(b, 45, {"k": "n:a", "v": 1})

    def test_redis__denied_rows_alone_on_their_links(self):
        """Each key has a link of its own in the pool: what is let in on others tells, after some batches."""
        action = {"command": ["RPUSH", "${k}", "${v}"], "order_key": "${k}", "retry": {"first": "10ms", "max": "50ms"}}
        self.redis.execute("ACL", "SETUSER", "narrow", "+rpush")
        self.addCleanup(self.redis.execute, "ACL", "SETUSER", "narrow", "-rpush")
        with self.broker(action, url=self.redis.url("narrow", "pw3"), pool=8) as b:
            good = [{"k": "n:good", "v": n} for n in range(100)]
            self.publish(b, *good[:50], *({"k": f"x:{n}", "v": n} for n in range(3)), *good[50:])

            def more():
                self.publish(b, *good)
                return b.action("r")["rejected"] == 3
            wait_until(more, 30, lambda: str(b.action("r")))
            n = b.wait_settled("r")
            self.assertEqual((n["rejected"], n["delivered"]), (3, n["received"] - 3))
            self.assertEqual(sorted(d["row"]["k"] for d in self.dead(b)), ["x:0", "x:1", "x:2"])
        self.assertEqual(self.redis.execute("LLEN", "n:good"), n["delivered"])

    def test_redis__rights(self):
        with self.broker({"command": ["HSET", "n:${k}", "v", "${v}"]}, url=self.redis.url("narrow", "pw3")) as b:
            self.publish(b, {"k": "a", "v": 1})
            reason = self.wait_state(b, "degraded")
            self.assertIn("ACL SETUSER", reason)
            self.redis.execute("ACL", "SETUSER", "narrow", "+hset")
            try:
                self.assertEqual(b.wait_settled("r")["delivered"], 1)
            finally:
                self.redis.execute("ACL", "SETUSER", "narrow", "-hset")
        with self.broker({"command": ["SET", "${k}", "${v}"]}, url=self.redis.url("narrow", "pw3")) as b:
            self.publish(b, {"k": "x:a", "v": 1})
            self.assertIn("keys", self.wait_state(b, "degraded"))
            self.publish_until(b, 1, {"k": "n:b", "v": 1})


class Security(RedisCase):
    def test_redis__tls(self):
        ca = TestCa.shared()
        url = self.redis.url(tls=True)
        plain = url.replace("rediss:", "redis:")
        for options in ({"url": url, "tls": {"ca": ca.path("ca.pem")}}, {"url": plain, "tls": {"ca": ca.path("ca.pem")}},
                        {"url": url, "tls": {"verify": False}},
                        {"url": url, "tls": {"ca": ca.path("ca.pem"), "cert": ca.path("client.pem"), "key": ca.path("client.key")}}):
            with self.subTest(**options):
                self.deliver(*({"k": f"k{n}", "v": "x" * 3000} for n in range(500)), **options)

    def test_redis__a_certificate_that_is_renewed_in_its_place_counts_from_a_reload_on(self):
        ca, folder = TestCa.shared(), temp_folder()
        files = {name: folder / name for name in ("ca.pem", "client.pem", "client.key")}
        for name, path in files.items():
            shutil.copy(ca.path(name), path)
        tls = {"ca": str(files["ca.pem"]), "cert": str(files["client.pem"]), "key": str(files["client.key"])}

        def connections():
            return [line for line in self.redis.execute("CLIENT", "LIST").decode().splitlines() if "name=renewed" in line]

        def reload(b):
            before = b.log().count("reloaded")
            b.reload()
            wait_until(lambda: b.log().count("reloaded") > before, 20, b.log)
        with self.broker(url=self.redis.url(tls=True), tls=tls, client_name="renewed") as b:
            self.publish(b, {"k": "a", "v": 1})
            b.wait_settled("r")
            first = [line.split()[0] for line in connections()]
            reload(b)
            self.publish(b, {"k": "a", "v": 2})
            b.wait_settled("r")
            self.assertEqual([line.split()[0] for line in connections()], first)
            files["client.pem"].write_text(files["client.pem"].read_text() + "\n")
            reload(b)
            wait_until(lambda: connections() and all(line.split()[0] not in first for line in connections()), 20,
                       lambda: f"{first} {connections()} {b.log()}")
            self.publish(b, {"k": "a", "v": 3})
            n = b.wait_settled("r")
            self.assertEqual((n["delivered"], n["rejected"]), (3, 0))
        shutil.rmtree(folder)

    def test_redis__what_is_wrong_is_said(self):
        ca = TestCa.shared()
        tls = self.redis.url(tls=True)
        cases = (
            ({"url": self.redis.url(password="wrong-pw")}, "check `username` and `password`"),
            ({"url": f"redis://:wrong-pw@127.0.0.1:{self.redis.port}"}, "set `username` too"),
            ({"url": f"redis://127.0.0.1:{self.redis.port}"}, "set `password`"),
            ({"url": self.redis.url() + "/99"}, "check `database`"),
            ({"url": tls}, "certificate"),
            ({"url": tls, "tls": {"ca": ca.path("other.pem")}}, "certificate"),
            ({"url": self.redis.url().replace("redis:", "rediss:"), "tls": {"ca": ca.path("ca.pem")}}, "TLS"),
            ({"url": tls.replace("rediss:", "redis:")}, "does it want TLS"),
            ({"url": "redis://127.0.0.1:1"}, "refused"),
            ({"url": "redis://no-such-host.invalid"}, "no-such-host.invalid"),
        )
        for options, part in cases:
            with self.subTest(**options), self.broker(**options) as b:
                self.publish(b, {"k": "a", "v": 1})
                self.assertIn(part, self.wait_state(b, "down", 20))
                self.assertNotIn("wrong-pw", b.log())
                self.assertEqual(b.action("r")["queued"], 1)
                b.kill()  # a stop would wait for the row

    def test_redis__secrets_are_shown_nowhere(self):
        with self.broker() as b, self.broker(url=f"redis://127.0.0.1:{self.redis.port}", username="alice", password="pw1") as b2:
            self.wait_state(b, "up")
            self.wait_state(b2, "up")
            shown = json.dumps(b.status()) + b.log() + json.dumps(b2.status()) + b2.log()
        self.assertNotIn("pw1", shown)


class Check(RedisCase):
    def test_check__says_what_is_wrong_and_what_to_do(self):
        url = "redis://127.0.0.1"
        cases = (
            ({"url": "http://x"}, {}, "redis://"),
            ({"url": "redis://u:geheim@"}, {}, "host:port"),
            ({"url": "redis://u@h"}, {}, "without a password"),
            ({"url": "redis://u:gehe%zzim@h"}, {}, "%25"),
            ({"url": "redis://h/one"}, {}, "number of a database"),
            ({"url": "redis://h?db=1"}, {}, "options behind ?"),
            ({"url": "redis://u:geheim@h", "password": "geheim"}, {}, "keep one of them"),
            ({"url": url, "servers": ["a:1"]}, {}, "exclude each other"),
            ({"servers": ["a:1", "b:1"]}, {}, "mode: sentinel"),
            ({"servers": ["a:1"], "mode": "sentinel"}, {}, "`master`"),
            ({"servers": ["a:1"], "mode": "cluster", "database": 2}, {}, "only database 0"),
            ({"servers": ["a:1"], "mode": "cluster", "pool": 2}, {}, "one connection a node"),
            ({"servers": ["a:x"], "mode": "cluster"}, {}, "servers[0]"),
            ({"servers": ["redis://u:geheim@a:1"], "mode": "cluster"}, {}, "servers[0]: this is no address but more"),
            ({"url": url, "username": "u"}, {}, "needs `password`"),
            ({"url": url}, {"command": ["SUBSCRIBE", "c"]}, "only listens"),
            ({"url": url}, {"command": ["blpop", "c", 0]}, "waits for data"),
            ({"url": url}, {"commands": [["MULTI"]]}, "transaction: true"),
            ({"url": url}, {"command": ["CONFIG", "SET", "x", "y"]}, "manages the server"),
            ({"url": url}, {"command": ["SELECT", 1]}, "sends it itself"),
            ({"url": url}, {"command": ["HSETT", "k", "f", "v"]}, "did you mean HSET?"),
            ({"url": url}, {"commands": [["SET", "k", "v"], ["XDAD", "s", "*", "f", "v"]]}, "commands[1][0]: Redis has no command XDAD; did you mean XADD?"),
            ({"url": url}, {"command": ["${k}", "x"]}, "only its arguments are data"),
            ({"url": url}, {"command": "SET k v"}, "as a list"),
            ({"url": url}, {"command": "SET k ${v}"}, "as a list"),
            ({"url": url}, {"commands": ["SET", "k"]}, "commands[0] is a list"),
            ({"url": url}, {"commands": [["SET", {"a": 1}]]}, "commands[0][1]"),
            ({"url": url}, {"command": ["SET", "k", "v"], "stream": {"key": "s"}}, "one of `command`"),
            ({"url": url}, {"ttl": "1h"}, "one of `command`"),
            ({"url": url}, {"stream": {"maxlen": 5}}, "`key` is missing"),
            ({"url": url}, {"command": ["SET", "k", "v", "EX", 5], "ttl": "1h"}, "exclude each other"),
            ({"url": url}, {"command": ["PUBLISH", "c", "v"], "ttl": "1h"}, "needs a key"),
            ({"url": url}, {"command": ["SET", "${nope}", "v"]}, "nope"),
        )
        for connector, action, part in cases:
            with self.subTest(part=part, **connector, **action):
                code, text = self.check(action or None, **connector)
                self.assertEqual(code, 1, text)
                self.assertIn(part, text)
                self.assertNotIn("geheim", text)


    def test_check__knows_every_command_of_the_server(self):
        """Without those that are refused for what they are; and lets through what may be a module's or a renamed one."""
        page = (ROOT / "connectors/redis/README.md").read_text()
        refused = set(re.findall(r"`([A-Z]+)`", page[page.index("| refused | why |"):].split("\n\n")[0]))
        names = {name.decode().upper() for name in self.redis.execute("COMMAND", "LIST") if b"|" not in name}
        self.assertGreater(len(names - refused), 150)
        config = self.config()
        commands = sorted(names - refused) + ["JSON.SET", "b840fc02d52404"]
        config["rules"] = {f"r{i}": {"sql": 'SELECT 1 AS a FROM "t"', "actions": [
            {"connector": "cache", "command": [name, "x", "y", "z"]} for name in commands[i:i + 60]]} for i in range(0, len(commands), 60)}
        folder = temp_folder()
        (folder / "c.yaml").write_text(json.dumps(config))
        done = run_program("check", "-c", str(folder / "c.yaml"))
        self.assertEqual(done.returncode, 0, done.stderr)


class Example(RedisCase):
    def test_example__prints_what_is_expected(self):
        env = {**os.environ, "SLUICE_BIN": BIN, "REDIS_URL": self.redis.url(), "EXAMPLE_PORT": str(free_port())}
        done = subprocess.run([str(ROOT / "examples/redis/run.sh")], capture_output=True, text=True, timeout=300, check=False, env=env)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("as expected", done.stdout)


class Matrix(RedisCase):
    """TYPES.md: each kind of value, alone in an argument, inside of text, as a stream's field and as an object's member."""
    PATH = ROOT / "connectors/redis/TYPES.md"
    KINDS = (
        ("text", "payload.v", {"v": "a\u00e9"}), ("empty text", "payload.v", {"v": ""}),
        ("integer", "payload.v", {"v": -7}), ("large integer", "payload.v", {"v": 9223372036854775807}),
        ("larger number", "payload.v", {"v": 123456789012345678901234567890}),
        ("float", "payload.v", {"v": 21.5}), ("whole float", "payload.v + 0.5", {"v": 2.5}), ("tiny float", "payload.v", {"v": 1e-07}),
        ("true", "payload.v", {"v": True}), ("false", "payload.v", {"v": False}),
        ("null in the message", "payload.v", {"v": None}), ("missing", "payload.v", {}),
        ("object", "payload.v", {"v": {"a": 1, "b": None}}), ("array", "payload.v", {"v": [1, "x", None]}),
        ("empty array", "payload.v", {"v": []}), ("bytes", "payload", b"\xff\x00\x01"),
    )

    def show(self, value):
        if value is None:
            return "left out"
        if value == b"":
            return "empty"
        return "`" + value.decode("ascii", "backslashreplace").replace("\0", "\\x00").replace("\x01", "\\x01").replace("|", "\\|") + "`"

    def column(self, kind, sql, message):
        self.redis.execute("FLUSHALL")
        select = f'SELECT {sql} AS v FROM "in/#"'
        with self.broker({"commands": [["SET", "alone", "${v}"], ["SET", "text", "<${v}>"], ["RPUSH", "list", "${v}"]]}, select) as b:
            self.publish(b, message)
            b.wait_settled("r")
            rejected = self.dead(b)
        cells = [self.redis.execute("GET", "alone"), self.redis.execute("GET", "text")]
        items = self.redis.execute("LRANGE", "list", 0, -1)
        many = "rejected: the command would lack arguments" if rejected else ", ".join(self.show(i) for i in items)
        with self.broker({"stream": {"key": "s", "fields": {"v": "${v}", "one": "1"}}}, select) as b:
            self.publish(b, message)
            b.wait_settled("r")
        fields = self.redis.execute("XRANGE", "s", "-", "+")[0][1]
        field = dict(zip(fields[::2], fields[1::2])).get(b"v")
        shown = ["-", "-"] if rejected else [self.show(c) for c in cells]
        return [kind, *shown, many, self.show(field)]

    def test_matrix__is_what_the_server_holds(self):
        lines = ["# What a value becomes", "", "Printed by a test that stores each on a real server and reads it back. Redis holds "
                 "bytes only; what is shown is the argument, with `\\x` for bytes that are no text.", "",
                 "| value | alone in an argument (`\"${v}\"`) | in text (`\"<${v}>\"`) | where a command takes many (`[RPUSH, l, \"${v}\"]`) | "
                 "field of `stream` |", "| --- | --- | --- | --- | --- |"]
        for kind, sql, message in self.KINDS:
            lines.append("| " + " | ".join(self.column(kind, sql, message)) + " |")
        text = "\n".join(lines) + "\n"
        if os.environ.get("DESCRIBE_WRITE"):
            self.PATH.write_text(text, encoding="utf-8")
        self.assertEqual(self.PATH.read_text(encoding="utf-8"), text)
