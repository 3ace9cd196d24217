"""The corpus: one rule case a line, run through `sluice sql --jsonl`, the command that a rule's author uses.

A case says what must come out: `expect` (rows), `no_match`, or `expect_error` (refused at creation, or the run failed).
Cases of the language that are not built yet stand in not_yet.txt by their id. That list can only get shorter: a case
on it that holds is a failure, too. `python3 tests/sql/corpus_test.py --ratchet` writes it anew. Cases that are judged wrong
stand in README.md, each with its reason; one that begins to hold is a failure, for then the list or the engine is wrong.
"""
import json
import math
import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from harness.broker import run_program  # noqa: E402

NOT_YET = HERE / "corpus/not_yet.txt"
DIALECTS = ("standard", "aws")
# What a line of standard_more.jsonl or aws_more.jsonl has that says nothing else.
MESSAGE = {
    "standard": {"dialect": "standard", "topic": "t/a", "payload": "", "qos": 0, "clientid": "c1", "username": "u1"},
    "aws": {"dialect": "aws", "topic": "t", "payload": "{}", "clientid": "dev-1"},
}


def read_cases(dialect):
    lines = (HERE / f"corpus/{dialect}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def read_more(dialect):
    lines = (HERE / f"{dialect}_more.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**MESSAGE[dialect], **json.loads(line)} for line in lines]


def answers(cases):
    """What the program says to each case, in order."""
    done = run_program("sql", "--jsonl", stdin="".join(json.dumps(c) + "\n" for c in cases), timeout=120)
    return [json.loads(line) for line in done.stdout.splitlines()]


def same(a, b):
    """Objects without regard to key order, numbers numerically, floats within 1e-9 relative."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b or math.isclose(a, b, rel_tol=1e-9)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def holds(case, answer):
    if case["id"] != answer.get("id"):
        return False
    if "expect" in case:
        return "rows" in answer and same(case["expect"], answer["rows"])
    if case.get("no_match"):
        return bool(answer.get("no_match"))
    return "error" in answer


def not_yet():
    if not NOT_YET.exists():
        return set()
    return {line.split()[0] for line in NOT_YET.read_text().splitlines() if line and not line.startswith("#")}


def judged_wrong():
    """The rows | `dialect/id` | reason | of README.md."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `((?:standard|aws)/[^`]+)` \| (.+?) \|$", text, re.M)
    return dict(found)


class Corpus(unittest.TestCase):
    """One test per dialect in the report's figures; each case that breaks is told by itself."""

    def run_dialect(self, dialect):
        cases, waiting, wrong = read_cases(dialect), not_yet(), judged_wrong()
        got = answers(cases)
        self.assertEqual(len(got), len(cases), "not every case was answered")
        pairs = list(zip(cases, got))
        print(f" {dialect}: {sum(holds(c, a) for c, a in pairs)} of {len(cases)} hold", end=" ", flush=True)
        for case, answer in pairs:
            name = f"{dialect}/{case['id']}"
            if name in wrong:
                self.assertFalse(holds(case, answer), f"{name} holds, though README.md calls it wrong: {wrong[name]}")
            elif name in waiting:
                self.assertFalse(holds(case, answer), f"{name} holds now: take it off not_yet.txt")
            elif not holds(case, answer):
                with self.subTest(case=name):
                    self.fail(f"{json.dumps(case)}\ngave {json.dumps(answer)}")

    def run_more(self, dialect):
        cases = read_more(dialect)
        got = answers(cases)
        self.assertEqual([c["id"] for c in cases], [a.get("id") for a in got])
        for case, answer in zip(cases, got):
            if not holds(case, answer):
                with self.subTest(case=case["id"]):
                    self.fail(f"{json.dumps(case)}\ngave {json.dumps(answer)}")

    def test_more__standard_dialect(self):
        self.run_more("standard")

    def test_more__aws_dialect(self):
        self.run_more("aws")

    def test_ids__are_unique(self):
        for dialect in DIALECTS:
            ids = [c["id"] for c in read_cases(dialect)]
            self.assertEqual(len(ids), len(set(ids)))
            ids = [c["id"] for c in read_more(dialect)]
            self.assertEqual(len(ids), len(set(ids)))

    def test_judged_wrong__names_cases_that_are_there_and_not_waiting(self):
        ids = {f"{d}/{c['id']}" for d in DIALECTS for c in read_cases(d)}
        self.assertLessEqual(set(judged_wrong()), ids)
        self.assertEqual(set(judged_wrong()) & not_yet(), set())

    def test_corpus__standard_dialect(self):
        self.run_dialect("standard")

    def test_corpus__aws_dialect(self):
        self.run_dialect("aws")


def write_not_yet():
    lines = ["# Cases of the corpus whose part of the language is not built yet. Lines may only go away."]
    for dialect in DIALECTS:
        cases = read_cases(dialect)
        lines += [f"{dialect}/{c['id']}" for c, a in zip(cases, answers(cases))
                  if not holds(c, a) and f"{dialect}/{c['id']}" not in judged_wrong()]
    NOT_YET.write_text("\n".join(lines) + "\n")


if __name__ == "__main__" and "--ratchet" in sys.argv:
    write_not_yet()
