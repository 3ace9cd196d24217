"""The base of the protocol tests: one broker per class, fresh clients and topics per test."""
import itertools
import unittest

from harness import packet as m
from harness.broker import TARGET, Broker
from harness.client import Client

_numbers = itertools.count(1)


class Case:
    """Mixed into TestCase by both() or v5(); `config` is merged into the broker's settings."""
    config = {}
    version = m.V311

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(cls.config)

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def setUp(self):
        n = next(_numbers)
        self.t = f"t{n}"     # a topic of this test's own
        self.me = f"client{n}"

    def raw(self, version=None):
        """A connection that has sent nothing yet."""
        c = Client(self.broker.port, version or self.version)
        self.addCleanup(c.close)
        return c

    def client(self, client_id="", version=None, **options):
        """A connected client."""
        c = self.raw(version)
        if not client_id and options.get("clean") is False:
            client_id = self.me
        c.connect(client_id or f"auto{next(_numbers)}", **options)
        return c

    def keeping(self, client_id=None, clean=False, **options):
        """A client whose session outlives its connection, in either version."""
        if self.version == m.V5:
            options["properties"] = {"session_expiry": 300, **options.get("properties", {})}
        return self.client(client_id or self.me, clean=clean, **options)

    def subscriber(self, *filters, qos=0, **options):
        c = self.client(**options)
        c.subscribe(*(filters or [self.t]), qos=qos)
        return c


def both(cases):
    """The same cases as two TestCases, one per protocol version."""
    stem = cases.__name__.removesuffix("Cases")
    return [type(f"{stem}{name}", (cases, unittest.TestCase), {"version": v, "__module__": cases.__module__})
            for name, v in (("V311", m.V311), ("V5", m.V5))]


def v5(cases):
    return type(cases.__name__.removesuffix("Cases") + "V5", (cases, unittest.TestCase),
                {"version": m.V5, "__module__": cases.__module__})


def ours_only(reason):
    """For what the standard leaves open and we decided."""
    return unittest.skipIf(TARGET != "sluice", f"Sluice's own choice: {reason}")
