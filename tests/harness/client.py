"""A socket that speaks raw MQTT: every test says exactly what it sends and what must come back."""
import json
import os
import socket
import time

from . import packet as m
from .ws import WsSocket

TIMEOUT_S = 60.0  # what must come is waited for at least so long: how fast the machine is, no test asks


class Closed(Exception):
    """The broker closed the connection."""


# With TEST_TRANSPORT=ws (by hand) every test of a broker of its own goes through that; transport_test.py has the basic ones always.
TRANSPORT = os.environ.get("TEST_TRANSPORT", "tcp")


def dial(address, transport=TRANSPORT, context=None, **ws_options):
    """A connected socket, or what looks like one. address: a port of this machine, or the path of a unix socket."""
    if transport == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT_S)
        sock.connect(str(address))
        return sock
    sock = socket.create_connection(("127.0.0.1", address), timeout=TIMEOUT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if transport in ("tls", "wss"):
        sock = context.wrap_socket(sock, server_hostname="localhost")
    return WsSocket(sock, **ws_options) if transport in ("ws", "wss") else sock


class Client:
    def __init__(self, port, version=m.V311, sock=None):
        self.version = version
        self.sock = sock or dial(port)
        self.buffer = b""
        self.last_pid = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        """Drops the connection without DISCONNECT: a will would be sent."""
        self.sock.close()

    def send(self, *packets):
        self.sock.sendall(b"".join(packets))

    def next_pid(self):
        self.last_pid += 1
        return self.last_pid

    # ---- Reading ----

    def _fill(self, n, deadline):
        while len(self.buffer) < n:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("nothing came from the broker in time")
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 16)
            except ConnectionError as e:
                raise Closed(str(e)) from e
            if not data:
                raise Closed("end of stream")
            self.buffer += data

    def recv(self, timeout=TIMEOUT_S):
        """The next packet; raises Closed or TimeoutError."""
        deadline = time.monotonic() + timeout
        length, shift, at = 0, 0, 1
        while True:
            self._fill(at + 1, deadline)
            digit = self.buffer[at]
            length |= (digit & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not digit & 0x80:
                break
        self._fill(at + length, deadline)
        head, body, self.buffer = self.buffer[0], self.buffer[at:at + length], self.buffer[at + length:]
        return m.parse(head, body, self.version)

    def expect(self, kind, timeout=TIMEOUT_S, **fields):
        p = self.recv(max(timeout, TIMEOUT_S))
        assert p.kind == kind, f"expected packet type {kind}, got {p}"
        for name, value in fields.items():
            assert getattr(p, name) == value, f"expected {name}={value!r}, got {p}"
        return p

    def expect_bytes(self, expected, timeout=TIMEOUT_S):
        """The next bytes are exactly these."""
        deadline = time.monotonic() + timeout
        try:
            self._fill(len(expected), deadline)
        except (TimeoutError, Closed) as e:
            raise AssertionError(f"expected {expected.hex()}, got {self.buffer.hex()} and then {e}") from e
        got, self.buffer = self.buffer[:len(expected)], self.buffer[len(expected):]
        assert got == expected, f"expected {expected.hex()}, got {got.hex()}"

    def expect_silence(self, seconds=0.15):
        """Nothing comes: a PINGREQ is answered first, so what was on its way has had its chance."""
        self.send(m.PING)
        p = self.recv()
        assert p.kind == m.PINGRESP, f"expected nothing, got {p}"
        try:
            p = self.recv(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"expected nothing, got {p}")

    def expect_closed(self, timeout=TIMEOUT_S):
        try:
            p = self.recv(max(timeout, TIMEOUT_S))
        except Closed:
            return
        raise AssertionError(f"expected the connection to be closed, got {p}")

    def expect_refusal(self, *codes, timeout=TIMEOUT_S):
        """The broker ends the connection; in MQTT 5 it says why in a DISCONNECT with one of these codes."""
        if self.version == m.V5:
            p = self.expect(m.DISCONNECT, timeout)
            assert p.code in codes, f"expected reason code in {[hex(c) for c in codes]}, got {p.code:#x} {p}"
        self.expect_closed(timeout)

    # ---- Common exchanges ----

    def connect(self, client_id="", code=0, session_present=None, **options):
        self.send(m.connect(client_id, version=self.version, **options))
        p = self.expect(m.CONNACK, code=code)
        if session_present is not None:
            assert p.session_present == session_present, f"session present is {p.session_present}"
        return p

    def subscribe(self, *filters, qos=0, options=0, properties=None):
        """Subscribes and checks that each filter was granted its QoS."""
        pid = self.next_pid()
        self.send(m.subscribe(pid, *[(f, options | qos) for f in filters], version=self.version,
                              properties=properties))
        return self.expect(m.SUBACK, pid=pid, codes=[qos] * len(filters))

    def publish(self, topic, payload=b"", qos=0, **options):
        """Publishes and, for QoS 1 and 2, completes the exchange."""
        pid = self.next_pid() if qos else None
        self.send(m.publish(topic, payload, qos, pid, version=self.version, **options))
        if qos == 1:
            return self.expect(m.PUBACK, pid=pid)
        if qos == 2:
            received = self.expect(m.PUBREC, pid=pid)
            assert received.code in (0, 0x10), f"refused: {received}"  # 0x10: nobody is subscribed
            self.send(m.ack(m.PUBREL, pid, self.version))
            return self.expect(m.PUBCOMP, pid=pid, code=0)
        return None

    def publish_all(self, topic, payloads, window=20):
        """With QoS 1, `window` of them under way at once. What is not bytes goes as JSON."""
        waiting = 0
        for payload in payloads:
            self.send(m.publish(topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode(), 1, self.next_pid() % 60000 + 1,
                                version=self.version))
            waiting += 1
            if waiting == window:
                self.expect(m.PUBACK)
                waiting -= 1
        for _ in range(waiting):
            self.expect(m.PUBACK)

    def receive(self, topic, payload, qos=0, timeout=TIMEOUT_S, **fields):
        """Takes a PUBLISH and answers it as its QoS asks."""
        payload = payload.encode() if isinstance(payload, str) else payload
        p = self.expect(m.PUBLISH, timeout, topic=topic, payload=payload, qos=qos, **fields)
        if qos == 1:
            self.send(m.ack(m.PUBACK, p.pid, self.version))
        elif qos == 2:
            self.send(m.ack(m.PUBREC, p.pid, self.version))
            self.expect(m.PUBREL, pid=p.pid, code=0, flags=2)
            self.send(m.ack(m.PUBCOMP, p.pid, self.version))
        return p

    def disconnect(self, **options):
        """A proper goodbye; the broker has seen it when this returns."""
        self.send(m.disconnect(self.version, **options))
        try:
            while self.sock.recv(1 << 12):
                pass
        except (TimeoutError, ConnectionError):
            pass
        self.close()
