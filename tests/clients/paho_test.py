"""Python's paho-mqtt talks to the broker over every transport, in 3.1.1 and 5.0; the cases stand in paho_client.py."""
import subprocess
import sys
import unittest

from everywhere import Everywhere
from harness.broker import ROOT


def python():
    """Ours, or the system's, which Debian's package is for."""
    for program in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([program, "-c", "import paho.mqtt as p; print(p.__version__)"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return program, tuple(int(n) for n in done.stdout.strip().split(".")[:2])
    raise AssertionError("python3-paho-mqtt is not installed: tests/deps.sh install test")


class Paho(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program, cls.release = python()
        cls.everywhere = Everywhere()

    @classmethod
    def tearDownClass(cls):
        cls.everywhere.stop()

    def holds(self, transport, version):
        if transport == "unix" and self.release < (2, 1):
            return  # it cannot
        address = self.everywhere.socket if transport == "unix" else str(self.everywhere.ports[transport])
        done = subprocess.run([self.program, str(ROOT / "tests/clients/paho_client.py"), transport, address, str(version),
                               self.everywhere.pki.path("ca.pem")], capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])


for kind in ("tcp", "tls", "ws", "wss", "unix"):
    for number, label in ((4, "v311"), (5, "v5")):
        setattr(Paho, f"test_{kind}__{label}", lambda self, k=kind, v=number: self.holds(k, v))
