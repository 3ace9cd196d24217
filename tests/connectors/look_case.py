"""What tests of `sluice connector test` share: what it says of the actions and sources of a connector that is fine."""
import json
import unittest

from harness.broker import run_program, temp_folder


class LookCase(unittest.TestCase):
    def look_config(self, connector, actions, sources=None):
        return {"connectors": {"x": connector, "y": {"type": "null"}}, "sources": sources or {},
                "rules": {"r": {"sql": "SELECT 1 AS a, 'k' AS k FROM \"t\"", "actions": [{"connector": "x", **a} for a in actions] + [{"connector": "y"}]}}}

    def looked_at(self, connector, actions, sources=None):
        """Exit status, what is fine, and the lines about actions and sources of the connector x."""
        folder = temp_folder()
        (folder / "a.yaml").write_text(json.dumps(self.look_config(connector, actions, sources)))
        done = run_program("connector", "test", "x", "-c", "a.yaml", "--timeout", "60", cwd=folder)
        notes, faults = done.stdout.splitlines(), done.stderr.splitlines()
        verdict, said = (faults, "not all will work") if faults else (notes, "fine")
        self.assertTrue(verdict and verdict.pop(0).startswith(f"x: {said}: {connector['type']}, connected"), done)
        return done.returncode, notes, faults
