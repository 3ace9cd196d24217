"""JSON Web Tokens and their keys, made with Python's hmac and the openssl command: for tests of who may connect."""
import base64
import hashlib
import hmac
import json
import subprocess
import tempfile
from pathlib import Path

HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def b64(data):
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _openssl(*args, **options):
    return subprocess.run(["openssl", *args], capture_output=True, check=True, **options).stdout


def _signed_text(header, claims):
    return f"{b64(json.dumps(header))}.{b64(json.dumps(claims))}"


def hs_token(secret, claims, alg="HS256", **header):
    text = _signed_text({"alg": alg, **header}, claims)
    return f"{text}.{b64(hmac.new(secret.encode(), text.encode(), HASHES[alg[2:]]).digest())}"


class Key:
    """A private key in a folder of its own: "rsa", or a curve as openssl calls it ("P-256")."""

    def __init__(self, kind, folder=None):
        self.kind = kind
        self.path = Path(folder or tempfile.mkdtemp(prefix="sluice-test-")) / f"{kind}.key"
        what = (["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"] if kind == "rsa" else
                ["-algorithm", "ED25519"] if kind == "Ed25519" else
                ["-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{kind}"])
        _openssl("genpkey", *what, "-out", str(self.path))

    def public_pem(self):
        return _openssl("pkey", "-in", str(self.path), "-pubout").decode()

    def _public_der(self):
        return _openssl("pkey", "-in", str(self.path), "-pubout", "-outform", "DER")

    def jwk(self, **more):
        if self.kind == "rsa":
            modulus = _openssl("rsa", "-in", str(self.path), "-modulus", "-noout").decode().strip().split("=")[1]
            return {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB", **more}
        if self.kind == "Ed25519":
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(self._public_der()[-32:]), **more}
        half = {"P-256": 32, "P-384": 48, "P-521": 66}[self.kind]
        point = self._public_der()[-2 * half:]
        return {"kty": "EC", "crv": self.kind, "x": b64(point[:half]), "y": b64(point[half:]), **more}

    def token(self, claims, alg, **header):
        text = _signed_text({"alg": alg, **header}, claims)
        if self.kind == "Ed25519":
            with tempfile.NamedTemporaryFile() as f:
                f.write(text.encode())
                f.flush()
                raw = _openssl("pkeyutl", "-sign", "-inkey", str(self.path), "-rawin", "-in", f.name)
        else:
            pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:-1"] if alg[0] == "P" else []
            raw = _openssl("dgst", f"-sha{alg[2:]}", "-sign", str(self.path), *pss, input=text.encode())
        if self.kind.startswith("P-"):
            raw = _raw_of(raw, {"P-256": 32, "P-384": 48, "P-521": 66}[self.kind])
        return f"{text}.{b64(raw)}"


def _raw_of(der, half):
    """r and s, one behind the other, of a DER signature."""
    at, out = (3 if der[1] & 0x80 else 2), b""
    for _ in range(2):
        n = der[at + 1]
        out += int.from_bytes(der[at + 2:at + 2 + n], "big").to_bytes(half, "big")
        at += 2 + n
    return out
