"""The npm package mqtt talks to the broker, in 3.1.1 and 5.0; the cases stand in mqttjs.js."""
import subprocess
import unittest

from harness.broker import ROOT, Broker

CASES = ("qos0", "qos1", "qos2", "retained", "will", "wildcards", "shared", "session", "properties", "republished")
RULE = {"sql": "SELECT topic, payload AS text FROM \"told/#\"", "actions": [{"republish": {
    "topic": "js/${topic(2)}/republished", "payload": "${text}", "payload_format": 1, "message_expiry": 60, "content_type": "text/plain",
    "response_topic": "answer/${text}", "correlation_data": "${pub_props.'Correlation-Data'}",
    "user_properties": "${pub_props.'User-Property-Pairs'}"}}]}


class MqttJs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = Broker({"rules": {"made": RULE}})

    @classmethod
    def tearDownClass(cls):
        cls.broker.stop()

    def holds(self, version, name):
        done = subprocess.run(["node", str(ROOT / "tests/clients/mqttjs.js"), str(self.broker.port), str(version), name],
                              cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
        self.assertEqual(done.returncode, 0, done.stderr[-2000:])


for case in CASES:
    for number, label in ((4, "v311"), (5, "v5")):
        if (case, number) != ("properties", 4):
            setattr(MqttJs, f"test_{case}__{label}", lambda self, v=number, c=case: self.holds(v, c))
