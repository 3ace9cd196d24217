"""The outage drill of every connector; drill.py says what happens."""
import unittest

import drill
import sinks


class Outage(unittest.TestCase):
    def drill(self, sink):
        done = drill.Drill(sink).run()
        print(f" {type(sink).__name__}: {done}", end="", flush=True)
        done.check(self)

    def test_drill__kafka(self):
        self.drill(sinks.ToKafka())

    def test_drill__mongodb(self):
        self.drill(sinks.ToFerretDB())

    def test_drill__postgres(self):
        self.drill(sinks.ToPostgres())

    def test_drill__redis(self):
        self.drill(sinks.ToRedis())


class Judgement(unittest.TestCase):
    """The drill's own eyes: it must be able to complain."""

    def test_order__loss_and_disorder_are_seen_and_repetition_is_not(self):
        whole = [(c, n) for n in range(5) for c in range(drill.CLIENTS)]
        self.assertEqual(drill.first_occurrences_in_order(whole, 5), ({}, []))
        self.assertEqual(drill.first_occurrences_in_order(whole + whole[3:], 5), ({}, []))
        self.assertEqual(drill.first_occurrences_in_order(whole[1:], 5)[0], {0: 1})
        swapped = [(0, 1), (0, 0)] + [w for w in whole if w not in ((0, 0), (0, 1))]
        self.assertEqual(len(drill.first_occurrences_in_order(swapped, 5)[1]), 1)

    def test_latency__one_bad_second_is_no_trend(self):
        seconds = {100 + s: [1.0, 900.0 if s == 3 else 2.0, 50] for s in range(10)}
        self.assertEqual(drill.typical_p99(seconds, 100.0, ((0, 10),)), 2.0)
