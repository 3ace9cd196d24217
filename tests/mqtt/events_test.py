"""Events as rule sources, and basic ingest: what clients do, and what rules make of it. Each rule writes a file of its own."""
import json
import time
import unittest

from cases import ours_only
from harness import packet as m
from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client


def password_file():
    """With a user u1 whose password is `secret`."""
    path = temp_folder() / "users"
    done = run_program("passwd", str(path), "u1", stdin="secret\n")
    assert done.returncode == 0, done.stderr
    return str(path)


class Events:
    """A broker whose rules write what they read."""

    def __init__(self, rules, **config):
        self.folder = temp_folder()
        config["connectors"] = {"files": {"type": "file", "dir": str(self.folder)}, **config.get("connectors", {})}
        config["rules"] = {name: self._rule(name, rule) for name, rule in rules.items()}
        self.broker = Broker(config)

    @staticmethod
    def _rule(name, rule):
        if isinstance(rule, str):
            rule = {"sql": rule}
        return {"actions": [{"connector": "files", "file": f"{name}.jsonl"}], **rule}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.broker.stop(check=kind is None)

    def rows(self, name):
        path = self.folder / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self, name, count=1):
        wait_until(lambda: len(self.rows(name)) >= count, 20, lambda: f"{name}: {self.rows(name)}\n{self.broker.log()[-3000:]}")
        rows = self.rows(name)
        assert len(rows) == count, rows
        return rows

    def client(self, name, version=m.V5, **options):
        c = Client(self.broker.port, version)
        c.connect(name, **options)
        return c


@ours_only("events")
class ClientEvents(unittest.TestCase):
    def test_connected__has_what_the_client_said(self):
        with Events({"on": 'SELECT * FROM "$events/client/connected"', "ack": 'SELECT * FROM "$events/client_connack"',
                     "authn": 'SELECT * FROM "$events/auth/check_authn_complete"'}) as e:
            before = time.time() * 1000 - 1000
            c = e.client("c1", keepalive=77, properties={"session_expiry": 90, "receive_maximum": 9, "user": [("k", "v")]})
            row, = e.wait("on")
            self.assertEqual({k: row[k] for k in ("clientid", "username", "mountpoint", "proto_name", "proto_ver", "keepalive",
                                                  "clean_start", "receive_maximum", "expiry_interval", "is_bridge",
                                                  "client_attrs", "event", "node")},
                             {"clientid": "c1", "username": None, "mountpoint": None, "proto_name": "MQTT", "proto_ver": 5,
                              "keepalive": 77, "clean_start": True, "receive_maximum": 9, "expiry_interval": 90,
                              "is_bridge": False, "client_attrs": {}, "event": "client.connected", "node": "test"})
            self.assertEqual(row["conn_props"], {"Session-Expiry-Interval": 90, "Receive-Maximum": 9, "User-Property": {"k": "v"},
                                                 "User-Property-Pairs": [{"key": "k", "value": "v"}]})
            self.assertEqual(row["sockname"], f"127.0.0.1:{e.broker.port}")
            self.assertEqual(row["peername"], "127.0.0.1:%d" % c.sock.getsockname()[1])
            self.assertTrue(before < row["connected_at"] < before + 60000, row)
            ack, = e.wait("ack")
            self.assertEqual((ack["reason_code"], ack["clientid"], ack["event"]), ("success", "c1", "client.connack"))
            authn, = e.wait("authn")
            self.assertEqual((authn["reason_code"], authn["is_anonymous"], authn["is_superuser"]), ("success", True, False))
            c.close()

    def reasons(self, e, count):
        return sorted((r["c"], r["r"]) for r in e.wait("off", count))

    def test_disconnected__says_why(self):
        sql = 'SELECT clientid AS c, reason AS r FROM "$events/client/disconnected"'
        with Events({"off": sql, "props": 'SELECT * FROM "$events/client_disconnected" WHERE clientid = \'bye\''}) as e:
            e.client("bye").disconnect(properties={"reason_string": "done"})
            e.client("gone").close()
            e.client("old", version=m.V311).disconnect()
            first = e.client("twice", clean=False)
            second = e.client("twice", clean=False)
            third = e.client("twice")
            wrong = e.client("wrong")
            wrong.send(bytes([0xF0 | 1, 0]))
            with_will = e.client("will")
            with_will.disconnect(code=4)
            quiet = e.client("quiet", keepalive=1)
            third.close()
            self.assertEqual(self.reasons(e, 9), [
                ("bye", "normal"), ("gone", "tcp_closed"), ("old", "normal"), ("quiet", "keepalive_timeout"),
                ("twice", "discarded"), ("twice", "takenover"), ("twice", "tcp_closed"),
                ("will", "disconnect_with_will_message"), ("wrong", "malformed_packet")])
            row, = e.wait("props")
            self.assertEqual(row["disconn_props"], {"Reason-String": "done"})
            self.assertEqual(row["sockname"], f"127.0.0.1:{e.broker.port}")
            self.assertGreaterEqual(row["disconnected_at"], row["connected_at"])
            for c in (first, second, wrong, quiet):
                c.close()

    def test_connack__says_why_not(self):
        with Events({"ack": 'SELECT clientid, username, reason_code, connected_at FROM "$events/client/connack"',
                     "authn": 'SELECT clientid, reason_code, is_anonymous FROM "$events/auth/check_authn_complete"',
                     "aws": {"sql": "SELECT payload.connectFailureReason AS r, topic AS t FROM '$aws/events/presence/connect_failed/+'"}},
                    auth={"anonymous": False, "password_file": password_file()}) as e:
            c = Client(e.broker.port, m.V5)
            c.connect("c1", code=0x86)
            c.close()
            row, = e.wait("ack")
            self.assertEqual(row, {"clientid": "c1", "username": None, "reason_code": "bad_username_or_password",
                                   "connected_at": None})
            row, = e.wait("authn")
            self.assertEqual(row, {"clientid": "c1", "reason_code": "bad_username_or_password", "is_anonymous": True})
            row, = e.wait("aws")
            self.assertEqual(row, {"r": "AUTH_ERROR", "t": "$aws/events/presence/connect_failed/c1"})

    def test_authn__of_a_password_file_comes_once(self):
        with Events({"authn": 'SELECT clientid, username, reason_code FROM "$events/auth/check_authn_complete"',
                     "ack": 'SELECT clientid, username, reason_code FROM "$events/client/connack"'},
                    auth={"anonymous": False, "password_file": password_file()}) as e:
            good = e.client("good", username="u1", password=b"secret")
            bad = Client(e.broker.port, m.V5)
            bad.connect("bad", username="u1", password=b"wrong", code=0x86)
            rows = sorted((r["clientid"], r["username"], r["reason_code"]) for r in e.wait("authn", 2))
            self.assertEqual(rows, [("bad", "u1", "bad_username_or_password"), ("good", "u1", "success")])
            rows = sorted((r["clientid"], r["reason_code"]) for r in e.wait("ack", 2))
            self.assertEqual(rows, [("bad", "bad_username_or_password"), ("good", "success")])
            good.close()
            bad.close()

    def test_will__has_the_user_name_of_its_client(self):
        sql = 'SELECT clientid, username, payload, peerhost FROM "gone/#"'
        with Events({"will": sql, "dropped": 'SELECT clientid, username FROM "$events/message/dropped"',
                     "aws": {"sql": "SELECT principal() AS p FROM 'gone/#'", "dialect": "aws"}},
                    auth={"anonymous": False, "password_file": password_file(), "acl_default": "allow"}) as e:
            for name, delay in (("now", {}), ("late", {"will_delay": 1})):
                c = e.client(name, username="u1", password=b"secret", properties={"session_expiry": 9},
                             will=m.Will("gone/" + name, b"bye", properties=delay))
                c.close()
            rows = sorted((r["clientid"], r["username"], r["payload"]) for r in e.wait("will", 2))
            self.assertEqual(rows, [("late", "u1", "bye"), ("now", "u1", "bye")])
            rows = sorted((r["clientid"], r["username"]) for r in e.wait("dropped", 2))
            self.assertEqual(rows, [("late", "u1"), ("now", "u1")])
            self.assertEqual([r["p"] for r in e.wait("aws", 2)], ["u1", "u1"])

    def test_subscribed__one_event_a_filter(self):
        with Events({"sub": 'SELECT * FROM "$events/session/subscribed"', "unsub": 'SELECT * FROM "$events/session_unsubscribed"',
                     "aws": "SELECT payload.eventType AS e, payload.topics AS t, clientid AS c FROM '$aws/events/subscriptions/+/c1'"}) as e:
            c = e.client("c1")
            c.subscribe("a/+", "$share/g/b/#", qos=1, properties={"subscription_id": 5})
            c.send(m.unsubscribe(9, "a/+", "nothing", version=m.V5))
            c.expect(m.UNSUBACK)
            rows = e.wait("sub", 2)
            self.assertEqual([(r["topic"], r["qos"], r["clientid"], r["sub_props"], r["peerhost"]) for r in rows],
                             [("a/+", 1, "c1", {"Subscription-Identifier": 5}, "127.0.0.1"),
                              ("$share/g/b/#", 1, "c1", {"Subscription-Identifier": 5}, "127.0.0.1")])
            row, = e.wait("unsub")
            self.assertEqual((row["topic"], row["qos"], row["unsub_props"]), ("a/+", None, {}))
            self.assertEqual(e.wait("aws", 2), [{"e": "subscribed", "t": ["a/+", "$share/g/b/#"], "c": "c1"},
                                                {"e": "unsubscribed", "t": ["a/+"], "c": "c1"}])
            c.close()

    def test_presence__is_a_message_for_rules_only(self):
        with Events({"aws": "SELECT payload FROM '$aws/events/presence/#'"}) as e:
            watcher = e.client("watcher")
            watcher.subscribe("$aws/events/#")
            e.client("dev/1").disconnect()
            rows = [json.loads(r["payload"]) for r in e.wait("aws", 3)][1:]
            self.assertEqual([r["eventType"] for r in rows], ["connected", "disconnected"])
            on, off = rows
            self.assertEqual(on["sessionIdentifier"], off["sessionIdentifier"])
            self.assertEqual(on["versionNumber"], off["versionNumber"])
            self.assertEqual((off["clientInitiatedDisconnect"], off["disconnectReason"]), (True, "CLIENT_INITIATED_DISCONNECT"))
            self.assertEqual((on["clientId"], on["ipAddress"]), ("dev/1", "127.0.0.1"))
            watcher.expect_silence()
            watcher.close()


@ours_only("events")
class MessageEvents(unittest.TestCase):
    def test_delivered_and_acked__name_both_ends(self):
        with Events({"pub": 'SELECT id, qos FROM "t/#"', "got": 'SELECT * FROM "$events/message/delivered"',
                     "acked": 'SELECT * FROM "$events/message/acked"'}) as e:
            s = e.client("sub", username="su")
            s.subscribe("t/#", qos=2)
            p = e.client("pub", username="pu")
            for qos in (0, 1, 2):
                p.publish(f"t/{qos}", b'{"x":1}', qos=qos)
                s.receive(f"t/{qos}", '{"x":1}', qos=qos)
            ids = [r["id"] for r in e.wait("pub", 3)]
            got = e.wait("got", 3)
            self.assertEqual([r["id"] for r in got], ids)
            self.assertEqual([(r["topic"], r["qos"], r["clientid"], r["username"], r["from_clientid"], r["from_username"],
                               r["payload"]) for r in got],
                             [(f"t/{q}", q, "sub", "su", "pub", "pu", '{"x":1}') for q in (0, 1, 2)])
            acked = e.wait("acked", 2)
            self.assertEqual([r["id"] for r in acked], ids[1:])
            self.assertEqual([(r["qos"], r["puback_props"], r["event"]) for r in acked],
                             [(1, {}, "message.acked"), (2, {}, "message.acked")])
            s.close()
            p.close()

    def test_dropped__nobody_subscribed(self):
        with Events({"d": 'SELECT * FROM "$events/message/dropped"'}) as e:
            p = e.client("pub", username="pu")
            p.publish("no/one", b"x", qos=1)
            row, = e.wait("d")
            self.assertEqual([row[k] for k in ("topic", "clientid", "username", "reason", "payload", "qos", "peerhost")],
                             ["no/one", "pub", "pu", "no_subscribers", "x", 1, "127.0.0.1"])
            p.close()

    def test_delivery_dropped__says_why(self):
        with Events({"d": 'SELECT topic AS t, clientid AS c, from_clientid AS f, reason AS r FROM "$events/message/delivery_dropped"'},
                    mqtt={"max_queued": 2}) as e:
            own = e.client("own")
            own.subscribe("own", options=4)
            own.publish("own", b"x")
            away = e.client("away", clean=False, properties={"session_expiry": 60})
            away.subscribe("away/#", qos=1)
            away.close()
            p = e.client("pub")
            wait_until(lambda: e.broker.status() and True)
            p.publish("away/q0", b"x")
            for i in range(3):
                p.publish(f"away/{i}", b"x", qos=1)
            small = e.client("small", properties={"maximum_packet_size": 50})
            small.subscribe("big")
            p.publish("big", b"x" * 100)
            rows = [(r["t"], r["c"], r["f"], r["r"]) for r in e.wait("d", 4)]
            self.assertEqual(sorted(rows), [("away/2", "away", "pub", "queue_full"), ("away/q0", "away", "pub", "qos0_msg"),
                                            ("big", "small", "pub", "too_large"), ("own", "own", "own", "no_local")])
            for c in (own, p, small):
                c.close()

    def test_loops__of_events_end(self):
        """A message made of its own loss is lost too: two generations, then it is refused."""
        again = [{"republish": {"topic": "lost/again", "payload": "${topic}"}}]
        echo = [{"republish": {"topic": "echo", "payload": "x"}}]
        with Events({"lost": {"sql": 'SELECT topic FROM "$events/message/dropped"', "actions": again},
                     "echo": {"sql": 'SELECT topic FROM "$events/message/delivered"', "actions": echo}}) as e:
            p = e.client("pub")
            p.publish("no/one", b"x", qos=1)
            wait_until(lambda: e.broker.rule("lost")["actions"][0]["looping"] == 1)
            self.assertEqual(e.broker.rule("lost")["actions"][0]["taken"], 2)
            subscribers = [e.client(f"s{i}") for i in range(5)]
            for s in subscribers:
                s.subscribe("echo")
            p.publish("echo", b"x")
            # 5 deliveries, 5 messages with 5 deliveries each, 25 with 5 each: these are refused.
            wait_until(lambda: e.broker.rule("echo")["actions"][0]["looping"] == 125)
            self.assertEqual(e.broker.rule("echo")["actions"][0]["taken"], 30)
            for c in [p, *subscribers]:
                c.close()

    def test_delivered__none_is_missed_between_workers_and_reloads(self):
        with Events({"got": 'SELECT clientid AS c, topic AS t FROM "$events/message/delivered"'}, node={"workers": 3}) as e:
            subscribers = [e.client(f"s{i}") for i in range(5)]
            for s in subscribers:
                s.subscribe("load/#", qos=1)
            publishers = [e.client(f"p{i}") for i in range(5)]
            count = 200
            for n in range(count):
                for p in publishers:
                    p.send(m.publish(f"load/{n}", b"x", 0, None, version=m.V5))
                if n % 50 == 20:
                    e.broker.reload()
            for s in subscribers:
                for _ in range(count * len(publishers)):
                    s.expect(m.PUBLISH)
            total = count * len(publishers) * len(subscribers)
            wait_until(lambda: e.broker.rule("got")["produced"] == total, 30, lambda: str(e.broker.rule("got")))
            self.assertEqual(e.broker.wait_settled("got")["delivered"], total)
            for c in publishers + subscribers:
                c.close()

    def test_events__are_no_topics(self):
        with Events({"e": 'SELECT event FROM "$events/#" WHERE event != \'connector.status\''}) as e:
            p = e.client("pub")
            count = len(e.wait("e", 3))  # authn, connack, connected
            self.assertEqual(p.publish("$events/client/connected", b"x", qos=1).code, 0x87)
            self.assertEqual(p.publish("$aws/events/presence/connected/x", b"x", qos=1).code, 0x87)
            p.disconnect()
            self.assertEqual(e.wait("e", count + 1)[-1]["event"], "client.disconnected")

    def test_mixed_from__has_null_for_what_is_not_there(self):
        with Events({"m": 'SELECT clientid AS c, payload.x AS x, reason AS r FROM "t/#", "$events/client/disconnected"'}) as e:
            p = e.client("pub")
            p.publish("t/1", b'{"x":7}')
            p.disconnect()
            self.assertEqual(e.wait("m", 2), [{"c": "pub", "x": 7, "r": None}, {"c": "pub", "x": None, "r": "normal"}])


@ours_only("connectors")
class ConnectorEvents(unittest.TestCase):
    def test_status__is_told_from_the_start(self):
        with Events({"s": 'SELECT * FROM "$events/connector/status" WHERE state = \'up\''}) as e:
            row, = e.wait("s")
            self.assertEqual([row[k] for k in ("connector", "kind", "state", "previous", "reason")],
                             ["files", "file", "up", "connecting", None])
            self.assertGreater(row["since"], 1600000000000)


@ours_only("basic ingest")
class BasicIngest(unittest.TestCase):
    def test_publish__goes_to_the_rule_alone(self):
        with Events({"one": 'SELECT topic AS t, payload.v AS v FROM "plant/#"', "two": 'SELECT topic AS t FROM "#", "$aws/rules/#"'}) as e:
            s = e.client("watcher")
            s.subscribe("#", "$aws/rules/#")
            p = e.client("pub")
            self.assertEqual(p.publish("$aws/rules/one/plant/x", b'{"v":4}', qos=1).code, 0)
            self.assertEqual(p.publish("$aws/rules/one/elsewhere", b'{"v":5}', qos=1).code, 0)
            self.assertEqual(p.publish("$aws/rules/none/plant/x", b'{"v":6}', qos=1).code, 0)
            self.assertEqual(e.wait("one"), [{"t": "plant/x", "v": 4}])
            s.expect_silence()
            self.assertEqual(e.rows("two"), [])
            e.broker.wait_log("rule that is not there.*rule=none")
            self.assertIn("sluice_basic_ingest_unknown_total 1", e.broker.get("/metrics")[1])
            s.close()
            p.close()


@ours_only("the status page")
class Failures(unittest.TestCase):
    def test_failed_run__names_the_client_and_warns_once(self):
        with Events({"f": 'SELECT int(payload.n) AS n FROM "t/#"'}) as e:
            p = e.client("clumsy")
            for _ in range(5):
                p.publish("t/1", b'{"n":"abc"}', qos=1)
            line = e.broker.wait_log("WARN.*rule failed.*rule=f ")
            self.assertIn("topic=t/1 clientid=clumsy reason=", line)
            self.assertEqual(e.broker.log().count("rule failed"), 1)
            failure = e.broker.rule("f")["failures"][0]
            self.assertEqual((failure["clientid"], failure["topic"]), ("clumsy", "t/1"))
            p.close()


@ours_only("sluice sql")
class Tester(unittest.TestCase):
    def run_sql(self, *args, stdin=None):
        return run_program("sql", *args, stdin=stdin)

    def test_event__columns_are_given_and_the_rest_is_null(self):
        done = self.run_sql("SELECT clientid AS c, username AS u, conn_props.'Receive-Maximum' AS n FROM '$events/client/+'",
                            "--event", "$events/client/connected", "--columns",
                            '{"clientid":"c1","conn_props":{"Receive-Maximum":5}}')
        self.assertEqual((done.stdout, done.returncode), ('{"c":"c1","u":null,"n":5}\n', 0), done.stderr)

    def test_event__may_be_named_by_from_alone(self):
        done = self.run_sql("SELECT reason AS r, event AS e FROM '$events/client_disconnected'", "--columns", '{"reason":"normal"}')
        self.assertEqual(done.stdout, '{"r":"normal","e":"client.disconnected"}\n', done.stderr)

    def test_event__of_a_message_has_a_payload(self):
        done = self.run_sql("SELECT payload.x AS x FROM '$events/message/dropped'", "--columns", '{"payload":"{\\"x\\":4}"}')
        self.assertEqual(done.stdout, '{"x":4}\n', done.stderr)

    def test_event__by_the_name_in_its_column_is_told_what_it_is_called(self):
        done = run_program("sql", 'SELECT 1 AS x FROM "$events/client/connected"', "--event", "client.connected")
        self.assertIn("there is no event 'client.connected'; FROM and tools call it $events/client/connected", done.stderr)

    def test_event__of_aws_that_never_happens_is_refused(self):
        for source in ("$aws/events/presence/connected", "$aws/events/presence/conected/+", "$aws/events/subscriptions/x/#"):
            for dialect in ("standard", "aws"):
                done = run_program("sql", "--dialect", dialect, f"SELECT * FROM '{source}'")
                self.assertEqual(done.returncode, 1)
                self.assertIn(f"'{source}' never happens: there are $aws/events/presence/", done.stderr)
        for source in ("$aws/events/#", "$aws/#", "$aws/events/+/+/c1", "$aws/events/presence/connected/+", "$aws/events/job/#"):
            self.assertEqual(run_program("sql", "--explain", f"SELECT * FROM '{source}'").returncode, 0, source)

    def test_event__a_wrong_column_or_event_is_refused(self):
        done = self.run_sql("SELECT 1 AS x FROM '$events/#'", "--event", "$events/client/connected", "--columns", '{"reson":1}')
        self.assertEqual(done.returncode, 2)
        self.assertIn("no column 'reson'", done.stderr)
        done = self.run_sql("SELECT 1 AS x FROM '$events/#'", "--event", "$events/client/+")
        self.assertIn("several events", done.stderr)

    def test_jsonl__event_is_an_object(self):
        case = {"id": 1, "sql": 'SELECT clientid AS c, qos AS q FROM "$events/session/subscribed", "a"',
                "topic": "$events/session/subscribed", "event": {"clientid": "x", "qos": 1}}
        done = self.run_sql("--jsonl", stdin=json.dumps(case) + "\n")
        self.assertEqual(json.loads(done.stdout), {"id": 1, "rows": [{"c": "x", "q": 1}]}, done.stderr)


if __name__ == "__main__":
    unittest.main()
