"""Runs the C tests of a build, or of some of its folders, through ctest and counts the tests inside each program.

    python3 tests/harness/ctest.py build/dev [FOLDER...] [--counts FILE] [--name NAME]
"""
import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness.broker import SANITIZER, sanitizer_env  # noqa: E402


def count(case):
    """(passed, failed, skipped) of one program: cmocka's own figures, or one for the program itself."""
    output = case.findtext("system-out") or ""
    number = {k: sum(int(n) for n in re.findall(rf"\[  {k}  \] (\d+) test", output)) for k in ("PASSED", "FAILED")}
    skipped = sum(int(n) for n in re.findall(r"\[  SKIPPED \] (\d+) test", output))
    bad = case.get("status") not in ("run", "disabled") or bool(SANITIZER.search(output))
    if bad:
        return number["PASSED"], max(number["FAILED"], 1), skipped
    if number["PASSED"] + skipped == 0:
        return 1, 0, 0
    return number["PASSED"], number["FAILED"], skipped


def run(folder):
    """All programs below the folder: (passed, failed, skipped)."""
    report = Path(folder, "ctest.xml").resolve()
    report.unlink(missing_ok=True)
    command = ["ctest", "--test-dir", folder, "-j", str(os.cpu_count() or 2), "--output-junit", str(report),
               "--test-output-size-passed", "1000000", "--test-output-size-failed", "1000000", "--no-tests=error"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=sanitizer_env(),
                          check=False)
    if not report.exists():
        print(done.stdout[-3000:])
        return 0, 1, 0
    total = (0, 0, 0)
    for case in xml.parse(report).getroot().iter("testcase"):
        p, f, s = count(case)
        total = (total[0] + p, total[1] + f, total[2] + s)
        print(f"{case.get('name')}: {p} passed" + (f", {f} FAILED" if f else "") + (f", {s} skipped" if s else ""))
        if f:
            failure = case.find("failure")
            print((case.findtext("system-out") or "")[-6000:], "" if failure is None else failure.get("message"))
    return total


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folders", nargs="+")
    args.add_argument("--counts")
    args.add_argument("--name", default="unit")
    args = args.parse_args()
    began = time.monotonic()
    passed, failed, skipped = (sum(column) for column in zip(*map(run, args.folders)))
    print(f"{args.name}: {passed} passed, {failed} failed, {skipped} skipped ({time.monotonic() - began:.0f} s)")
    if args.counts:
        Path(args.counts).write_text(f"{passed} {failed} {skipped}\n", encoding="ascii")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
