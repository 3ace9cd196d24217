"""Batches that are searched for bad rows: what must come again is not overtaken."""
from postgres_test import COLUMNS, PostgresTest


class Search(PostgresTest):
    def test_order__a_row_that_is_tried_again_takes_those_behind_it_along(self):
        """Each of these batches has bad rows, and a row that a trigger refuses with a deadlock, four times."""
        ways = {"table": {"table": "t", "columns": COLUMNS}, "sql": {"sql": "INSERT INTO t(id, v) VALUES (${id}, ${v})"}}
        for way, action in ways.items():
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


del PostgresTest
