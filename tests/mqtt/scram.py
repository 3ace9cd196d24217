"""The client's side of SCRAM (RFC 5802), for tests: every message can be bent."""
import base64
import hashlib
import hmac
import os


class Scram:
    def __init__(self, method, user, password, header="n,,"):
        self.method, self.user, self.password, self.header = method, user, password, header
        self.hash = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[method]
        self.nonce = base64.b64encode(os.urandom(18)).decode()

    def first(self):
        name = self.user.replace("=", "=3D").replace(",", "=2C")
        self.bare = f"n={name},r={self.nonce}"
        return (self.header + self.bare).encode()

    def challenge(self, data):
        """What the server said: its nonce, salt and iterations."""
        fields = dict(part.split("=", 1) for part in data.decode().split(","))
        assert fields["r"].startswith(self.nonce) and len(fields["r"]) > len(self.nonce), fields
        return fields["r"], base64.b64decode(fields["s"]), int(fields["i"])

    def final(self, data):
        nonce, salt, iterations = self.challenge(data)
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), salt, iterations)
        client = self._mac(salted, b"Client Key")
        bound = base64.b64encode(self.header.encode()).decode()
        open_part = f"c={bound},r={nonce}"
        signed = f"{self.bare},{data.decode()},{open_part}".encode()
        signature = self._mac(hashlib.new(self.hash, client).digest(), signed)
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(client, signature))).decode()
        self.verdict = b"v=" + base64.b64encode(self._mac(self._mac(salted, b"Server Key"), signed))
        return f"{open_part},p={proof}".encode()

    def _mac(self, key, text):
        return hmac.new(key, text, self.hash).digest()
