"""Batches that are searched for bad rows: what must come again is not overtaken."""
from harness.broker import wait_until
from postgres_test import COLUMNS, PostgresTest

WAYS = {"table": {"table": "t", "columns": COLUMNS}, "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}}


class Search(PostgresTest):
    def test_order__a_row_that_is_tried_again_takes_those_behind_it_along(self):
        """Each of these batches has bad rows, and a row that a trigger refuses with a deadlock, four times."""
        for way, action in WAYS.items():
            with self.subTest(way=way):
                self.table("id int, v text CHECK (v <> 'bad')")
                self.pg.execute("DROP SEQUENCE IF EXISTS times; CREATE SEQUENCE times; GRANT ALL ON times TO PUBLIC;"
                                "CREATE OR REPLACE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN "
                                "IF NEW.v = 'again' AND nextval('times') % 5 <> 0 THEN RAISE 'not now' USING ERRCODE = '40P01'; END IF; "
                                "RETURN NEW; END $f$; CREATE TRIGGER again BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION again()")
                value = {3: "bad", 4: "again", 7: "bad"}
                rows = [{"id": i, "v": value.get(i % 20, "x")} for i in range(400)]
                self.deliver(rows, {**action, "batch": {"rows": 50}, "retry": {"first": "5ms", "max": "20ms"}}, rejected=40)
                self.assertEqual([int(id_) for id_, in self.rows("id", "ctid")], [i for i in range(400) if i % 20 not in (3, 7)])

    def test_order__rows_wait_for_a_table_that_comes_and_goes(self):
        """What was stored gets through when it is asked whether the table is there, and not behind the row in doubt: nobody knows who is
        to blame, and nothing is a broken connection."""
        for way, action in WAYS.items():
            with self.subTest(way=way):
                self.table("id int, v text")
                self.pg.execute("DROP SEQUENCE IF EXISTS times; CREATE SEQUENCE times; GRANT ALL ON times TO PUBLIC;"
                                "CREATE OR REPLACE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN "
                                "IF NEW.id = 1 OR (NEW.id = 0 AND nextval('times') NOT IN (1, 2) AND currval('times') % 2 = 1) "
                                "THEN RAISE 'no such table' USING ERRCODE = '42P01'; END IF; "
                                "RETURN NEW; END $f$; CREATE TRIGGER away BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION away()")
                with self.broker({**action, "batch": {"rows": 1}, "retry": {"first": "5ms", "max": "20ms"}}) as b:
                    self.publish(b, [{"id": i, "v": "x"} for i in range(50)])
                    wait_until(lambda: int(self.pg.value("SELECT last_value FROM times")) > 60)
                    self.assertEqual(self.rows("id"), [["0"]])
                    self.assertEqual(self.state(b)["state"], "degraded")
                    self.pg.execute("DROP TRIGGER away ON t")
                    n = b.wait_settled("r")
                    self.assertEqual((n["delivered"], n["rejected"]), (50, 0), self.dead(b)[:3])
                self.assertEqual([int(id_) for id_, in self.rows("id", "ctid")], list(range(50)))


del PostgresTest
