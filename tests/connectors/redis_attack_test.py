"""The redis connector against what is odd: answers without measure, scripts that say what servers say, a server that is managed
while rows flow. No row is lost, none comes back for ever, none blocks the others."""
import contextlib
import threading

from connectors.redis_case import ORDERED, RedisCase, Stream
from harness.broker import Broker, wait_until
from harness.client import Client
from harness.fake import Fake
from harness.servers.redis import RespError

MB = 1024 * 1024
PONG = b"+PONG\r\n"


class Answers(RedisCase):
    """A command's answer is of no use to an action: however large, it is read to its end and left out."""

    def test_answers__large_ones_do_no_harm(self):
        self.redis.execute("SET", "big", b"x" * (16 * MB))
        self.redis.execute("EVAL", "for i = 1, 210 do local t = {} for k = 1, 1000 do t[k] = k end redis.call('RPUSH', KEYS[1], unpack(t)) end",
                           1, "long")
        deep = "local t = 1 for i = 1, 8 do t = {t, ARGV[1]} end return t"
        wide = "local t = {} for i = 1, 210000 do t[i] = i end return t"
        for command in (["GET", "big"], ["LRANGE", "long", 0, -1], ["EVAL", deep, 0, "${v}"], ["EVAL", wide, 0]):
            with self.subTest(command=command[:2]):
                n = self.deliver(*({"k": f"k{n}", "v": n} for n in range(2)),
                                 action={"commands": [["SET", "before:${k}", "1"], command, ["SET", "${k}", "${v}"]]})
                self.assertEqual(n["retried"], 0)
                self.assertEqual(self.redis.execute("GET", "k1"), b"1")
                self.redis.execute("DEL", "k0", "k1")

    DEEP = "local t = 1 for i = 1, tonumber(ARGV[1]) do t = {t} end return t"

    def test_answers__lists_too_deep_for_hiredis_make_a_dead_letter(self):
        """The connection ends; the row that did it is known, and the others are stored."""
        self.deliver(*({"k": f"k{n}", "v": 9 if n == 2 else 8} for n in range(5)), rejected=1,
                     action={"commands": [["EVAL", self.DEEP, 0, "${v}"], ["SET", "${k}", "${v}"]]})
        self.assertIn("lists in lists, more than 8 deep", self.reasons[0])
        self.assertIn("let the script return less", self.reasons[0])
        for k in ("k0", "k1", "k3", "k4"):
            self.assertEqual(self.redis.execute("GET", k), b"8")

    def test_answers__lists_too_deep_in_all_of_them(self):
        """No other row shows that the server takes any, and none is needed."""
        for transaction in (False, True):
            with self.subTest(transaction=transaction):
                self.deliver(*({"k": f"k{n}", "v": 9} for n in range(3)), rejected=3,
                             action={"commands": [["EVAL", self.DEEP, 0, "${v}"], ["SET", "${k}", "${v}"]], "transaction": transaction})
                self.assertIn("the command has had its effect", self.reasons[0])

    def test_answers__errors_behind_large_ones_are_seen(self):
        self.redis.execute("SET", "text", "x")
        wide = "local t = {} for i = 1, 210000 do t[i] = i end return t"
        for transaction in (False, True):
            with self.subTest(transaction=transaction):
                self.deliver({"k": "a", "v": 1}, rejected=1, action={
                    "transaction": transaction, "commands": [["EVAL", wide, 0], ["EVAL", wide, 0], ["RPUSH", "text", "${v}"]]})
                self.assertIn("command 3 (RPUSH): WRONGTYPE", self.reasons[0])

    def fake(self, answer):
        """Its first row gets this answer, all others OK."""
        def script(conn):
            first = True
            while line := conn.line():
                if not line.startswith(b"*"):
                    continue
                words = [conn.read(int(conn.line()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
                if words[0] != b"SET":
                    conn.send(PONG)
                elif first:
                    first = False
                    answer(conn)
                else:
                    conn.send(b"+OK\r\n")
        return Fake(script)

    def test_answers__of_600_megabytes_are_read_to_their_end(self):
        def bulk(conn):
            conn.send(b"$600000000\r\n")
            for _ in range(600):
                conn.send(b"x" * 1000000)
            conn.send(b"\r\n")

        with self.fake(bulk) as fake, self.broker(url=f"redis://127.0.0.1:{fake.port}") as b:
            self.wait_state(b, "up")
            before = b.rss_kb()
            self.publish(b, *({"k": f"k{n}", "v": n} for n in range(10)))
            n = b.wait_settled("r", timeout=60)
            self.assertEqual((n["delivered"], n["retried"]), (10, 0))
            self.assertLess(b.rss_kb(), before + 100000)
            self.assertEqual(fake.connections, 1)

    def test_answers__that_never_end_are_charged_to_the_row(self):
        def endless(conn):
            conn.send(b"*2000000000\r\n" + b":1\r\n" * 100000)
            conn.hang()

        action = {"timeout": "1s", "retry": {"attempts": 1}, "command": ["SET", "${k}", "${v}"]}
        with self.fake(endless) as fake, self.broker(action, url=f"redis://127.0.0.1:{fake.port}") as b:
            self.publish(b, {"k": "a", "v": 1})
            b.wait_settled("r", timeout=30)
            self.assertIn("no answer within", self.dead(b)[0]["reason"])


class Scripts(RedisCase):
    """A script may end with any error; the server is asked before it is believed."""
    SAYS = "if ARGV[1] == 'fine' then return redis.call('RPUSH', KEYS[1], ARGV[2]) end return redis.error_reply(ARGV[1])"
    LIES = ("NOAUTH Authentication required", "READONLY You can't write", "LOADING Redis is loading", "OOM command not allowed",
            "CLUSTERDOWN The cluster is down", "MASTERDOWN Link is down", "MISCONF cannot save", "NOREPLICAS too few", "BUSY script",
            "TRYAGAIN later", "NOPERM this user has no permissions to run the 'eval' command", "NOPERM No permissions to access a key",
            "NOSCRIPT No matching script", "ERR unknown command 'x'", "ERR max number of clients reached", "MOVED 1 127.0.0.1:1",
            "ASK 1 127.0.0.1:1", "BUSYGROUP there", "WRONGPASS no", "ERR Protocol error")
    RIGHTS = ("ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1",
              "NOPERM ACL failure in script: User alice has no permissions to run the 'set' command")

    def lie(self, command, **options):
        lies = self.LIES + self.RIGHTS
        rows = [{"k": text, "v": n} for n, text in enumerate(lies)] + [{"k": "fine", "v": n} for n in range(5)]
        with self.broker({**options, "command": [*command, "l", "${k}", "${v}"]}) as b:
            self.publish(b, *rows)
            n = self.publish_until(b, len(lies), {"k": "fine", "v": 5})
            self.reasons = [d["reason"] for d in self.dead(b)]
        self.assertEqual(n["retried"], 0)
        self.assertEqual(self.redis.execute("LRANGE", "l", 0, 4), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(self.redis.execute("LLEN", "l"), n["delivered"])
        for text in self.RIGHTS:
            self.assertTrue(any(text in r for r in self.reasons), self.reasons)
        for text in self.LIES:
            with self.subTest(text=text):
                reason = next((r for r in self.reasons if text in r), None)
                self.assertIsNotNone(reason, self.reasons)
                self.assertEqual("the script says so" in reason, not text.startswith(("MOVED", "ASK", "BUSYGROUP")), reason)

    def test_scripts__that_say_what_servers_say(self):
        self.lie(["EVAL", self.SAYS, 1])

    def test_scripts__in_a_transaction(self):
        self.lie(["EVAL", self.SAYS, 1], transaction=True)

    def test_scripts__that_are_loaded(self):
        self.lie(["EVALSHA", self.redis.execute("SCRIPT", "LOAD", self.SAYS).decode(), 1])

    def test_scripts__that_are_functions(self):
        self.redis.execute("FUNCTION", "LOAD", "REPLACE", "#!lua name=attack\nredis.register_function('says', function(KEYS, ARGV) "
                           + self.SAYS + " end)")
        try:
            self.lie(["FCALL", "says", 1])
        finally:
            self.redis.execute("FUNCTION", "DELETE", "attack")

    def test_scripts__that_say_the_truth_for_once(self):
        """What the script met has passed when the server is asked: the row is sent again, and delivered."""
        script = "if redis.call('INCR', KEYS[1]) == 1 then return redis.error_reply('OOM for a moment') end return 1"
        n = self.deliver({"k": "n", "v": 1}, action={"command": ["EVAL", script, 1, "${k}"]})
        self.assertEqual(n["retried"], 0)
        self.assertEqual(self.redis.execute("GET", "n"), b"2")

    def test_scripts__on_a_server_that_is_full(self):
        self.redis.execute("SET", "much", b"x" * MB)
        used = int(self.redis.execute("INFO", "memory").split(b"used_memory:")[1].split(b"\r")[0])
        action = {"command": ["EVAL", "return redis.call('RPUSH', KEYS[1], ARGV[1])", 1, "l", "${v}"], "retry": {"attempts": 1}}
        with self.broker(action) as b:
            self.wait_state(b, "up")
            self.redis.execute("CONFIG", "SET", "maxmemory", used // 2)
            try:
                self.publish(b, *({"v": n} for n in range(20)))
                wait_until(lambda: b.action("r")["batches"] >= 2, 20, lambda: str(b.action("r")))
                self.assertEqual(b.action("r")["rejected"], 0)
            finally:
                self.redis.execute("CONFIG", "SET", "maxmemory", 0)
            self.assertEqual(b.wait_settled("r")["delivered"], 20)
        self.assertEqual(self.redis.execute("LLEN", "l"), 20)

    def test_scripts__of_a_user_without_rights(self):
        self.redis.execute("ACL", "SETUSER", "scripts", "reset", "on", ">pw4", "~n:*", "+ping", "+set", "+rpush")
        action = {"command": ["EVAL", "return redis.call('RPUSH', KEYS[1], ARGV[1])", 1, "${k}", "${v}"]}
        try:
            with self.broker(action, url=self.redis.url("scripts", "pw4")) as b:
                self.publish(b, {"k": "n:a", "v": 1})
                self.assertIn("+command", self.wait_state(b, "degraded"))
                self.redis.execute("ACL", "SETUSER", "scripts", "+eval")
                b.wait_settled("r")
                self.publish(b, {"k": "other", "v": 2})
                self.assertIn("give the user the keys", self.wait_state(b, "degraded"))
                self.redis.execute("ACL", "SETUSER", "scripts", "~other")
                self.assertEqual(b.wait_settled("r")["delivered"], 2)
        finally:
            self.redis.execute("ACL", "DELUSER", "scripts")

    def test_scripts__that_do_what_their_user_may_not(self):
        """No row is to blame: they wait for the command, whichever way the script is called."""
        script = "return redis.call('XADD', KEYS[1], '*', 'v', ARGV[1])"
        sha = self.redis.execute("SCRIPT", "LOAD", script).decode()
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "scripts")
        for command in (["EVAL", script], ["EVALSHA", sha]):
            for transaction in (False, True):
                with self.subTest(command=command[0], transaction=transaction):
                    self.redis.execute("DEL", "n:s")
                    self.redis.execute("ACL", "SETUSER", "scripts", "reset", "on", ">pw4", "~n:*", "+ping", "+multi", "+exec",
                                       "+eval", "+evalsha")
                    action = {"command": [*command, 1, "n:s", "${v}"], "transaction": transaction, "retry": {"attempts": 1}}
                    with self.broker(action, url=self.redis.url("scripts", "pw4")) as b:
                        self.publish(b, *({"v": n} for n in range(5)))
                        self.assertIn("give the user the commands of the script too", self.wait_state(b, "degraded"))
                        self.assertEqual(b.action("r")["rejected"], 0)
                        self.redis.execute("ACL", "SETUSER", "scripts", "+xadd")
                        self.assertEqual(b.wait_settled("r")["delivered"], 5)
                    self.assertEqual(self.redis.execute("XLEN", "n:s"), 5)

    def test_scripts__that_say_so_alone_hold_up_nobody_else(self):
        """A row whose script lies about rights waits while it is alone; the next rows show that the rights are there."""
        with self.broker({"command": ["EVAL", self.SAYS, 1, "l", "${k}", "${v}"]}) as b:
            self.publish(b, {"k": self.RIGHTS[0], "v": 1})
            self.wait_state(b, "degraded")
            self.publish_until(b, 1, {"k": "fine", "v": 2})


class Managed(RedisCase):
    """What people do to a server while rows flow: at least once, in order for each key, and the reason is shown."""

    @contextlib.contextmanager
    def flowing(self, **connector):
        with self.broker(Stream.ACTION, ORDERED, probe="1s", connect_timeout="2s", **connector) as b:
            self.wait_state(b, "up")
            s = Stream(self, b)
            wait_until(lambda: b.action("r")["delivered"] > 50, 20)
            yield b
            n = b.action("r")["delivered"]
            wait_until(lambda: b.action("r")["delivered"] > n + 50, 30, lambda: f"{self.state(b)} {b.action('r')}")
            s.finish(lambda name: self.redis.execute("LRANGE", f"l:{name}", 0, -1))

    def setting(self, name, value):
        old = self.redis.execute("CONFIG", "GET", name)[1]
        self.addCleanup(self.redis.execute, "CONFIG", "SET", name, old)
        self.redis.execute("CONFIG", "SET", name, value)

    def user(self, *rules):
        self.redis.execute("ACL", "SETUSER", "bob", "on", *rules)

    def test_managed__connections_are_killed(self):
        with self.flowing() as b:
            for _ in range(5):
                self.redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                self.wait_state(b, "up")

    def test_managed__clients_are_paused(self):
        with self.flowing() as b:
            for kind in ("WRITE", "ALL"):
                self.redis.execute("CLIENT", "PAUSE", 1500, kind)
                n = b.action("r")["delivered"]
                wait_until(lambda: b.action("r")["delivered"] > n + 50, 30, lambda: str(self.state(b)))

    def test_managed__shut_down_without_saving(self):
        with self.flowing() as b:
            with contextlib.suppress(RespError, OSError):
                self.redis.execute("SHUTDOWN", "NOSAVE")
            self.wait_state(b, "down")
            self.redis.restart()
            self.wait_state(b, "up")

    def test_managed__user_loses_its_rights_and_gets_them_back(self):
        self.user(">pw5", "~*", "+@all")
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "bob")
        with self.flowing(url=self.redis.url("bob", "pw5")) as b:
            for lost, back, part in (("-rpush", "+rpush", "+command"), ("resetkeys", "~*", "give the user the keys")):
                self.user(lost)
                self.assertIn(part, self.wait_state(b, "degraded"))
                self.user(back)
                self.wait_state(b, "up")

    def test_managed__rights_change_amid_batches(self):
        """Of a batch that was let in up to there, and one that is let in from there on, no row is to blame."""
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "bob")
        for what, command in (("command", ["RPUSH", "l", "${n}"]),
                              ("script", ["EVAL", "redis.call('RPUSH', 'l', ARGV[1])", 0, "${n}"])):
            self.user(">pw5", "~*", "+@all")
            self.redis.execute("DEL", "l")
            with self.subTest(what), self.broker({"command": command}, 'SELECT payload AS n FROM "in/#"',
                                                 url=self.redis.url("bob", "pw5")) as b:
                end, sent = threading.Event(), []

                def publish():
                    with Client(b.port) as c:
                        c.connect("dev", keepalive=0)
                        while not end.is_set():
                            rows = [str(n).encode() for n in range(len(sent), len(sent) + 500)]
                            c.publish_all("in/a", rows)
                            sent.extend(rows)
                thread = threading.Thread(target=publish)
                thread.start()
                try:
                    for _ in range(4):
                        n = b.action("r")["delivered"]
                        wait_until(lambda least=n + 1000: b.action("r")["delivered"] > least, 60, lambda: str(b.action("r")))
                        self.user("resetkeys")
                        self.wait_state(b, "degraded")
                        self.user("~*")
                        self.wait_state(b, "up")
                finally:
                    end.set()
                    thread.join()
                n = b.wait_settled("r", timeout=90)
                self.assertEqual((n["rejected"], n["delivered"]), (0, len(sent)))
            self.assertEqual(set(self.redis.execute("LRANGE", "l", 0, -1)), set(sent))

    def test_managed__password_is_changed(self):
        self.user(">pw5", "~*", "+@all")
        self.addCleanup(self.redis.execute, "ACL", "DELUSER", "bob")
        with self.flowing(url=self.redis.url("bob", "pw5")) as b:
            self.user("resetpass", ">pw6")
            n = b.action("r")["delivered"]
            wait_until(lambda: b.action("r")["delivered"] > n + 50, 20)  # who is in stays in
            self.redis.execute("CLIENT", "KILL", "USER", "bob")
            wait_until(lambda: "check `username` and `password`" in self.state(b).get("reason", ""), 20, lambda: str(self.state(b)))
            self.user("resetpass", ">pw5")
            self.wait_state(b, "up")

    def test_managed__memory_is_full_for_a_while(self):
        self.redis.execute("SET", "much", b"x" * MB)
        with self.flowing() as b:
            used = int(self.redis.execute("INFO", "memory").split(b"used_memory:")[1].split(b"\r")[0])
            self.setting("maxmemory", used // 2)
            wait_until(lambda: b.action("r")["queued"] > 100, 20, lambda: str(b.action("r")))
            self.assertEqual(b.action("r")["retried"], 0)
            self.redis.execute("CONFIG", "SET", "maxmemory", 0)

    def test_managed__server_becomes_a_replica_and_master_again(self):
        with self.flowing() as b:
            self.redis.execute("REPLICAOF", "127.0.0.1", "1")
            self.assertIn("replica", self.wait_state(b, "down"))
            self.redis.execute("REPLICAOF", "NO", "ONE")
            self.wait_state(b, "up")

    def test_managed__values_of_many_megabytes(self):
        """One that is too large for the server is rejected, though the server ends the connection at its sight."""
        config = self.config()
        config["mqtt"] = {"max_packet_size": "16MB"}
        with Broker(config) as b:
            self.wait_state(b, "up")
            for limit in (512 * MB, 10 * MB):
                self.setting("proto-max-bulk-len", limit)
                self.publish(b, {"k": "a", "v": 1}, {"k": f"b{limit}", "v": "x" * (12 * MB)}, {"k": "c", "v": limit})
                n = b.wait_settled("r", timeout=90)
                self.assertEqual(self.redis.execute("GET", "c"), str(limit).encode())
            self.assertEqual(self.redis.execute("STRLEN", f"b{512 * MB}"), 12 * MB)
            self.assertEqual((n["delivered"], n["rejected"]), (5, 1))
            self.assertIn("proto-max-bulk-len", self.dead(b)[0]["reason"])
