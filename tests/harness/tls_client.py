"""Client over TLS, with Python's ssl: TlsClient(port, context_of(pki), name="localhost")."""
import socket
import ssl

from . import packet as m
from .client import TIMEOUT_S, Client, Closed


def context_of(pki, cert=None, version=None, alpn=None, ca="ca.pem"):
    """Trusts the pki's authority; `cert`: the name of our own; `version`: ssl.TLSVersion, that one alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki.path(ca))
    if cert:
        context.load_cert_chain(pki.path(f"{cert}.pem"), pki.path(f"{cert}.key"))
    if version:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


class _Socket:
    """What of an ssl.SSLSocket ends differently from a plain one."""

    def __init__(self, sock):
        self.tls = sock

    def recv(self, size):
        try:
            return self.tls.recv(size)
        except ssl.SSLZeroReturnError:
            return b""
        except ssl.SSLError as e:
            if isinstance(e, (ssl.SSLWantReadError, TimeoutError)):
                raise
            raise ConnectionError(str(e)) from e

    def __getattr__(self, name):
        return getattr(self.tls, name)


class TlsClient(Client):
    def __init__(self, port, context, version=m.V311, name="localhost", session=None):
        """Raises Closed when the broker breaks the handshake off; in TLS 1.3 it may do so after ours is done."""
        self.version, self.buffer, self.last_pid = version, b"", 0
        plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.sock = _Socket(context.wrap_socket(plain, server_hostname=name, session=session))
        except (ssl.SSLError, ConnectionError) as e:
            plain.close()
            if isinstance(e, ssl.SSLCertVerificationError):
                raise
            raise Closed(str(e)) from e

    @property
    def tls(self):
        return self.sock.tls
