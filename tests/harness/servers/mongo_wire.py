"""As much of MongoDB's protocol (OP_MSG, BSON, SCRAM-SHA-256) as the tests need to look into a server.

What BSON becomes in Python, and back: double float, string str, document dict, array list, binary (subtype 0) bytes,
int32 and int64 int (Int64 marks what is to be sent as int64), bool, null None, and these, which keep their type:
ObjectId(12 bytes), Date(milliseconds), Decimal128(16 bytes), Binary(subtype, data), Timestamp, Regex. To see whether
a number arrived as int32 or int64 or double, ask for the types: decode(data, typed=True) gives (type, value) pairs.
"""
import base64
import collections
import hashlib
import hmac
import os
import socket
import struct

from ..broker import PATIENCE_S

ObjectId = collections.namedtuple("ObjectId", "data")
Date = collections.namedtuple("Date", "ms")
Decimal128 = collections.namedtuple("Decimal128", "data")
Binary = collections.namedtuple("Binary", "subtype data")
Timestamp = collections.namedtuple("Timestamp", "value")
Regex = collections.namedtuple("Regex", "pattern options")


class Int64(int):
    """Sent as int64 however small."""


class MongoError(Exception):
    """The server's answer has ok: 0, or writeErrors."""


# ---- BSON ------------------------------------------------------------------------------------------------------

TYPES = {1: "double", 2: "string", 3: "document", 4: "array", 5: "binary", 7: "objectid", 8: "bool", 9: "date", 10: "null",
         11: "regex", 16: "int32", 17: "timestamp", 18: "int64", 19: "decimal128"}


def _cstring(text):
    return (text if isinstance(text, bytes) else text.encode()) + b"\0"


def _element(name, v):
    name = _cstring(name)
    if v is None:
        return b"\x0a" + name
    if isinstance(v, bool):
        return b"\x08" + name + bytes([v])
    if isinstance(v, ObjectId):
        return b"\x07" + name + v.data
    if isinstance(v, Date):
        return b"\x09" + name + struct.pack("<q", v.ms)
    if isinstance(v, Decimal128):
        return b"\x13" + name + v.data
    if isinstance(v, int):
        small = -2**31 <= v < 2**31 and not isinstance(v, Int64)
        return (b"\x10" if small else b"\x12") + name + struct.pack("<i" if small else "<q", v)
    if isinstance(v, float):
        return b"\x01" + name + struct.pack("<d", v)
    if isinstance(v, str):
        data = v.encode()
        return b"\x02" + name + struct.pack("<i", len(data) + 1) + data + b"\0"
    if isinstance(v, (bytes, Binary)):
        subtype, data = v if isinstance(v, Binary) else (0, v)
        return b"\x05" + name + struct.pack("<iB", len(data), subtype) + data
    if isinstance(v, dict):
        return b"\x03" + name + encode(v)
    if isinstance(v, list):
        return b"\x04" + name + encode({str(i): x for i, x in enumerate(v)})
    raise TypeError(f"no BSON for {v!r}")


def encode(document):
    body = b"".join(_element(k, v) for k, v in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


class _Reader:
    def __init__(self, data, at, typed):
        self.data, self.at, self.typed = data, at, typed

    def take(self, form):
        (value,) = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return value

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def cstring(self):
        end = self.data.index(b"\0", self.at)
        text, self.at = self.data[self.at:end], end + 1
        return text.decode(errors="surrogateescape")

    def value(self, kind):
        simple = {1: "d", 8: "?", 16: "i", 18: "q"}
        if kind in simple:
            return self.take(simple[kind])
        if kind == 2:
            return self.bytes(self.take("i"))[:-1].decode(errors="surrogateescape")
        if kind == 3:
            return self.document()
        if kind == 4:
            return list(self.document().values())
        if kind == 5:
            length, subtype = self.take("i"), self.take("B")
            return self.bytes(length) if subtype == 0 else Binary(subtype, self.bytes(length))
        if kind == 10:
            return None
        if kind == 11:
            return Regex(self.cstring(), self.cstring())
        return {7: lambda: ObjectId(self.bytes(12)), 9: lambda: Date(self.take("q")),
                17: lambda: Timestamp(self.take("Q")), 19: lambda: Decimal128(self.bytes(16))}[kind]()

    def document(self):
        end, found = self.at + self.take("i"), {}
        while (kind := self.take("B")):
            name = self.cstring()
            value = self.value(kind)
            found[name] = (TYPES[kind], value) if self.typed else value
        assert self.at == end, "a document of another length than it says"
        return found


def decode(data, at=0, typed=False):
    """The document at `at`; typed: every value is a pair ("int32", 5), in documents and arrays inside too."""
    return _Reader(data, at, typed).document()


# ---- A connection ----------------------------------------------------------------------------------------------

class Mongo:
    """with Mongo(port, user, password) as c: c.command("db", {"ping": 1}); c.find("db", "things", {"a": 1})"""

    def __init__(self, port, user=None, password=None, timeout=PATIENCE_S):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.file = self.sock.makefile("rb")
        self.number = 0
        if user:
            self._login(user, password)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def command(self, database, command, typed=False):
        """The answer as a dict; ok: 0 and write errors raise MongoError."""
        self.number += 1
        body = b"\0\0\0\0" + b"\0" + encode({**command, "$db": database})
        self.sock.sendall(struct.pack("<iiii", len(body) + 16, self.number, 0, 2013) + body)
        head = self.file.read(16)
        if len(head) < 16:
            raise ConnectionError("the server closed the connection")
        data = self.file.read(struct.unpack("<i", head[:4])[0] - 16)
        answer = decode(data, 5)
        if answer.get("ok") != 1 or answer.get("writeErrors"):
            raise MongoError(answer.get("errmsg") or answer.get("writeErrors") or answer)
        return decode(data, 5, typed=True) if typed else answer

    def insert(self, database, collection, *documents):
        return self.command(database, {"insert": collection, "documents": list(documents)})

    def find(self, database, collection, where=None, typed=False, **options):
        """All documents; options are find's: sort={"_id": 1}, projection={...}. typed: see decode."""
        def batch(answer, name):
            cursor = answer["cursor"][1] if typed else answer["cursor"]
            pick = (lambda pair: pair[1]) if typed else (lambda value: value)
            return pick(cursor["id"]), [pick(d) for d in pick(cursor[name])]
        cursor, found = batch(self.command(database, {"find": collection, "filter": where or {}, "batchSize": 10000, **options},
                                           typed), "firstBatch")
        while cursor:
            cursor, more = batch(self.command(database, {"getMore": Int64(cursor), "collection": collection,
                                                         "batchSize": 10000}, typed), "nextBatch")
            found += more
        return found

    def count(self, database, collection, where=None):
        return self.command(database, {"count": collection, "query": where or {}})["n"]

    def drop(self, database, collection):
        try:
            self.command(database, {"drop": collection})
        except MongoError as e:
            if "not found" not in str(e):
                raise

    def _login(self, user, password):
        nonce = base64.b64encode(os.urandom(18)).decode()
        first = f"n={user},r={nonce}"
        told = self.command("admin", {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": b"n,," + first.encode(),
                                      "options": {"skipEmptyExchange": True}})
        answer = told["payload"].decode()
        parts = dict(p.split("=", 1) for p in answer.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={parts['r']}"
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{answer},{last}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        told = self.command("admin", {"saslContinue": 1, "conversationId": told["conversationId"],
                                      "payload": f"{last},p={proof}".encode()})
        if not told["done"]:
            self.command("admin", {"saslContinue": 1, "conversationId": told["conversationId"], "payload": b""})
