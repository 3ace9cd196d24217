"""WebSocket as a socket: what is sent leaves in frames made by hand, what comes in frames is read as bytes."""
import base64
import hashlib
import os
import socket
import struct

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def request(path="/mqtt", protocol="mqtt", key="dGhlIHNhbXBsZSBub25jZQ==", drop=(), **more):
    """The bytes of a proper request, without the headers in `drop`, with or instead of them those in `more` (Sec_WebSocket_Key=...)."""
    headers = {"Host": "localhost", "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key,
               "Sec-WebSocket-Version": "13", "Sec-WebSocket-Protocol": protocol}
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    lines = [f"GET {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items() if name not in drop]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def accept_of(key):
    return base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def frame(opcode, payload=b"", fin=True, masked=True, rsv=0, length_form=None):
    """One frame of a client, with a new mask; length_form 126 or 127 takes a longer form than need be."""
    n = len(payload)
    form = length_form or (n if n < 126 else 126 if n < 65536 else 127)
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | form])
    head += b"" if form < 126 else struct.pack(">H", n) if form == 126 else struct.pack(">Q", n)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    padded = (mask * (n // 4 + 1))[:n]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(padded, "big")).to_bytes(n, "big")


class WsSocket:
    """Has the methods of a socket that the client uses. Frames of at most `piece` bytes, as messages of their own or as fragments of
    one message; pings between them when asked."""

    def __init__(self, sock, path="/mqtt", protocol="mqtt", piece=1 << 20, fragments=False, pings=False):
        self.sock, self.piece, self.fragments, self.pings = sock, piece, fragments, pings
        self.raw, self.data = b"", b""
        self.close_code = None
        self.frames = 0  # data frames that came
        sock.sendall(request(path, protocol))
        head = self.read_head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert f"Sec-WebSocket-Protocol: {protocol}\r\n".encode() in head, head
        assert accept_of("dGhlIHNhbXBsZSBub25jZQ==").encode() in head, head

    def read_head(self):
        while b"\r\n\r\n" not in self.raw:
            more = self.sock.recv(4096)
            assert more, f"the connection ended after {self.raw!r}"
            self.raw += more
        head, _, self.raw = self.raw.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def sendall(self, data):
        pieces = [data[i:i + self.piece] for i in range(0, len(data), self.piece)]
        out = b""
        for i, piece in enumerate(pieces):
            first, last = i == 0, i == len(pieces) - 1
            if self.fragments:
                out += frame(BINARY if first else CONTINUATION, piece, fin=last)
            else:
                out += frame(BINARY, piece)
            if self.pings:
                out += frame(PING, b"are you there")
        self.sock.sendall(out)

    def _take_frame(self):
        """(opcode, payload), or None when it is not whole."""
        if len(self.raw) < 2:
            return None
        form, at = self.raw[1], 2
        assert form < 128, "a server's frame is not masked"
        assert self.raw[0] & 0x70 == 0, "no reserved bits"
        size = 0 if form < 126 else 2 if form == 126 else 8
        if len(self.raw) < at + size:
            return None
        n = form if size == 0 else int.from_bytes(self.raw[at:at + size], "big")
        at += size
        if len(self.raw) < at + n:
            return None
        opcode, payload, self.raw = self.raw[0] & 15, self.raw[at:at + n], self.raw[at + n:]
        return opcode, payload

    def recv(self, size):
        """Bytes of data frames; b"" at the end, which is a close frame and then that of the connection."""
        while not self.data:
            got = self._take_frame()
            if got is None:
                more = self.sock.recv(1 << 16)
                if not more:
                    return b""
                self.raw += more
            elif got[0] == BINARY:
                self.frames += 1
                self.data = got[1]
            elif got[0] == CLOSE:
                self.close_code = int.from_bytes(got[1][:2], "big")
            else:
                assert got[0] == PONG and got[1] == b"are you there", got
        out, self.data = self.data[:size], self.data[size:]
        return out

    def __getattr__(self, name):
        return getattr(self.sock, name)
