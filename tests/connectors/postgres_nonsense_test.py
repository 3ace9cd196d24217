"""A server that speaks PostgreSQL's protocol and answers with what nobody asked for: no hang, no crash, and a reason in words."""
import struct
import unittest

from harness.broker import Broker, run_program, temp_folder, wait_until
from harness.client import Client
from harness.fake import Fake

SSL_REQUEST = 80877103


def message(kind, body=b""):
    return kind + struct.pack(">i", len(body) + 4) + body


READY = message(b"Z", b"I")
COPY_OUT, COPY_IN, COPY_BOTH = (message(kind, struct.pack(">bh", 0, 0)) for kind in (b"H", b"G", b"W"))


def table(*rows):
    """Rows of texts, and the end of that answer."""
    columns = len(rows[0]) if rows else 0
    head = struct.pack(">h", columns) + b"".join(b"c\0" + struct.pack(">ihihih", 0, 0, 25, -1, -1, 0) for _ in range(columns))
    out = message(b"T", head)
    for row in rows:
        out += message(b"D", struct.pack(">h", columns) + b"".join(struct.pack(">i", len(v)) + v for v in row))
    return out + message(b"C", b"SELECT 1\0")


class FakePostgres(Fake):
    """Logs everybody in; answer(query) gives the bytes for a query, or None for what a server says to the first words. With parameters
    a query is one message of several, and its answer comes with the last."""

    def __init__(self, answer):
        super().__init__(lambda conn: self.serve(conn, answer))

    def serve(self, conn, answer):
        while True:
            size, code = struct.unpack(">ii", conn.read(8))
            conn.read(size - 8)
            if code != SSL_REQUEST:
                break
            conn.send(b"N")
        conn.send(message(b"R", struct.pack(">i", 0)) + message(b"S", b"server_version\x0015.4\0")
                  + message(b"K", struct.pack(">ii", 42, 1)) + READY)
        while True:
            kind, size = conn.read(1), struct.unpack(">i", conn.read(4))[0]
            body = conn.read(size - 4)
            if kind == b"X":
                return
            if kind == b"P":
                query = body.split(b"\0")[1].decode()
            if kind == b"S":
                conn.send(message(b"1") + message(b"2"))
                body = query.encode() + b"\0"
            if kind not in (b"Q", b"S"):
                continue
            said = answer(body[:-1].decode())
            if said is None:
                said = table([b"42", b"PostgreSQL 15.4"]) if b"pg_backend_pid" in body else table([b"x"])
                said += READY
            conn.send(said)


class Nonsense(unittest.TestCase):
    def connector(self, fake):
        return {"type": "postgres", "url": f"postgresql://u@127.0.0.1:{fake.port}/d", "connect_timeout": "2s",
                "reconnect": {"first": "50ms", "max": "200ms"}}

    def test_nonsense__data_to_copy_as_the_first_answer(self):
        for answer in (COPY_OUT, COPY_IN, COPY_BOTH):
            with self.subTest(answer), FakePostgres(lambda _q, answer=answer: answer) as fake:
                folder = temp_folder()
                (folder / "a.yaml").write_text(
                    f'connectors: {{db: {{type: postgres, url: "postgresql://u@127.0.0.1:{fake.port}/d", connect_timeout: 2s}}}}\n')
                done = run_program("connector", "test", "db", "-c", "a.yaml", cwd=folder)
                self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
                self.assertIn("copy data, which nobody asked for", done.stdout + done.stderr)

    def about_a_table(self, answer, reason):
        """Rows wait while the table's description is answered like that, and nothing stands still."""
        with FakePostgres(lambda q: answer if "pg_attribute" in q else None) as fake:
            rules = {"r": {"sql": 'SELECT payload.v AS v FROM "in"', "actions": [{"connector": "db", "table": "t", "columns": {"v": "${v}"}}]}}
            with Broker({"connectors": {"db": self.connector(fake)}, "rules": rules}) as b, Client(b.port) as c:
                c.connect("dev")
                c.publish("in", '{"v": 1}', qos=1)
                b.wait_log(reason, 30)
                self.assertEqual(b.connector("db")["name"], "db")  # it still answers
                b.kill()  # its row waits for as long as it is given

    def test_nonsense__a_table_described_by_rows_without_columns(self):
        self.about_a_table(table([]) * 3 + READY, "answered with something else")

    def test_nonsense__a_table_described_by_one_column(self):
        self.about_a_table(table([b"r"]) * 3 + READY, "answered with something else")

    def test_nonsense__a_table_described_by_data_to_copy(self):
        self.about_a_table(COPY_OUT, "copy data, which nobody asked for")


    def to_a_source(self, answer, reason):
        with FakePostgres(lambda q: answer if "sluice_rows" in q else None) as fake:
            source = {"connector": "db", "query": "SELECT id FROM t WHERE id > ${cursor} LIMIT ${limit}"}
            rules = {"r": {"sql": 'SELECT payload FROM "$sources/postgres:in"', "actions": [{"republish": {"topic": "x"}}]}}
            with Broker({"connectors": {"db": self.connector(fake)}, "sources": {"in": source}, "rules": rules}) as b:
                b.wait_log(reason, 30)
                self.assertEqual(b.status()["sources"][0]["name"], "in")

    def test_nonsense__a_page_of_one_column(self):
        self.to_a_source(table([b"1"]) + READY, "with other columns than those it was asked for")

    def test_nonsense__a_page_without_columns(self):
        self.to_a_source(table([]) + READY, "with other columns than those it was asked for")

    def test_nonsense__a_page_to_copy(self):
        self.to_a_source(COPY_OUT, "copy data, which nobody asked for")

    def test_nonsense__more_rows_than_were_asked_for(self):
        """Each is a message, and what is said of it is the rule's affair."""
        rows = table(*([str(i).encode(), b"no json"] for i in range(1, 2001)))
        with FakePostgres(lambda q: rows + READY if "sluice_rows" in q else None) as fake:
            source = {"connector": "db", "query": "SELECT id FROM t LIMIT ${limit}", "limit": 3,
                      "ack": "DELETE FROM t WHERE id = ANY(${cursors})"}
            rules = {"r": {"sql": 'SELECT payload.x AS x FROM "$sources/postgres:in"', "actions": [{"republish": {"topic": "x"}}]}}
            with Broker({"connectors": {"db": self.connector(fake)}, "sources": {"in": source}, "rules": rules}) as b:
                wait_until(lambda: b.status()["sources"][0]["acknowledged"] >= 2000, 30, "not read")


if __name__ == "__main__":
    unittest.main()
