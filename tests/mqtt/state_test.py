"""Rules that remember, in a running broker: windows, keys without end, a dictionary that goes with its connection."""
import json
import unittest

from harness import packet as m
from harness.broker import Broker, wait_until
from harness.client import Client


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def to_file(sql, name="rows.jsonl"):
    return {"sql": sql, "actions": [{"connector": "files", "file": name}]}


class State(unittest.TestCase):
    def broker(self, rules, **sections):
        broker = Broker(start=False)
        out = broker.folder / "out"
        out.mkdir()
        broker.write_config({"connectors": {"files": {"type": "file", "dir": str(out)}}, "rules": rules, **sections})
        self.out = out
        return broker.start()

    def client(self, broker, name):
        c = Client(broker.port)
        self.addCleanup(c.close)
        c.connect(name)
        return c

    def publish_all(self, client, topic, payloads, window=200):
        """With QoS 1; a few at a time are under way."""
        for at in range(0, len(payloads), window):
            part = payloads[at:at + window]
            for payload in part:
                client.send(m.publish(topic, json.dumps(payload).encode(), qos=1, pid=client.next_pid()))
            for _ in part:
                client.expect(m.PUBACK)

    def test_windows__count_every_message_once(self):
        sql = "SELECT payload.k AS k, count(*) AS n, sum(payload.v) AS s FROM 'in/#' GROUP BY k, tumbling('200ms')"
        with self.broker({"sums": to_file(sql)}, node={"workers": 2}) as broker:
            for i in range(4):  # on whichever worker
                c = self.client(broker, f"c{i}")
                self.publish_all(c, f"in/{i}", [{"k": n % 5, "v": n} for n in range(500)])
            rows = []

            def complete():
                rows[:] = lines_of(self.out / "rows.jsonl")
                return sum(r["n"] for r in rows) >= 2000
            wait_until(complete, 20, lambda: f"{sum(r['n'] for r in rows)} of 2000 are counted")
            rule = broker.rule("sums")
        for k in range(5):
            self.assertEqual(sum(r["n"] for r in rows if r["k"] == k), 400)
            self.assertEqual(sum(r["s"] for r in rows if r["k"] == k), 4 * sum(range(k, 500, 5)))
        self.assertEqual((rule["matched"], rule["produced"], rule["failed"]), (2000, 2000, 0))
        self.assertEqual(rule["rows"], len(rows))

    def test_windows__a_clean_stop_lets_out_what_is_open(self):
        sql = "SELECT clientid, count(*) AS n, window_end() - window_start() AS ms FROM 'in' GROUP BY clientid, tumbling('1d')"
        with self.broker({"sums": to_file(sql)}) as broker:
            self.publish_all(self.client(broker, "c1"), "in", [{}] * 7)
            self.publish_all(self.client(broker, "c2"), "in", [{}] * 3)
            self.assertEqual(lines_of(self.out / "rows.jsonl"), [])
            self.assertEqual(broker.status()["state"]["keys"], 2)
        rows = sorted(lines_of(self.out / "rows.jsonl"), key=lambda r: r["clientid"])
        self.assertEqual(rows, [{"clientid": "c1", "n": 7, "ms": 86400000}, {"clientid": "c2", "n": 3, "ms": 86400000}])

    def test_windows__a_crash_loses_what_is_open_and_a_reload_does_not(self):
        sql = "SELECT count(*) AS n FROM 'in' GROUP BY tumbling('1d')"
        broker = self.broker({"sums": to_file(sql)})
        c = self.client(broker, "c1")
        self.publish_all(c, "in", [{}] * 2)
        broker.write_config({"rules": {"sums": to_file(sql), "other": {"sql": "SELECT * FROM 'x'"}}})
        broker.reload()
        wait_until(lambda: len(broker.status()["rules"]) == 2)
        self.publish_all(c, "in", [{}] * 3)
        self.assertEqual(broker.rule("sums")["produced"], 5)
        broker.kill()
        broker.start()
        self.publish_all(self.client(broker, "c1"), "in", [{}] * 4)
        broker.write_config({"rules": {"other": {"sql": "SELECT * FROM 'x'"}}})
        broker.stop()
        self.assertEqual(lines_of(self.out / "rows.jsonl"), [{"n": 4}])

    def test_memory__keys_without_end_are_forgotten_at_the_limit(self):
        rules = {"lags": to_file("SELECT lag(payload.v, payload.k) AS x FROM 'in' WHERE payload.v = 2"),
                 "groups": to_file("SELECT count(*) AS n FROM 'in' GROUP BY payload.k, tumbling('1d')", "groups.jsonl"),
                 "changes": to_file("SELECT 1 AS one FROM 'in' WHERE changed(payload.v, payload.k)", "changes.jsonl")}
        with self.broker(rules, state={"max_bytes": "1MB"}) as broker:
            c = self.client(broker, "c1")
            self.publish_all(c, "in", [{"k": f"device-{n}-" + "x" * 200, "v": n % 2} for n in range(6000)])
            state = broker.status()["state"]
            groups, changes = broker.rule("groups"), broker.rule("changes")
            text = broker.get("/metrics")[1]
        self.assertEqual(state["bytes_max"], 1 << 20)
        self.assertLessEqual(state["bytes"], 1 << 20)
        self.assertGreater(state["evicted"], 1000)
        self.assertGreater(state["refused"], 1000)
        self.assertGreater(groups["failed"], 1000)
        self.assertEqual(groups["failed"] + groups["produced"], 6000)
        self.assertIn("memory for state", groups["failures"][0]["reason"])
        self.assertEqual((changes["failed"], changes["produced"]), (0, 6000))
        self.assertRegex(text, r"\nsluice_state_evicted_total [1-9]")

    def test_memory__by_key_on_all_workers_until_the_sql_changes(self):
        sql = ("SELECT payload.k AS k, payload.v AS v, lag(payload.v, payload.k, 'none') AS before,"
               " changed(payload.v, payload.k) AS c, last_value(payload.v, payload.k) AS l FROM 'in'")
        other = {"sql": "SELECT * FROM 'x'"}
        broker = self.broker({"r": to_file(sql)}, node={"workers": 2})
        clients = [self.client(broker, f"c{i}") for i in range(3)]  # on both workers
        for i, payload in enumerate([{"k": "a", "v": 1}, {"k": "b", "v": 5}, {"k": "a", "v": 1}, {"k": "a"},
                                     {"k": "a", "v": 2}, {"k": "b", "v": 5}]):
            self.publish_all(clients[i % 3], "in", [payload])
        broker.write_config({"rules": {"r": to_file(sql), "other": other}})
        broker.reload()
        wait_until(lambda: len(broker.status()["rules"]) == 2)
        self.publish_all(clients[0], "in", [{"k": "a", "v": 2}])
        broker.write_config({"rules": {"r": to_file(sql.replace(" FROM", ", 1 AS one FROM")), "other": other}})
        broker.reload()
        wait_until(lambda: "1 AS one" in json.dumps(broker.status()["rules"]))
        self.publish_all(clients[0], "in", [{"k": "a", "v": 2}])
        broker.stop()
        broker.start()
        self.publish_all(self.client(broker, "c0"), "in", [{"k": "a", "v": 2}])
        broker.stop()
        rows = {k: [(r["v"], r["before"], r["c"], r["l"]) for r in lines_of(self.out / "rows.jsonl") if r["k"] == k]
                for k in "ab"}
        self.assertEqual(rows["b"], [(5, "none", True, 5), (5, 5, False, 5)])
        self.assertEqual(rows["a"], [(1, "none", True, 1), (1, 1, False, 1), (None, 1, False, 1), (2, "none", True, 2),
                                     (2, 2, False, 2), (2, "none", True, 2), (2, "none", True, 2)])

    def test_memory__a_dictionary_goes_with_its_connection_and_the_store_stays(self):
        sql = "SELECT proc_dict_put('k', payload.v) AS d, kv_store_get('k') AS s, kv_store_put('k', payload.v) AS p FROM 'in'"
        with self.broker({"r": to_file(sql)}) as broker:
            c = self.client(broker, "c1")
            self.publish_all(c, "in", [{"v": 1}])
            self.publish_all(c, "in", [{"v": 2}])
            c.disconnect()
            self.publish_all(self.client(broker, "c1"), "in", [{"v": 3}])
            self.publish_all(self.client(broker, "c1"), "in", [{"v": 4}])  # takes over
            broker.wait_settled("r")
            rows = lines_of(self.out / "rows.jsonl")
        self.assertEqual([(r["d"], r["s"]) for r in rows], [(None, None), (1, 1), (None, 2), (None, 3)])


if __name__ == "__main__":
    unittest.main()
