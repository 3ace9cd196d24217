"""What the process may take above what it has when it is idle: the sum of connectors/README.md, "Memory", and how it is measured.

    peak = Peak(broker)             # connected, and nothing has come yet
    ...
    assert peak.mb() < limit_mb("redis", connections=50)
"""
import re
from pathlib import Path

WORKERS = 2               # on the machines of the tests; more of them divide the same
WAY_MB = 2                # of a worker: rows on their way, and as much in idle blocks
CHUNK_MB = 0.25           # one that is larger than usual
CONNECTION_MB = (128 + 100) / 1024
ALLOCATOR = 1.1           # blocks lie between others, and are a little larger than what was asked for
LIBRARIES_MB = 4          # code and tables that are touched when the first rows go
# How much of a batch a kind's client holds besides (copy_percent in the kind), and keeps when it is done.
COPIES = {"kafka": 1, "postgres": 3, "redis": 2, "mongodb": 5}
KEPT = {"postgres": 1}


def limit_mb(kind, connections=0, *, node_mb=256, action_mb=64, batch_mb=1, pool=1, message_mb=0.0, sources_mb=0.0):
    copies = COPIES.get(kind, 0)
    parts = 2 * WORKERS * min(WAY_MB, node_mb / 8 / WORKERS)
    rows = min(node_mb, action_mb + parts)
    action = CHUNK_MB + copies * batch_mb
    counted = rows + action + pool * KEPT.get(kind, 0) * batch_mb + connections * (CONNECTION_MB + message_mb) + sources_mb
    return counted * ALLOCATOR + LIBRARIES_MB


class Peak:
    """The process' peak above what it has now."""

    def __init__(self, broker):
        self.proc = Path(f"/proc/{broker.process.pid}")
        (self.proc / "clear_refs").write_text("5")  # the peak begins anew
        self.before = self._read("VmHWM")

    def _read(self, name):
        return int(re.search(rf"{name}:\s+(\d+)", (self.proc / "status").read_text())[1]) / 1024

    def mb(self):
        return self._read("VmHWM") - self.before
