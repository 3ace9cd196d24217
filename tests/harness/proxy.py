"""A TCP proxy that misbehaves on demand, between a connector and a real server.

    with Proxy(pg.port) as proxy:          # proxy.port is where the connector goes
        proxy.fault("close", after=17)     # new connections: 17 bytes of answers, then the end
        proxy.fault("forward")             # honest again
        proxy.end_connections()            # those that are open are reset

Faults: "forward"; "close" and "reset" (FIN, RST); "garbage" (bytes of our own instead of the answer); "silence"
(requests are taken and lost, nothing is answered, the connection stays). `after` counts the bytes of answers of each
connection that pass before; with 0 the server is not asked at all. `delay_s` holds every piece of an answer back.
`proxy.rewrite`, a function of bytes, changes what the client asks.
A fault given while connections are open begins for them too, except that `after` counts from their beginning.
"""
import contextlib
import os
import socket
import struct
import threading
import time

KINDS = ("forward", "close", "reset", "garbage", "silence")


class Proxy:
    host = "127.0.0.1"  # where it listens; the server is on 127.0.0.1

    def __init__(self, server_port, port=0):
        self.server_port = server_port
        self.kind, self.after, self.delay_s, self.data = "forward", 0, 0.0, b""
        self.rewrite = None
        self.connections = self.requested = self.answered = 0
        self.broken = self.left = 0  # faults that met a connection; connections that the client ended by itself
        self._open, self._lock = set(), threading.Lock()
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, port), family=family, backlog=128)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def fault(self, kind, after=0, delay_s=0.0, data=None):
        assert kind in KINDS, kind
        self.after, self.delay_s, self.data = after, delay_s, os.urandom(4096) if data is None else data
        self.kind = kind

    def end_connections(self):
        """Resets what is open."""
        with self._lock:
            for s in self._open:  # first all: the end of one side ends the other
                _abort(s)
            for s in self._open:
                _reset(s)

    def open_connections(self):
        with self._lock:
            return sum(s.fileno() >= 0 for s in self._open)

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.end_connections()
        self._thread.join()

    # ---- One thread takes connections; each has a thread for either direction. ----

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _forget(self, *sockets):
        with self._lock:
            self._open.difference_update(sockets)
        for s in sockets:
            s.close()

    def _serve(self, client):
        with contextlib.suppress(OSError):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = None
        try:
            if self.kind != "forward" and self.after == 0:
                self._alone(client)
                return
            server = socket.create_connection(("127.0.0.1", self.server_port), timeout=60)
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(server)
            up = threading.Thread(target=self._requests, args=(client, server), daemon=True)
            up.start()
            self._answers(client, server)
            _end(client)
            _end(server)
            up.join()
        except OSError:
            pass
        finally:
            self._forget(client, *([server] if server else []))

    def _alone(self, client):
        """No server behind it: the first bytes of the client set the fault off, and it goes on until the client leaves."""
        while self._from_client(client):
            self.broken += 1
            if self.kind == "close":
                return
            if self.kind == "reset":
                _reset(client)
                return
            if self.kind == "garbage":
                client.sendall(self.data)

    def _from_client(self, client):
        """What it sends next; nothing when it is gone."""
        try:
            data = client.recv(1 << 18)
        except OSError:
            data = b""
        self.left += not data and not _aborted(client)
        return data

    def _requests(self, client, server):
        with contextlib.suppress(OSError):
            while data := self._from_client(client):
                self.requested += len(data)
                if self.kind != "silence" or self.after:
                    server.sendall(self.rewrite(data) if self.rewrite else data)
            server.shutdown(socket.SHUT_WR)

    def _answers(self, client, server):
        passed = 0
        while data := server.recv(1 << 18):
            if self.delay_s:
                time.sleep(self.delay_s)
            if self.kind != "forward":
                room = max(self.after - passed, 0)
                if len(data) > room or (len(data) == room and self.kind in ("close", "reset")):
                    client.sendall(data[:room])
                    self.answered += room
                    passed += room
                    if self._break(client):
                        return
                    continue
            client.sendall(data)
            self.answered += len(data)
            passed += len(data)

    def _break(self, client):
        """True when the connection is over."""
        self.broken += 1
        if self.kind == "garbage":
            client.sendall(self.data)
        elif self.kind == "reset":
            _reset(client)
        return self.kind in ("close", "reset")


ABORT = struct.pack("ii", 1, 0)


def _end(s):
    """FIN, unless the connection is to be reset: closing it does that."""
    with contextlib.suppress(OSError):
        s.shutdown(socket.SHUT_RD if _aborted(s) else socket.SHUT_RDWR)


def _aborted(s):
    return s.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == ABORT


def _abort(s):
    """It will end with RST instead of FIN: what the other side has not read is lost to it."""
    with contextlib.suppress(OSError):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)


def _reset(s):
    """Wakes the threads, one of which closes it."""
    _abort(s)
    with contextlib.suppress(OSError):
        s.shutdown(socket.SHUT_RD)
