"""A proxy that knows where Kafka's answers begin and end, and changes them.

    with KafkaProxy(kafka.behind_proxy_port, kafka.proxied_port) as proxy:
        proxy.spoil = lambda api, version, body: body[:-1]     # None: honest
        proxy.spoiled                                          # so many answers were changed
        proxy.late = 1.5                                       # seconds from a Metadata question to its answer

`body` is what stands behind the correlation id; the length is made right again.
"""
import contextlib
import struct
import time

from .proxy import Proxy

PRODUCE, FETCH, METADATA, FIND_COORDINATOR, JOIN_GROUP, SYNC_GROUP = 0, 1, 3, 10, 11, 14


class KafkaProxy(Proxy):
    def __init__(self, server_port, port=0):
        self.spoil, self.spoiled, self.late = None, 0, 0
        self.versions = {}  # of each API, as it was asked for
        self._asked = {}    # by connection: number of a question -> API, version, when
        super().__init__(server_port, port)

    @staticmethod
    def _frames(sock):
        with sock.makefile("rb") as f:
            while len(head := f.read(4)) == 4:
                (size,) = struct.unpack(">i", head)
                frame = f.read(size)
                if len(frame) < size:
                    return
                yield frame

    def _requests(self, client, server):
        asked = self._asked.setdefault(server, {})
        with contextlib.suppress(OSError):
            for frame in self._frames(client):
                api, version, number = struct.unpack_from(">hhi", frame)
                asked[number] = api, version, time.monotonic()
                self.versions[api] = version
                server.sendall(struct.pack(">i", len(frame)) + frame)
            self.left += 1
            server.shutdown(2)

    def _answers(self, client, server):
        asked = self._asked.setdefault(server, {})
        for frame in self._frames(server):
            number, body = frame[:4], frame[4:]
            api, version, when = asked.pop(struct.unpack(">i", number)[0])
            if api == METADATA and self.late:
                time.sleep(max(0, when + self.late - time.monotonic()))
            spoil = self.spoil
            changed = spoil(api, version, body) if spoil else body
            self.spoiled += changed != body
            client.sendall(struct.pack(">i", len(changed) + 4) + number + changed)


# ---- Metadata v1 to v8, taken apart and put together -------------------------------------------------------------

class Metadata:
    """The lists of an answer as bytes, one piece an entry; change them and take bytes()."""

    def __init__(self, version, body):
        self.version, self.body, self.at = version, body, 0
        self.start = self._skip(4 if version >= 3 else 0)
        self.brokers = self._list(lambda: self._skip(4) + self._text() + self._skip(4) + self._text())
        self.middle = (self._text() if version >= 2 else b"") + self._skip(4)
        self.topics = self._list(self._topic)
        self.end = body[self.at:]

    def _skip(self, n):
        self.at += n
        return self.body[self.at - n:self.at]

    def _text(self):
        (n,) = struct.unpack_from(">h", self.body, self.at)
        return self._skip(2 + max(n, 0))

    def _list(self, entry):
        (n,) = struct.unpack(">i", self._skip(4))
        return [entry() for _ in range(n)]

    def _numbers(self):
        (n,) = struct.unpack_from(">i", self.body, self.at)
        return self._skip(4 + 4 * n)

    def _topic(self):
        return Topic(self._skip(2), self._text(), self._skip(1), self._list(self._partition), self._skip(4 if self.version >= 8 else 0))

    def _partition(self):
        lists = 3 if self.version >= 5 else 2
        head = self._skip(14 if self.version >= 7 else 10)
        return head + b"".join(self._numbers() for _ in range(lists))

    def addresses(self):
        """All up to the end of the brokers."""
        return self.start + array(self.brokers)

    def bytes(self):
        topics = [t.bytes() for t in self.topics]
        return self.start + array(self.brokers) + self.middle + array(topics) + self.end


class Topic:
    def __init__(self, error, name, internal, partitions, rights):
        self.error, self.name, self.internal, self.partitions, self.rights = error, name, internal, partitions, rights
        self.count = None  # what is told instead of the true one

    def bytes(self):
        return self.error + self.name + self.internal + array(self.partitions, self.count) + self.rights


def array(entries, count=None):
    return struct.pack(">i", len(entries) if count is None else count) + b"".join(entries)


def spoil_metadata(change):
    """change(metadata) changes what it likes, or returns the bytes."""
    def spoil(api, version, body):
        if api != METADATA:
            return body
        metadata = Metadata(version, body)
        if not metadata.topics:
            return body
        return change(metadata) or metadata.bytes()
    return spoil


# ---- Fetch v4 to v11 -----------------------------------------------------------------------------------------------

class Fetch:
    """Its partitions; change them and take bytes()."""

    def __init__(self, version, body):
        assert 4 <= version <= 11, version
        self.version, self.body, self.at = version, body, 0
        self.start = self._skip(10 if version >= 7 else 4)
        self.topics = self._list(lambda: (self._skip(2 + self._peek("h")), self._list(self._partition)))
        self.partitions = [p for _, partitions in self.topics for p in partitions]

    def leave_out(self, number):
        for _, partitions in self.topics:
            partitions[:] = [p for p in partitions if p.number != number]

    def _peek(self, form, ahead=0):
        return struct.unpack_from(">" + form, self.body, self.at + ahead)[0]

    def _skip(self, n):
        self.at += n
        return self.body[self.at - n:self.at]

    def _list(self, entry):
        count = self._peek("i")
        self.at += 4
        return [entry() for _ in range(count)]

    def _partition(self):
        number, error = struct.unpack(">ih", self._skip(6))
        marks = 24 if self.version >= 5 else 16
        aborted = max(self._peek("i", marks), 0)
        marks = self._skip(marks + 4 + 16 * aborted + (4 if self.version >= 11 else 0))
        return Fetched(number, error, marks, self._skip(4 + max(self._peek("i"), 0))[4:])

    def bytes(self):
        return self.start + array([name + array([p.bytes() for p in partitions]) for name, partitions in self.topics])


class Fetched:
    def __init__(self, number, error, marks, records):
        self.number, self.error, self.marks, self.records = number, error, marks, records

    def batches(self):
        """Each whole batch of its records."""
        at = 0
        while at + 12 <= len(self.records):
            size = 12 + struct.unpack_from(">i", self.records, at + 8)[0]
            yield self.records[at:at + size]
            at += size

    def bytes(self):
        return struct.pack(">ih", self.number, self.error) + self.marks + struct.pack(">i", len(self.records)) + self.records


def spoil_fetch(change):
    """change(fetch) changes what it likes of an answer."""
    def spoil(api, version, body):
        if api != FETCH:
            return body
        fetch = Fetch(version, body)
        assert fetch.bytes() == body
        change(fetch)
        return fetch.bytes()
    return spoil
