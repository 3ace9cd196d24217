"""A server of MongoDB's protocol that plays a script: hello as the member of a replica set, errors of every kind, answers that do
not come.

    def play(command, conn):               # a dict, its documents inside; runs for every command but hello, ping and their like
        if "insert" in command:
            return {"ok": 1, "n": len(command["documents"])}    # None: the connection is closed without an answer

    with MongoScript(play) as server:      # server.port, server.url(); server.commands has what came
    with MongoScript(play, mongos=True)    # the router of a sharded cluster instead
    with MongoScript(play, zlib=True)      # compresses what it answers to what came so; server.compressed counts
        server.primary = False             # from now on hello says so
"""
import struct
import zlib

from ..fake import Fake
from .mongo_wire import decode, encode

OP_REPLY, OP_QUERY, OP_COMPRESSED, OP_MSG = 1, 2004, 2012, 2013
ZLIB = 2
QUIET = ("hello", "isMaster", "ismaster", "ping", "endSessions", "buildInfo", "buildinfo")


class MongoScript:
    def __init__(self, play, replica_set="rs0", mongos=False, tls=None, zlib=False):  # pylint: disable=redefined-outer-name
        self.zlib, self.compressed = zlib, 0
        self.play, self.replica_set, self.mongos, self.tls = play, replica_set, mongos, tls
        self.primary, self.commands = True, []
        self.others = []  # members that hello speaks of beside this one, "host:port"
        self.fake = Fake(self._serve, tls=tls)
        self.port = self.fake.port

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.fake.close()

    def url(self, **options):
        options = {**({"replicaSet": self.replica_set} if self.replica_set and not self.mongos else {}), **options}
        tail = "&".join(f"{k}={v}" for k, v in options.items())
        return f"mongodb://127.0.0.1:{self.port}/" + (f"?{tail}" if tail else "")

    def _hello(self):
        hello = {"ok": 1, "isWritablePrimary": self.primary, "ismaster": self.primary, "maxBsonObjectSize": 16777216,
                 "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000, "minWireVersion": 0, "maxWireVersion": 17,
                 "readOnly": False, **({"compression": ["zlib"]} if self.zlib else {})}
        if self.mongos:
            hello.update({"msg": "isdbgrid", "logicalSessionTimeoutMinutes": 30})
        elif self.replica_set:
            me = f"127.0.0.1:{self.port}"
            hello.update({"setName": self.replica_set, "setVersion": 1, "hosts": [me, *self.others], "me": me, "secondary": not self.primary,
                          "logicalSessionTimeoutMinutes": 30, **({"primary": me} if self.primary else {})})
        return hello

    def _answer(self, command, conn):
        name = next(iter(command))
        if name in ("hello", "isMaster", "ismaster"):
            return self._hello()
        if name in ("buildInfo", "buildinfo"):
            return {"ok": 1, "version": "0.0.0-script"}
        if name in QUIET:
            return {"ok": 1}
        self.commands.append(command)
        return self.play(command, conn)

    def _serve(self, conn):
        while True:
            try:
                head = conn.read(16)
            except ConnectionError:
                return
            length, request, _, opcode = struct.unpack("<iiii", head)
            body = conn.read(length - 16)
            if opcode == OP_QUERY:  # the first hello of a connection
                at = body.index(b"\0", 4) + 9
                reply = encode(self._answer(decode(body, at), conn))
                conn.send(struct.pack("<iiii", 16 + 20 + len(reply), 1, request, OP_REPLY) + struct.pack("<iqii", 8, 0, 0, 1) + reply)
                continue
            if opcode == OP_COMPRESSED:
                assert body[8] == ZLIB, body[8]
                body = zlib.decompress(body[9:])
                self.compressed += 1
            answer = self._answer(self._message(body), conn)
            if answer is None:
                return
            reply = b"\0\0\0\0\0" + encode(answer)
            if opcode == OP_COMPRESSED or self.zlib == "unasked":
                reply, opcode = struct.pack("<iiB", OP_MSG, len(reply), ZLIB) + zlib.compress(reply), OP_COMPRESSED
            conn.send(struct.pack("<iiii", 16 + len(reply), 1, request, opcode) + reply)

    @staticmethod
    def _message(body):
        """Kind 0 is the command, kind 1 a list of documents that belongs into it."""
        command, at = {}, 4
        lists = {}
        while at < len(body):
            kind, at = body[at], at + 1
            (size,) = struct.unpack_from("<i", body, at)
            if kind == 0:
                command = decode(body, at)
            else:
                end = body.index(b"\0", at + 4)
                name, start = body[at + 4:end].decode(), end + 1
                lists[name] = []
                while start < at + size:
                    lists[name].append(decode(body, start))
                    start += struct.unpack_from("<i", body, start)[0]
            at += size
        return {**command, **lists}
