"""Runs one folder of tests (tests/<name>/*_test.py) and reports in one line.

    python3 tests/harness/suite.py mqtt [-k PATTERN] [-x PATTERN] [-j PROCESSES] [--counts FILE]

Prints a dot per test, every failure and the reason of every skip at once, and at the end
`mqtt: 80 passed, 0 failed, 1 skipped (12 s)`. --counts writes the three numbers for tests/run.sh. With -j the classes are
divided among processes: most tests wait most of the time.
"""
import argparse
import atexit
import fnmatch
import importlib.util
import os
import random
import sys
import time
import unittest
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))


class Result(unittest.TestResult):
    def __init__(self, slow_s):
        super().__init__()
        self.passed, self.slow_s, self.began = 0, slow_s, 0.0

    def startTest(self, test):
        super().startTest(test)
        self.began = time.monotonic()

    def stopTest(self, test):
        took = time.monotonic() - self.began
        if took > self.slow_s:
            print(f" {name(test)} {took:.1f} s", end="", flush=True)

    def _say(self, mark):
        print(mark, end="", flush=True)

    def addSuccess(self, test):
        self.passed += 1
        self._say(".")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print(f"\nFAILED {name(test)}\n{self.failures[-1][1]}", flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print(f"\nERROR {name(test)}\n{self.errors[-1][1]}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"\nskipped {name(test)}: {reason}", flush=True)

    def addSubTest(self, test, subtest, err):
        if err:
            super().addSubTest(test, subtest, err)
            print(f"\nFAILED {name(subtest)}\n{self._exc_info_to_string(err, test)}", flush=True)

    def bad(self):
        return len(self.failures) + len(self.errors) + len(self.unexpectedSuccesses)


def name(test):
    return str(test.id()).replace("__main__.", "")


def matches(test, patterns):
    return any(fnmatch.fnmatch(test.id(), f"*{p}*") for p in patterns.split(",") if p)


def load(folder, pattern, without=""):
    """All tests of the folder, in the order of the files; a file that cannot be read is a failure by itself."""
    suite = unittest.TestSuite()
    for path in sorted(folder.glob("*_test.py")):
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        for group in unittest.defaultTestLoader.loadTestsFromModule(module):
            chosen = [t for t in group if (not pattern or matches(t, pattern)) and not matches(t, without)]
            suite.addTests([unittest.TestSuite(chosen)] if chosen else [])
    return suite


def run_here(groups, indexes):
    """Runs the groups that it is given the numbers of; passed, failed, skipped."""
    result = Result(slow_s=5.0)
    for i in indexes:
        unittest.TestSuite([groups[i]]).run(result)
        result._previousTestClass = None  # pylint: disable=protected-access
        # It is torn down: else the next group would do that once more.
    return result.passed, result.bad(), len(result.skipped)


def run_beside(groups, processes):
    """The same in several processes, each of which takes the next group when it is done with one."""
    work, give = os.pipe()  # numbers of groups: a byte pair each, so that whoever reads gets a whole one
    results, tell = os.pipe()
    os.write(give, b"".join(i.to_bytes(2, "big") for i in range(len(groups))))
    os.close(give)
    children = []
    for _ in range(processes):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                random.seed()  # ports are chosen by chance
                indexes = iter(lambda: os.read(work, 2), b"")
                found = run_here(groups, (int.from_bytes(i, "big") for i in indexes))
                os.write(tell, ("%d %d %d\n" % found).encode())
                code = 0
            finally:
                atexit._run_exitfuncs()  # pylint: disable=protected-access
                sys.stdout.flush()
                os._exit(code)
        children.append(pid)
    os.close(tell)
    os.close(work)
    broken = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
    with os.fdopen(results) as lines:
        counts = [tuple(map(int, line.split())) for line in lines]
    if broken:
        print(f"\n{broken} of the processes that ran tests ended early", flush=True)
    passed, failed, skipped = (sum(column) for column in zip(*counts)) if counts else (0, 0, 0)
    return passed, failed + broken, skipped


def main():
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("suite")
    args.add_argument("-k", metavar="PATTERN", default="", help="only tests whose name contains this (* and ? work; several: A,B)")
    args.add_argument("-x", metavar="PATTERN", default="", help="without these")
    args.add_argument("-j", metavar="PROCESSES", type=int, default=1, help="run so many classes at a time")
    args.add_argument("--counts", help="file for the three numbers")
    args.add_argument("--name", help="how the suite is called in the summary")
    args = args.parse_args()
    sys.path.insert(0, str(TESTS / args.suite))
    began, passed, failed, skipped = time.monotonic(), 0, 1, 0  # unless it is heard otherwise
    try:
        groups = list(load(TESTS / args.suite, args.k, args.x))
        passed, failed, skipped = run_beside(groups, args.j) if args.j > 1 else run_here(groups, range(len(groups)))
    finally:
        if not (passed or failed or skipped):
            print(f"no test was found in tests/{args.suite}" + (f" for {args.k}" if args.k else ""))
            failed = 1
        counts = f"{passed} passed, {failed} failed, {skipped} skipped"
        print(f"\n{args.name or args.suite}: {counts} ({time.monotonic() - began:.0f} s)", flush=True)
        if args.counts:
            Path(args.counts).write_text(f"{passed} {failed} {skipped}\n", encoding="ascii")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
