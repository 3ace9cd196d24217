"""The npm package mqtt talks to the broker, over every transport, in 3.1.1 and 5.0; the cases stand in mqttjs.js."""
import subprocess
import unittest

from everywhere import Everywhere
from harness.broker import ROOT

CASES = ("qos0", "qos1", "qos2", "retained", "will", "wildcards", "shared", "session", "properties", "republished")
RULE = {"sql": "SELECT topic, payload AS text FROM \"told/#\"", "actions": [{"republish": {
    "topic": "js/${topic(2)}/republished", "payload": "${text}", "payload_format": 1, "message_expiry": 60, "content_type": "text/plain",
    "response_topic": "answer/${text}", "correlation_data": "${pub_props.'Correlation-Data'}",
    "user_properties": "${pub_props.'User-Property-Pairs'}"}}]}


# What a transport could do harm to.
OVER_EACH = "qos0,qos1,qos2,large,will,session"


class MqttJs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.everywhere = Everywhere(rules={"made": RULE})

    @classmethod
    def tearDownClass(cls):
        cls.everywhere.stop()

    def holds(self, version, names, transport="tcp"):
        url = self.everywhere.urls[transport].replace("unix:", "mqtt+unix://")
        ca = [self.everywhere.pki.path("ca.pem")] if transport in ("tls", "wss") else []
        done = subprocess.run(["node", str(ROOT / "tests/clients/mqttjs.js"), url, str(version), names, *ca],
                              cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])


for case in CASES:
    for number, label in ((4, "v311"), (5, "v5")):
        if (case, number) != ("properties", 4):
            setattr(MqttJs, f"test_{case}__{label}", lambda self, v=number, c=case: self.holds(v, c))

for kind in ("tls", "ws", "wss", "unix"):
    for number, label in ((4, "v311"), (5, "v5")):
        setattr(MqttJs, f"test_over_{kind}__{label}", lambda self, k=kind, v=number: self.holds(v, OVER_EACH, k))
