"""A publisher that never gives up, fast enough to keep a broker busy: what is not acknowledged is sent again."""
import socket
import sqlite3
import threading
import time
from collections import deque

from harness import packet as m


class Publisher(threading.Thread):
    """Publishes `count` messages with QoS 1, `window` of them under way, over as many connections as it takes.

    Message n has the payload {"id": first + n, "v": n, "pad": "..."}. `acked` holds the ids whose PUBACK arrived with
    success. With version 5 a PUBACK with an error code counts in `refused`, and the message is sent again after a
    pause.
    """

    def __init__(self, port, topic, count, first=0, window=1000, pad=0, version=m.V311, client_id=None):
        super().__init__(daemon=True)
        self.port, self.version, self.window, self.first, self.count = port, version, window, first, count
        self.client_id = client_id or f"publisher{first}"
        self.acked, self.refused, self.connections, self.sent = set(), 0, 0, 0
        self.give_up = threading.Event()
        self.error = None
        self._todo = deque(range(count))
        self._out = {}  # packet id -> message
        self._ids = 0
        extra = ', "pad": "' + "x" * pad + '"' if pad else ""
        self._head = m.text(topic)
        self._tail = (b"\x00" if version == m.V5 else b"")
        self._payload = lambda n: b'{"id": %d, "v": %d%s}' % (first + n, n, extra.encode())

    def run(self):
        try:
            while (self._todo or self._out) and not self.give_up.is_set():
                try:
                    self._session()
                except OSError:
                    time.sleep(0.02)  # the broker is away
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def _session(self):
        # Oldest first, as a client that kept them would send them again.
        self._todo = deque(sorted(list(self._out.values()) + list(self._todo)))
        self._out.clear()
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(m.connect(self.client_id, self.version))
            buffer = b""
            while len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
                buffer += self._recv(s)
            if buffer[0] != 0x20 or buffer[3] != 0:
                raise OSError("connection refused by the broker")
            self.connections += 1
            buffer = buffer[2 + buffer[1]:]
            while (self._todo or self._out) and not self.give_up.is_set():
                self._send_some(s)
                buffer = self._take_acks(buffer + self._recv(s))

    @staticmethod
    def _recv(s):
        data = s.recv(1 << 18)
        if not data:
            raise OSError("the broker closed the connection")
        return data

    def _send_some(self, s):
        room = min(self.window - len(self._out), len(self._todo))
        if room < min(self.window // 4, len(self._todo)) and self._out:
            return
        batch = []
        for _ in range(room):
            n = self._todo.popleft()
            self._ids = self._ids % 65535 + 1
            self._out[self._ids] = n
            batch.append(m.frame(m.PUBLISH, 2, self._head + m.u16(self._ids) + self._tail + self._payload(n)))
        self.sent += room
        s.sendall(b"".join(batch))

    def _take_acks(self, data):
        at, refused = 0, []
        while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
            kind, length = data[at], data[at + 1]
            if kind != 0x40:
                raise OSError(f"the broker sent packet {kind:#x}")
            n = self._out.pop(data[at + 2] << 8 | data[at + 3])
            if length > 2 and data[at + 4] >= 0x80:
                refused.append(n)
            else:
                self.acked.add(self.first + n)
            at += 2 + length
        if refused:
            self.refused += len(refused)
            self._todo.extendleft(reversed(refused))
            time.sleep(0.1)
        return data[at:]

    def finish(self, timeout):
        self.join(timeout)
        if self.is_alive():
            self.give_up.set()
            raise AssertionError(f"{self.client_id}: only {len(self.acked)} of {self.count} acknowledged after "
                                 f"{timeout} s, {self.sent} sent, {self.connections} connections")
        if self.error:
            raise self.error


def make_table(path, *statements):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        for statement in statements:
            db.execute(statement)
    db.close()


def query(path, sql):
    db = sqlite3.connect(path, timeout=30)
    try:
        return db.execute(sql).fetchall()
    finally:
        db.close()


def ids(path, table="readings"):
    return {row[0] for row in query(path, f"SELECT DISTINCT id FROM {table}")}


def into_table(folder, table="readings", **action):
    """The settings of one rule that writes id and v of every message on load/# into a table."""
    return {
        "connectors": {"archive": {"type": "sqlite", "path": str(folder / "archive.db")}},
        "rules": {"store": {
            "sql": 'SELECT payload.id AS id, payload.v AS v FROM "load/#"',
            "actions": [{"connector": "archive", "table": table, "columns": {"id": "${id}", "v": "${v}"}, **action}],
        }},
    }
