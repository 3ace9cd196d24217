"""Certificates for a test, made with the openssl program in a folder: an authority "ca" and what it has signed.

    pki = Pki(folder)
    pki.make("server", names="DNS:localhost,IP:127.0.0.1")       pki.path("server.pem"), pki.path("server.key")
    pki.revoke("device"); pki.crl("ca")                          pki.path("ca.crl")
"""
import datetime
import subprocess
from pathlib import Path

LOCAL = "DNS:localhost,IP:127.0.0.1,IP:::1"


class Pki:
    def __init__(self, folder, server=True):
        self.folder = Path(folder)
        self.authority("ca")
        if server:
            self.make("server")

    def path(self, file):
        return str(self.folder / file)

    def openssl(self, *args):
        done = subprocess.run(["openssl", *args], capture_output=True, text=True, cwd=self.folder, check=False)
        assert done.returncode == 0, f"openssl {' '.join(args)}: {done.stderr}"
        return done.stdout

    def _key(self, name, password=None):
        self.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}.key",
                     *(["-aes128", "-pass", f"pass:{password}"] if password else []))

    def authority(self, name, subject=None, issuer=None):
        """One that signs itself, or that another one has signed."""
        self._key(name)
        if issuer:
            self._sign(name, issuer, subject, (-1, 60), "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n")
            return
        self.openssl("req", "-x509", "-new", "-key", f"{name}.key", "-out", f"{name}.pem", "-days", "30", "-subj",
                     subject or f"/O=Test/CN={name}", "-addext", "keyUsage=keyCertSign,cRLSign")

    def make(self, name, names=LOCAL, issuer="ca", subject=None, days=(-1, 60), password=None):
        """NAME.pem and NAME.key. days: from and to, counted from now."""
        self._key(name, password)
        self._sign(name, issuer, subject, days, f"subjectAltName={names}\n" if names else "basicConstraints=CA:FALSE\n", password)

    def _sign(self, name, issuer, subject, days, extensions, password=None):
        start, end = (stamp(d) for d in days)
        (self.folder / f"{name}.ext").write_text(extensions)
        self.openssl("req", "-new", "-key", f"{name}.key", *(["-passin", f"pass:{password}"] if password else []),
                     "-out", f"{name}.csr", "-subj", subject or f"/O=Test/CN={name}")
        self._ca(issuer, "-in", f"{name}.csr", "-out", f"{name}.pem", "-startdate", start, "-enddate", end, "-extfile",
                 f"{name}.ext")

    def _ca(self, issuer, *args):
        config = self.folder / f"{issuer}.cnf"
        if not config.exists():
            (self.folder / f"{issuer}.index").touch()
            (self.folder / f"{issuer}.index.attr").write_text("unique_subject = no\n")
            config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={issuer}.index\nnew_certs_dir=.\nrand_serial=yes\n"
                              "default_md=sha256\npolicy=p\ndefault_crl_days=30\nunique_subject=no\n"
                              "[p]\norganizationName=optional\norganizationalUnitName=optional\ncommonName=optional\n")
        self.openssl("ca", "-batch", "-config", config.name, "-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key",
                     "-notext", *args)

    def revoke(self, name, issuer="ca"):
        self._ca(issuer, "-revoke", f"{name}.pem")

    def crl(self, issuer="ca"):
        self._ca(issuer, "-gencrl", "-out", f"{issuer}.crl")
        return self.path(f"{issuer}.crl")


    def ocsp(self, name, issuer="ca"):
        """What the authority says of it, for a server to staple: NAME.ocsp."""
        self.openssl("ocsp", "-issuer", f"{issuer}.pem", "-cert", f"{name}.pem", "-reqout", f"{name}.ocspreq")
        self.openssl("ocsp", "-index", f"{issuer}.index", "-rsigner", f"{issuer}.pem", "-rkey", f"{issuer}.key", "-CA",
                     f"{issuer}.pem", "-reqin", f"{name}.ocspreq", "-respout", f"{name}.ocsp", "-ndays", "30")
        return self.path(f"{name}.ocsp")


def stamp(days):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return moment.strftime("%y%m%d%H%M%SZ")
