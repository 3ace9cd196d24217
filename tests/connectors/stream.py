"""Rows that flow while something breaks: clients publish numbers with QoS 1, and afterwards all that was acknowledged must be
there, each client's in the order in which it sent them."""
import threading
import time

from harness.client import Client, Closed

ORDERED = 'SELECT clientid AS c, payload.n AS n FROM "in/#"'


def ranges(numbers, most=5):
    """[1, 2, 3, 7] as "1..3, 7"; of many ranges only the first ones."""
    found = []
    for n in numbers:
        if found and found[-1][1] == n - 1:
            found[-1][1] = n
        else:
            found.append([n, n])
    texts = [f"{a}..{b}" if a < b else str(a) for a, b in found[:most]]
    return ", ".join(texts + ["..."] * (len(found) > most))


class Stream:
    """Clients c0, c1... that publish {"n": 1}, {"n": 2}... one after the other until told to stop, to in/<their name>.
    A number counts as sent when it was acknowledged."""

    def __init__(self, test, broker, clients=4, pause=0.002):
        self.test, self.broker, self.pause = test, broker, pause
        self.sent, self.stopping = {}, threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(f"c{i}",), daemon=True) for i in range(clients)]
        test.addCleanup(self.stopping.set)  # should it fail midway
        for t in self.threads:
            t.start()

    def send(self, name):
        while not self.stopping.is_set():
            try:
                with Client(self.broker.port) as c:
                    c.connect(name)
                    while not self.stopping.is_set():
                        n = self.sent.get(name, 0) + 1
                        c.publish("in/" + name, b'{"n":%d}' % n, qos=1)
                        self.sent[name] = n
                        time.sleep(self.pause)
            except (OSError, AssertionError, Closed):
                time.sleep(0.1)

    def count(self):
        return sum(self.sent.values())

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def finish(self, read, timeout=60, duplicates=True):
        """Everything acknowledged is there, in order of its first appearance. read(name): the list."""
        self.stop()
        n = self.broker.wait_settled("r", timeout=timeout)
        self.test.assertEqual(n["rejected"], 0)
        return self.check(read, duplicates)

    def check(self, read, duplicates=True):
        twice = 0
        for name, last in self.sent.items():
            numbers = [int(x) for x in read(name)]
            first = list(dict.fromkeys(numbers))
            missing = sorted(set(range(1, last + 1)) - set(numbers))
            if missing:
                self.test.fail(f"{name}: {len(missing)} of {last} rows are missing: {ranges(missing)}")
            late = [(a, b) for a, b in zip(first, first[1:]) if b < a]
            if late:
                self.test.fail(f"{name}: {len(late)} of {last} rows are out of order: {late[0][1]} behind {late[0][0]}")
            twice += len(numbers) - len(first)
        if not duplicates:
            self.test.assertEqual(twice, 0)
        return self.count(), twice
