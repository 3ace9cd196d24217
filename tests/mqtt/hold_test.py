"""An action that holds its publishers (`overflow: hold`): whoever publishes for it waits, however often it connects, keeps its
connection by pings, and nobody else waits.
"""
import contextlib
import itertools
import json
import os
import random
import re
import select
import sqlite3
import threading
import unittest

from harness import packet as m
from harness.broker import SLOW, Broker, temp_folder, wait_until
from harness.client import Client, Closed

KB = 1024
MEMORY = 256 * KB  # of the action, of which an eighth is for held rows
SIZE = 20 * KB
MANY = 40
WAIT_S = 60 * SLOW


def body(v, size=SIZE):
    return json.dumps({"v": v, "pad": "x" * size}).encode()


class Hold(unittest.TestCase):
    """The table is not there until room() makes it; log and memory are full."""

    def setUp(self):
        self.folder = temp_folder()
        self.far = self.folder / "far.db"
        action = {"connector": "far", "table": "got", "create": False, "columns": {"v": "${v}", "pad": "${pad}"},
                  "buffer": {"memory": "256KB", "disk": "512KB"}, "retry": {"first": "5ms", "max": "50ms"},
                  "dead_letter": {"payload": 0}}
        self.broker = Broker({"node": {"data_dir": str(self.folder / "data")},
                              "connectors": {"far": {"type": "sqlite", "path": str(self.far)}},
                              "rules": {"r": {"sql": 'SELECT payload.v AS v, payload.pad AS pad FROM "load/#" '
                                                     "WHERE payload.v <> 'not for us'", "actions": [action]}}})
        self.addCleanup(self.end)
        self.filled = []
        self.feeder = self.client("feeder")
        for n in range(200):
            self.feeder.send(m.publish("load/feeder", body(f"f{n}"), 1, n + 1))
            self.filled.append(f"f{n}")
            if n >= 12 and self.waits(self.feeder):
                break
        self.shut()

    def end(self):
        if not self.far.exists() or not self.tables():
            self.room()
        self.broker.stop()

    def tables(self):
        with sqlite3.connect(self.far) as db:
            return db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def client(self, name, version=m.V311, **options):
        c = Client(self.broker.port, version)
        self.addCleanup(c.close)
        c.connect(name, **options)
        return c

    def waiting(self):
        return int(re.search(r"^sluice_publishers_waiting (\d+)$", self.broker.get("/metrics")[1], re.M)[1])

    def waits(self, c):
        """True when the client's last message has no answer, though its ping has."""
        c.send(m.PING)
        while True:
            if c.recv(WAIT_S).kind == m.PINGRESP:
                return self.waiting() > 0

    def shut(self):
        """Publishers that come one after the other fill what may be held; the next is not taken."""
        for n in range(20):
            before = self.broker.action("r")["received"]
            c = self.client(f"fill{n}")
            c.send(m.publish("load/fill", body(f"fill{n}"), 1, 1))
            self.assertTrue(self.waits(c))
            received = self.broker.action("r")["received"]
            c.close()
            wait_until(lambda: self.waiting() == 1, WAIT_S, "who has gone waits")
            if received == before:
                return
            self.filled.append(f"fill{n}")
        self.fail("each new connection gets a message in")

    def room(self):
        with sqlite3.connect(self.far) as db:
            db.execute("CREATE TABLE got (v, pad)")
        self.broker.wait_settled("r", timeout=WAIT_S)
        wait_until(lambda: self.waiting() == 0, WAIT_S, "somebody waits though there is room")

    def stored(self):
        with sqlite3.connect(self.far) as db:
            return [v for v, in db.execute("SELECT v FROM got ORDER BY rowid")]

    def test_hold__publishers_that_come_again__add_nothing(self):
        before = self.broker.action("r")["received"]
        for n in range(MANY):
            c = self.client("again")
            c.send(m.publish("load/again", body(f"a{n}"), 1, 1), m.PING)
            c.expect(m.PINGRESP, timeout=WAIT_S)
            if n % 2:
                c.close()
        self.assertEqual(self.broker.action("r")["received"], before)
        memory = self.broker.status()["memory"]
        self.assertLess(memory["held"] + memory["rows"], 2 * MEMORY)
        wait_until(lambda: self.waiting() <= 1, WAIT_S, "connections that have ended still wait")

    def test_hold__who_pings__keeps_its_connection_and_is_served_at_last(self):
        c = self.client("pings", keepalive=60)
        c.send(m.publish("load/pings", body("p1"), 1, 1), m.publish("load/pings", body("p2", 10), 1, 2))
        for _ in range(5):
            c.send(m.PING)
            c.expect(m.PINGRESP, timeout=WAIT_S)
        self.room()
        c.expect(m.PUBACK, timeout=WAIT_S, pid=1)
        c.expect(m.PUBACK, timeout=WAIT_S, pid=2)
        c.send(m.PING)
        c.expect(m.PINGRESP, timeout=WAIT_S)
        wait_until(lambda: {"p1", "p2"} <= set(self.stored()), WAIT_S, lambda: f"{self.stored()}")
        self.broker.wait_settled("r", timeout=WAIT_S)
        stored = self.stored()
        self.assertEqual(len(stored), len(set(stored)))
        self.assertLessEqual(set(self.filled[:12]), set(stored))

    def test_hold__silent__ends_by_its_keep_alive(self):
        c = self.client("silent", keepalive=1)
        c.send(m.publish("load/silent", body("s"), 1, 1))
        with self.assertRaises(Closed):
            c.recv(WAIT_S)

    def test_hold__more_than_is_read_meanwhile__comes_in_order(self):
        c = self.client("many", keepalive=1)
        sent = [f"m{n}" for n in range(100)]
        c.sock.settimeout(WAIT_S)
        c.send(*(m.publish("load/many", body(v, 3000), 1, n + 1) for n, v in enumerate(sent)))
        wait_until(lambda: self.waiting() == 2, WAIT_S, "it does not wait")
        self.room()
        for n in range(len(sent)):
            c.expect(m.PUBACK, timeout=WAIT_S, pid=n + 1)
        self.broker.wait_settled("r", timeout=WAIT_S)
        self.assertEqual([v for v in self.stored() if v in sent], sent)

    def test_hold__messages_that_make_no_row_for_it__go_on(self):
        with self.client("others") as c:
            c.publish("elsewhere", body("e"), qos=1)
            c.publish("load/others", body("not for us"), qos=1)
            c.publish("load/others", body("x"), qos=0)
            c.send(m.PING)
            c.expect(m.PINGRESP, timeout=WAIT_S)
            self.assertEqual(self.waiting(), 1)

    def test_hold__subscribers__get_a_message_once_it_is_taken(self):
        with self.client("sub") as sub, self.client("pub", m.V5) as pub:
            sub.subscribe("load/pub", qos=1)
            pub.send(m.publish("load/pub", b'{"v":"one"}', 2, 1, version=m.V5, properties={"topic_alias": 1}),
                     m.publish("", b'{"v":"two"}', 1, 2, version=m.V5, properties={"topic_alias": 1}),
                     m.publish("load/pub", b'{"v":"three"}', 0, version=m.V5))
            self.assertTrue(self.waits(pub))
            with self.client("pub0") as other:
                other.publish("load/pub", b'{"v":"zero"}', qos=0)
                self.assertEqual(sub.recv(WAIT_S).payload, b'{"v":"zero"}')
            self.room()
            pub.expect(m.PUBREC, timeout=WAIT_S, pid=1)
            pub.expect(m.PUBACK, timeout=WAIT_S, pid=2)
            for v in (b"one", b"two", b"three"):
                got = sub.recv(WAIT_S)
                self.assertEqual(got.payload, b'{"v":"' + v + b'"}')
                if got.qos:
                    sub.send(m.frame(m.PUBACK, 0, got.pid.to_bytes(2, "big")))

    def test_hold__who_goes_while_it_waits__finds_its_order_when_it_comes_again(self):
        """What stood behind the message that was not taken comes with it, not before it."""
        first, second = m.publish("load/again", body("p"), 1, 1), m.publish("last", b"words", 1, 2)
        with self.client("sub") as sub:
            sub.subscribe("last")
            c = self.client("again", clean=False)
            c.send(first, second, m.publish("last", b"nobody sends this again", 0))
            self.assertTrue(self.waits(c))
            c.close()
            self.assertEqual(sub.recv(WAIT_S).payload, b"nobody sends this again")
            self.room()
            c = self.client("again", clean=False)
            c.send(first, second)
            self.assertEqual(sub.recv(WAIT_S).payload, b"words")
            for pid in (1, 2):
                c.expect(m.PUBACK, timeout=WAIT_S, pid=pid)
        wait_until(lambda: "p" in self.stored(), WAIT_S)

    def test_hold__who_goes_while_it_waits__is_gone(self):
        will = m.Will("will", b"gone")
        with self.client("sub") as sub:
            sub.subscribe("will")
            sub.subscribe("last")
            polite = self.client("polite", will=will)
            polite.send(m.publish("load/polite", body("p"), 1, 1), m.publish("last", b"words", 0))
            self.assertTrue(self.waits(polite))
            polite.send(m.frame(m.DISCONNECT, 0, b""))
            polite.close()
            self.assertEqual(sub.recv(WAIT_S).payload, b"words")
            wait_until(lambda: self.waiting() == 1, WAIT_S, "it waits for ever")
            rude = self.client("rude", will=will)
            rude.send(m.publish("load/rude", body("r"), 1, 1))
            self.assertTrue(self.waits(rude))
            rude.close()
            self.assertEqual(sub.recv(WAIT_S).payload, b"gone")
            wait_until(lambda: self.waiting() == 1, WAIT_S, "it waits for ever")
            self.client("polite").send(m.PING)
            sub.expect_silence()
        self.room()
        self.assertNotIn("p", self.stored())


class Answers(unittest.TestCase):
    """Publishes that come with one read and wait for the logs of several actions are answered one by one, in their order [MQTT-4.6.0-2]."""
    TOPICS = {"row/heard": 0, "row/deaf": 0x10, "both/deaf": 0x10, "deaf": 0x10, "heard": 0}  # and MQTT 5's code

    def messages(self, rng, n):
        """Topic, QoS and packet id: numbered on, across the end of numbers, too, with jumps ahead."""
        pid, topic = 65536 - n // 2, "row/deaf"
        for _ in range(n):
            pid = (pid + rng.choice([1] * 12 + [2, 3]) - 1) % 65535 + 1
            topic = rng.choice([topic] * 20 + list(self.TOPICS))
            yield topic, rng.choice([1] * 12 + [0, 2]), pid

    def test_answers__of_publishes_that_came_together__have_order_number_and_code(self):
        folder = temp_folder()
        action = {"connector": "far", "columns": {"v": "${v}"}}
        rules = {name: {"sql": f'SELECT payload.v AS v FROM "{topic}"', "actions": [{**action, "table": name}]}
                 for name, topic in (("one", "row/#"), ("two", "both/#"), ("three", "both/#"))}
        with Broker({"node": {"data_dir": str(folder / "data")}, "rules": rules,
                     "connectors": {"far": {"type": "sqlite", "path": str(folder / "far.db")}}}) as broker:
            for version in (m.V311, m.V5):
                self.come_together(broker, version)

    def come_together(self, broker, version):
        rng = random.Random(version)
        with Client(broker.port, version) as sub, Client(broker.port, version) as pub:
            sub.connect("sub")
            sub.subscribe("+/heard", "heard")
            pub.connect("pub")
            for _ in range(5):
                sent = list(self.messages(rng, 300))
                pub.send(*(m.publish(topic, b'{"v":1}', qos, pid if qos else None, version) for topic, qos, pid in sent))
                for topic, qos, pid in sent:
                    if qos == 0:
                        continue
                    code = self.TOPICS[topic] if version == m.V5 else 0
                    pub.expect(m.PUBREC if qos == 2 else m.PUBACK, timeout=WAIT_S, pid=pid, code=code)
                pub.send(*(m.ack(m.PUBREL, pid, version, flags=2) for _, qos, pid in sent if qos == 2))
                for _, qos, pid in sent:
                    if qos == 2:
                        pub.expect(m.PUBCOMP, timeout=WAIT_S, pid=pid)


class Together(unittest.TestCase):
    """What comes with one read for an action that holds its publishers and for one that does not."""

    def setUp(self):
        folder = temp_folder()
        self.far = folder / "far.db"
        held = {"connector": "far", "table": "got", "create": False, "columns": {"v": "${v}", "pad": "${pad}"},
                "buffer": {"memory": "256KB", "disk": "256KB"}, "retry": {"first": "5ms", "max": "50ms"}}
        fine = {"connector": "near", "table": "got", "columns": {"v": "${v}"}}
        rules = {name: {"sql": f'SELECT payload.v AS v, payload.pad AS pad FROM "{name}", "both"', "actions": [action]}
                 for name, action in (("held", held), ("fine", fine))}
        self.broker = Broker({"node": {"data_dir": str(folder / "data")}, "rules": rules,
                              "connectors": {"far": {"type": "sqlite", "path": str(self.far)},
                                             "near": {"type": "sqlite", "path": str(folder / "near.db")}}})
        self.addCleanup(self.end)
        feeder = self.client("feeder")
        for n in range(200):
            feeder.send(m.publish("held", body(f"f{n}", 8 * KB), 1, n + 1))
            wait_until(lambda: self.readable(feeder) or self.holds(), WAIT_S, "it neither answers nor holds")
            if not self.readable(feeder):
                break
            feeder.expect(m.PUBACK, timeout=WAIT_S, pid=n + 1)
        else:
            self.fail("it does not hold")

    def end(self):
        self.room()
        self.broker.stop()

    def holds(self):
        return self.broker.action("held")["state"] == "hold"

    @staticmethod
    def readable(c):
        return bool(select.select([c.sock], [], [], 0)[0])

    def room(self):
        with sqlite3.connect(self.far) as db:
            db.execute("CREATE TABLE IF NOT EXISTS got (v, pad)")

    def client(self, name):
        c = Client(self.broker.port)
        self.addCleanup(c.close)
        c.connect(name)
        return c

    def come(self, topics, answered):
        """One write of a message for each topic; so many of them have their answers though the action holds."""
        before = self.broker.action("held")["received"]
        c = self.client("-".join(topics))
        c.send(*(m.publish(topic, body(topic, 10), 1, n + 1) for n, topic in enumerate(topics)))
        for n in range(answered):
            c.expect(m.PUBACK, timeout=WAIT_S, pid=n + 1)
        wait_until(lambda: self.broker.action("held")["received"] > before, WAIT_S, "it was not taken")
        c.send(m.PING)
        c.expect(m.PINGRESP, timeout=WAIT_S)
        return c

    def test_together__those_before_the_first_that_is_held__do_not_wait(self):
        waiting = []
        for topics, answered in (
                (["fine", "held"], 1),
                (["fine", "fine", "fine", "held", "held"], 3),
                (["fine", "both"], 1),
                (["elsewhere", "fine", "both", "fine"], 2),
                (["held", "fine", "fine"], 0)):
            with self.subTest(topics=topics):
                waiting.append((self.come(topics, answered), answered, len(topics)))
        self.room()
        for c, answered, n in waiting:
            for pid in range(answered + 1, n + 1):
                c.expect(m.PUBACK, timeout=WAIT_S, pid=pid)


class Turns(unittest.TestCase):
    """Rows of many fill the way to the connectors again and again: whoever was not read for that is read first when there is room.

    How long that takes is the machine's affair, so it is told in rows of the others: one read(2) of each of them, half full, is what
    a message may wait for. It is not the PUBACK that ends the wait, for that the connectors have to come round, too, and the others
    have their turns meanwhile, but the message's way back to its own sender, which begins when it is read.
    """
    MANY = 8
    MESSAGES = 40
    READ = 128  # rows of 1 KB that one read(2) of the broker takes
    ROWS = MESSAGES * MANY * READ // 2  # 700 to 7,000 are usual, 40,000 and more without turns
    THREADS_ONLY = "/tsan/" in os.environ.get("SLUICE_BIN", "")
    TRIES = 5  # while the sender has no CPU to go on others have theirs

    def flood(self, c):
        many = m.publish("load/many", body("v", KB), 0) * 400
        with contextlib.suppress(OSError):  # it ends with the broker
            while True:
                c.sock.sendall(many)

    def rows_meanwhile(self, broker, one):
        before = broker.action("r")["received"]
        for _ in range(self.MESSAGES):
            one.send(m.publish("load/one", b'{"v":1}', 1, next(self.pids)))
            while one.recv(WAIT_S).kind != m.PUBLISH:
                pass
        return broker.action("r")["received"] - before

    def test_turns__who_sends_one_at_a_time__has_its_own_between_those_who_flood(self):
        action = {"connector": "far", "buffer": {"disk": "8MB", "memory": "1MB"}}
        with Broker({"node": {"data_dir": str(temp_folder() / "data"), "workers": 1, "buffer_memory": "16MB"},
                     "connectors": {"far": {"type": "null"}},
                     "rules": {"r": {"sql": 'SELECT payload.v AS v, payload.pad AS pad FROM "load/#"',
                                     "actions": [action] * 12}}}) as broker, Client(broker.port) as one:
            one.connect("one")
            one.subscribe("load/one")
            for n in range(self.MANY):
                c = Client(broker.port)
                self.addCleanup(c.close)
                c.connect(f"many{n}")
                threading.Thread(target=self.flood, args=(c,), daemon=True).start()
            wait_until(lambda: broker.action("r")["received"] > 10000, WAIT_S, "nobody floods")
            self.pids, rows = itertools.count(1), []
            if self.THREADS_ONLY:
                self.rows_meanwhile(broker, one)
                return
            while min(rows, default=self.ROWS) >= self.ROWS:
                self.assertLess(len(rows), self.TRIES, rows)
                rows.append(self.rows_meanwhile(broker, one))


if __name__ == "__main__":
    unittest.main()
