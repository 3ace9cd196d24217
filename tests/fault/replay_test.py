"""Dead letters: what a line of them says, and how rows go back to their action with `sluice replay`."""
import concurrent.futures
import fcntl
import json
import time
import unittest

import load
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.scrape import Scraper

POISON = "CREATE TABLE readings (id INTEGER, v INTEGER CHECK (v % 10 <> 3))"
MENDED = ("DROP TABLE readings", "CREATE TABLE readings (id INTEGER, v INTEGER)")


class Replay(unittest.TestCase):
    def setUp(self):
        self.folder = temp_folder()
        self.db = self.folder / "archive.db"
        self.dead = self.folder / "data/dead/store.0.jsonl"

    def publish(self, broker, count, **options):
        p = load.Publisher(broker.port, "load/x", count, **options)
        p.start()
        p.finish(60)

    def replay(self, broker, *args):
        return run_program("replay", "-c", str(broker.config_path), *args, cwd=self.folder)

    def letters(self):
        return [json.loads(line) for line in self.dead.read_text().splitlines()]

    def test_replay__rows_arrive_when_the_table_is_mended_while_the_broker_runs(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            with Scraper(broker) as scraper:
                self.publish(broker, 100)
                broker.wait_settled("store")
                self.assertEqual(len(self.letters()), 10)
                load.make_table(self.db, *MENDED)
                said = self.replay(broker)
                self.assertEqual(said.returncode, 0, said.stderr)
                self.assertIn("store.0: 10 rows given back", said.stdout)
                self.assertIn("the running broker has taken them: 10 delivered, 0 refused again\n", said.stdout)
                action = broker.wait_settled("store")
            scraper.check()
            self.assertEqual((action["replayed"], action["delivered"], action["rejected"]), (10, 100, 10))
            self.assertFalse(self.dead.exists())
            self.assertEqual(load.ids(self.db), {i for i in range(100) if i % 10 == 3})
            self.assertIn("no dead letters", self.replay(broker).stdout)

    def test_replay__a_line_says_what_is_known_of_its_row(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            letter = self.letters()[0]
        self.assertEqual({k: letter[k] for k in ("rule", "action", "connector", "type", "destination", "attempts", "row")},
                         {"rule": "store", "action": 0, "connector": "archive", "type": "sqlite",
                          "destination": "table readings", "attempts": 1, "row": {"id": 3, "v": 3}})
        message = letter["message"]
        self.assertLessEqual(abs(message.pop("timestamp") / 1000 - time.time()), 60)
        self.assertEqual(message, {"topic": "load/x", "clientid": "publisher0", "qos": 1, "payload": '{"id": 3, "v": 3}'})
        self.assertLessEqual(letter["at"], letter["given_up"])
        self.assertIn("CHECK", letter["reason"])
        self.assertEqual(len(letter["order"]), 16)

    def test_replay__the_original_is_there_after_a_crash_and_comes_back_with_its_row(self):
        config = load.into_table(self.folder, create=False)
        with Broker(config, folder=self.folder) as broker:
            self.publish(broker, 100)  # no table: all rows wait
            broker.kill()
            load.make_table(self.db, POISON)
            broker.start()
            broker.wait_settled("store")
            before = [letter["message"] for letter in self.letters()]
            self.assertEqual([json.loads(m["payload"])["id"] for m in before], list(range(3, 100, 10)))
            self.replay(broker)
            wait_until(lambda: self.dead.exists() and len(self.letters()) == 10 and self.letters()[9]["attempts"] == 2)
            self.assertEqual([letter["message"] for letter in self.letters()], before)
            listed = self.replay(broker, "--list").stdout
            self.assertIn('of {"topic":"load/x","clientid":"publisher0"', listed)

    def test_replay__a_payload_is_kept_as_far_as_the_action_says(self):
        load.make_table(self.db, POISON)
        config = load.into_table(self.folder)
        config["rules"]["store"]["actions"][0]["dead_letter"] = {"payload": 20}
        with Broker(config, folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("bin\u00e4r")
                c.publish("load/x", b'{"id":1,"v":3}', qos=1)
                c.publish("load/x", b'{"id":2,"v":3,"pad":"\xc3\xbc\xc3\xbc"}', qos=1)
                c.publish("load/x", b'{"id":3,"v":3,"p":"\xff"}', qos=1)
            broker.wait_settled("store")
            messages = [letter["message"] for letter in self.letters()]
        self.assertEqual({m["clientid"] for m in messages}, {"bin\u00e4r"})
        self.assertEqual(messages[0]["payload"], '{"id":1,"v":3}')
        self.assertEqual((messages[1]["payload"], messages[1]["payload_bytes"]), ('{"id":2,"v":3,"pad":', 27))

    def test_replay__of_an_action_without_any_says_which_have_some(self):
        load.make_table(self.db, POISON)
        config = load.into_table(self.folder)
        config["connectors"]["nowhere"] = {"type": "null"}
        config["rules"] = {"restore": json.loads(json.dumps(config["rules"]["store"])), **config["rules"]}
        config["rules"]["store"]["actions"].append({"connector": "nowhere"})
        with Broker(config, folder=self.folder) as broker:
            self.publish(broker, 10)
            for rule in ("restore", "store"):
                self.assertGreater(broker.wait_settled(rule)["dead_lettered"], 0)
            said = self.replay(broker, "store.1")
            self.assertEqual(said.returncode, 0)
            self.assertRegex(said.stdout, "^no dead letters of store.1 below .*; there are some of restore.0, store.0\n$")
            self.assertIn("1 row given back", self.replay(broker, "store.0").stdout)

    def test_replay__only_rows_of_a_topic_or_a_client(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            for n, (client, topic) in enumerate((("a", "load/x"), ("a", "load/y"), ("b", "load/x"), ("b", "load/y/z"))):
                with Client(broker.port) as c:
                    c.connect(client)
                    c.publish(topic, b'{"id":%d,"v":3}' % n, qos=1)
                broker.wait_settled("store")
            load.make_table(self.db, *MENDED)
            self.assertEqual(self.replay(broker, "--topic", "load/#/x").returncode, 2)
            self.assertIn("store.0: 0 rows can be given back, 4 of other messages stay", self.replay(broker, "--client", "c").stdout)
            self.assertIn("2 rows can be given back, 2 of other messages stay", self.replay(broker, "-t", "load/x", "--list").stdout)
            said = self.replay(broker, "--topic", "load/y/#", "--client", "b").stdout
            self.assertIn("1 row given back, 3 of other messages stay", said)
            self.assertIn("the running broker has taken them", said)
            wait_until(lambda: load.ids(self.db) == {3})
            self.assertEqual([letter["row"]["id"] for letter in self.letters()], [0, 1, 2])
            self.assertEqual([f.name for f in self.dead.parent.iterdir()], ["store.0.jsonl"])
            self.replay(broker)
            wait_until(lambda: load.ids(self.db) == {0, 1, 2, 3})

    def test_replay__rejected_again_adds_to_the_attempts(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            for attempts in (2, 3):
                said = self.replay(broker, "--wait", "60")
                self.assertIn("taken them: 0 delivered, 1 refused again; the dead letters have them again", said.stdout)
                self.assertEqual(said.returncode, 3)
                wait_until(lambda: self.dead.exists() and self.letters()[0]["attempts"] == attempts)
            self.assertEqual(len(self.letters()), 1)
            at = self.letters()[0]["at"]
            self.assertIn("3 attempts", self.replay(broker, "--list").stdout)
            self.assertEqual(self.letters()[0]["at"], at)

    def test_replay__says_what_is_still_on_its_way(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder, create=False, retry={"first": "1ms", "max": "50ms"}), folder=self.folder) as broker:
            self.publish(broker, 20)
            broker.wait_settled("store")
            load.make_table(self.db, "DROP TABLE readings")
            said = self.replay(broker, "--wait", "8")
            self.assertIn("taken them: 0 delivered, 0 refused again, 2 still on their way; its status page tells\n", said.stdout)
            self.assertEqual(said.returncode, 0)
            broker.kill()
            broker.start()
            load.make_table(self.db, MENDED[1])
            broker.wait_settled("store")
            self.assertEqual(broker.action("store")["given_back"], {"delivered": 2, "rejected": 0, "dropped": 0})

    def test_replay__broker_stopped__rows_arrive_at_the_next_start(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 50)
            broker.wait_settled("store")
            broker.stop()
            load.make_table(self.db, *MENDED)
            self.assertIn("takes them when it starts", self.replay(broker, "store").stdout)
            broker.start()
            wait_until(lambda: len(load.ids(self.db)) == 5)
            self.assertEqual(list((self.folder / "data/dead").iterdir()), [])

    def test_replay__broker_that_ends_meanwhile_is_said(self):
        """The test holds the lock of the folder, as a broker does that has not looked yet, and lets go of it."""
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            broker.stop()
            with open(self.folder / "data/lock", "ab") as lock, concurrent.futures.ThreadPoolExecutor() as pool:
                fcntl.flock(lock, fcntl.LOCK_EX)
                said = pool.submit(self.replay, broker, "--wait", "20")
                wait_until(lambda: list(self.dead.parent.glob("*.replay")))
                fcntl.flock(lock, fcntl.LOCK_UN)
                self.assertIn("\nthe broker has stopped meanwhile; it takes what is left when it starts\n", said.result().stdout)
                self.assertEqual(said.result().returncode, 0)

    def test_replay__broker_that_ends_with_rows_on_their_way_is_said(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder, create=False, retry={"first": "1ms", "max": "50ms"}), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            load.make_table(self.db, "DROP TABLE readings")
            with concurrent.futures.ThreadPoolExecutor() as pool:
                said = pool.submit(self.replay, broker, "--wait", "60")
                wait_until(lambda: not self.dead.exists() and not list(self.dead.parent.iterdir()))
                broker.kill()
                self.assertIn("\nthe broker has taken them, and has stopped since; what is left goes on when it starts\n",
                              said.result().stdout)
            broker.start()
            load.make_table(self.db, MENDED[1])
            broker.wait_settled("store")
            self.assertEqual(load.ids(self.db), {3})

    def test_replay__list_and_dry_run_change_nothing(self):
        load.make_table(self.db, POISON)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            before = self.dead.read_text()
            listed, dry = self.replay(broker, "--list").stdout, self.replay(broker, "store.0", "--dry-run").stdout
            self.assertIn('{"id":3,"v":3}', listed)
            self.assertIn("CHECK", listed)
            self.assertIn("store.0: 1 row can be given back", dry)
            self.assertEqual(self.replay(broker, "other").returncode, 1)
            self.assertEqual(self.dead.read_text(), before)

    def test_replay__values_of_every_kind_arrive_as_they_would_have(self):
        table = "CREATE TABLE {} (id INTEGER, a, b, c, d, e, f, g{})"
        load.make_table(self.db, table.format("readings", ", CHECK (id <> 1)"), table.format("plain", ""))
        columns = {c: "${%s}" % c for c in ("id", "a", "b", "c", "d", "e", "f", "g")}
        config = load.into_table(self.folder)
        config["rules"] = {"store": {
            "sql": 'SELECT payload.id AS id, base64_decode(payload.a) AS a, payload.b AS b, payload.c AS c, payload.d AS d, '
                   'payload.e AS e, payload.f AS f, base64_decode(payload.g) AS g FROM "load/#"',
            "actions": [{"connector": "archive", "table": t, "columns": columns} for t in ("readings", "plain")]}}
        payload = b'{"id":1,"a":"AP/+","b":12345678901234567890123,"c":1.0,"d":{"x":[1,2.50]},"e":null,"f":"\xc3\xa9\\"","g":"YWJj"}'
        look = "SELECT {}, typeof(a), typeof(b), typeof(c), typeof(d), typeof(g) FROM ".format(", ".join(columns))
        with Broker(config, folder=self.folder) as broker:
            with Client(broker.port) as c:
                c.connect("c")
                c.publish("load/x", payload, qos=1)
            broker.wait_settled("store")
            self.assertEqual(self.letters()[0]["kinds"]["a"], "binary base64")
            load.make_table(self.db, "DROP TABLE readings", table.format("readings", ""))
            self.replay(broker)
            wait_until(lambda: load.query(self.db, look + "readings"))
            self.assertEqual(load.query(self.db, look + "readings"), load.query(self.db, look + "plain"))

    def test_replay__rows_of_other_parameters_stay_with_a_reason(self):
        load.make_table(self.db, POISON, "CREATE TABLE others (id INTEGER, w INTEGER)")
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            before = self.dead.read_text()
            columns = {"id": "${id}", "w": "${v}"}
            broker.write_config({"rules": load.into_table(self.folder, "others", columns=columns)["rules"]})
            self.assertIn("has no 'w'", self.replay(broker, "--anyway").stdout)
            # Moved by hand all the same: the broker puts the line back.
            broker.reload()
            broker.wait_log("reloaded")
            self.dead.rename(self.dead.with_name("store.0.jsonl.1-0.replay"))
            broker.wait_log("dead letters given back.*rows=0 stay=1")
            self.assertEqual(self.dead.read_text(), before)
            broker.write_config({"rules": {"store": {"sql": "SELECT 1 AS x FROM 'load/#'"}}})
            self.assertIn("no action of this configuration", self.replay(broker).stdout)

    def two_tables(self, *tables):
        """Rules of which rows of one table are refused, and the other table is as it is."""
        actions = [load.into_table(self.folder, t)["rules"]["store"]["actions"][0] for t in tables]
        config = load.into_table(self.folder)
        config["rules"]["store"]["actions"] = actions
        return config

    def test_replay__rows_go_to_the_table_they_were_meant_for_wherever_its_action_is_now(self):
        load.make_table(self.db, POISON.replace("readings", "pa"), POISON.replace("readings", "pb"))
        with Broker(self.two_tables("pa", "pb"), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store", 0)
            broker.wait_settled("store", 1)
            self.assertEqual((self.letters()[0]["connector"], self.letters()[0]["destination"]), ("archive", "table pa"))
            broker.stop()
            load.make_table(self.db, *(s.replace("readings", t) for t in ("pa", "pb") for s in MENDED))
            # pb's letter is in store.1, where no action is any more; pa's in store.0, which is pb's now.
            broker.write_config({"rules": self.two_tables("pb")["rules"]})
            said = self.replay(broker, "--dry-run").stdout
            self.assertIn("store.0: 0 rows can be given back, 1 stays: they were for table pa of connector archive; action "
                          "store.0 now writes to table pb of connector archive; --anyway sends them there", said)
            self.assertIn("store.1: 1 row can be given back, 1 of them to another action, which writes there now", said)
            broker.start()
            self.assertIn("1 delivered, 0 refused again", self.replay(broker, "store").stdout)
            self.assertEqual((load.ids(self.db, "pb"), load.ids(self.db, "pa")), ({3}, set()))
            self.assertEqual(len(self.letters()), 1)
            # Moved by hand: the broker finds the same.
            self.dead.rename(self.dead.with_name("store.0.jsonl.1-0.replay"))
            broker.wait_log("dead letters given back.*rows=0 stay=1")
            self.assertEqual(load.ids(self.db, "pa"), set())
            broker.write_config({"rules": self.two_tables("pb", "pa")["rules"]})
            broker.reload()
            broker.wait_log("reloaded")
            self.assertIn("goes to store.1", self.replay(broker, "--list").stdout)
            self.assertIn("1 delivered, 0 refused again", self.replay(broker).stdout)
            self.assertEqual(load.ids(self.db, "pa"), {3})
            self.assertEqual(load.query(self.db, "SELECT count(*) FROM pb"), [(1,)])

    def test_replay__anyway_sends_rows_to_a_table_of_another_name(self):
        load.make_table(self.db, POISON, "CREATE TABLE better (id INTEGER, v INTEGER)")
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.publish(broker, 10)
            broker.wait_settled("store")
            broker.write_config({"rules": load.into_table(self.folder, "better")["rules"]})
            broker.reload()
            broker.wait_log("reloaded")
            self.assertIn("--anyway", self.replay(broker).stdout)
            self.assertEqual(self.replay(broker, "--anyway", "--client", "nobody").returncode, 0)
            self.assertIn("1 delivered, 0 refused again", self.replay(broker, "--anyway").stdout)
            self.assertEqual(load.ids(self.db, "better"), {3})
            self.assertEqual(list(self.dead.parent.iterdir()), [])

    def test_replay__of_an_unknown_name_lists_what_there_is(self):
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            for wrong in ("stroe", "store.7", "x"):
                said = self.replay(broker, wrong)
                self.assertEqual(said.returncode, 1)
                self.assertIn(f"there is no rule or action {wrong} with a connector in this configuration", said.stderr)
                self.assertIn("it has: store.0\n", said.stderr)
            self.assertIn("did you mean store?", self.replay(broker, "stroe").stderr)

    def test_replay__the_older_file_goes_first(self):
        load.make_table(self.db, MENDED[1])
        line = '{"at":"2026-01-01T00:00:00.000Z","rule":"store","action":0,"reason":"x","row":{"id":%d,"v":1}}\n'
        self.dead.parent.mkdir(parents=True)
        self.dead.write_text("".join(line % i for i in range(10, 20)) + '{"at":"20')
        self.dead.with_name("store.0.jsonl.1").write_text("".join(line % i for i in range(10)))
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            said = self.replay(broker).stdout
            self.assertIn("1 stays", said)
            wait_until(lambda: len(load.ids(self.db)) == 20)
            self.assertEqual([r[0] for r in load.query(self.db, "SELECT id FROM readings ORDER BY rowid")], list(range(20)))
            wait_until(lambda: self.dead.exists() and self.dead.read_text() == '{"at":"20\n')

    def many(self, count):
        """Dead letters enough for several portions."""
        line = '{"at":"2026-01-01T00:00:00.000Z","rule":"store","action":0,"connector":"archive","reason":"x",' \
               '"row":{"id":%d,"v":1}}\n'
        self.dead.parent.mkdir(parents=True)
        self.dead.write_text("".join(line % i for i in range(count)))

    def test_replay__killed_in_the_middle__every_row_arrives(self):
        load.make_table(self.db, MENDED[1])
        self.many(60_000)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.replay(broker, "--wait", "0")
            wait_until(lambda: load.ids(self.db))
            broker.kill()
            broker.start()
            wait_until(lambda: len(load.ids(self.db)) == 60_000, 60)
            wait_until(lambda: not list(self.dead.parent.iterdir()), 30)

    def test_replay__stopped_in_the_middle__every_row_arrives_once(self):
        load.make_table(self.db, MENDED[1])
        self.many(60_000)
        with Broker(load.into_table(self.folder), folder=self.folder) as broker:
            self.replay(broker, "--wait", "0")
            wait_until(lambda: load.ids(self.db))
            broker.stop()
            broker.start()
            wait_until(lambda: not list(self.dead.parent.iterdir()), 30)
            broker.wait_settled("store")
            time.sleep(0.2)
            self.assertEqual(load.query(self.db, "SELECT count(*), count(DISTINCT id) FROM readings"), [(60_000, 60_000)])


if __name__ == "__main__":
    unittest.main()
