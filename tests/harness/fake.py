"""A server that plays a script: for what no real server shows when it is wanted.

    def script(conn):                       # runs once per connection, on a thread of its own
        head = conn.read(4)                 # exactly 4 bytes; ConnectionError when the client left
        conn.send(b"+OK\\r\\n")
        conn.hang()                         # keeps the connection and says nothing more, until the end of the test

    with Fake(script) as fake:              # fake.port; fake.errors holds what went wrong in scripts
    with Fake(script, tls=context) as fake: # an ssl.SSLContext: conn.sock.getpeercert() tells who it is

Returning from the script closes the connection. Faults between a client and a real server: harness/proxy.py.
"""
import contextlib
import socket
import threading


class Conn:
    def __init__(self, fake, sock, number):
        self.fake, self.sock, self.number = fake, sock, number  # number: 0 for the first connection
        self.file = sock.makefile("rb")

    def read(self, n):
        data = self.file.read(n)
        if len(data) < n:
            raise ConnectionError("the client left")
        return data

    def line(self):
        data = self.file.readline()
        if not data.endswith(b"\n"):
            raise ConnectionError("the client left")
        return data

    def send(self, data):
        self.sock.sendall(data)

    def hang(self):
        self.fake.over.wait()


class Fake:
    def __init__(self, script, port=0, tls=None):
        self.tls = tls
        self.script, self.errors, self.over = script, [], threading.Event()
        self.connections = 0
        self._open = set()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for sock in list(self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.add(sock)
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._play, args=(sock, number), daemon=True).start()

    def _play(self, sock, number):
        conn = None
        try:
            if self.tls:
                plain, sock = sock, self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                self._open.discard(plain)
                self._open.add(sock)
                sock.do_handshake()
            conn = Conn(self, sock, number)
            self.script(conn)
        except OSError:
            pass  # the client left, or the test is over
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
        finally:
            self._open.discard(sock)
            if conn:
                conn.file.close()
            sock.close()
