"""The table of what the standards ask for (statements.txt), and REPORT.md, which is printed from it:

    python3 tests/mqtt/statements.py          # writes tests/mqtt/REPORT.md
"""
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUFFIX = {"5.0": "V5", "3.1.1": "V311", "3.1": "V31"}
WHO = {"C": "client", "S": "server", "B": "both"}


class Statement:
    """One line of the table: version, number, who, text, tests (file, class, method) or the reason why there is none."""

    def __init__(self, version, fields, groups):
        self.version, (self.number, who, self.text, shown) = version, fields
        self.who = WHO[who]
        self.reason = shown[2:] if shown.startswith("- ") else None
        self.tests = [] if self.reason else [self._test(name, groups) for name in shown.split()]

    def _test(self, name, groups):
        if ":" in name:
            path, name = name.split(":")
            stem, method = name.split(".", 1)
            return ROOT / path, [stem], f"test_{method}"
        group, method = name.split(".", 1)
        module, stem = groups[group]
        return HERE / f"{module}.py", [stem + SUFFIX[self.version], stem, stem + "V5"], f"test_{method}"


def read(path=HERE / "statements.txt"):
    groups, found, section = {}, [], None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line[1:-1]
        elif section == "groups":
            name, rest = line.split(" = ")
            groups[name] = rest.split()
        else:
            fields = [f.strip() for f in line.split(" | ")]
            if len(fields) != 4:
                raise ValueError(f"{path.name}:{number}: four fields are wanted, apart by ' | '")
            found.append(Statement(section, fields, groups))
    return found


def link(path):
    return path.name if path.parent == HERE else f"../{path.relative_to(ROOT / 'tests')}"


def shown(s):
    if s.reason:
        return f"none: {s.reason}"
    return "<br>".join(f"[`{classes[0]}.{method}`]({link(path)})" for path, classes, method in s.tests)


def report(statements, resolve=None):
    """resolve: gives the class that really has the test; without it the first is named."""
    out = ["# MQTT, statement by statement", "",
           "Printed from statements.txt by `python3 tests/mqtt/statements.py`; statements_test.py compares, and checks that every test "
           "named here is one.", "",
           "Numbers and sections are those of the OASIS standards; the words are ours. \"Binds\": whom the statement is addressed to. "
           "Where that is clients alone, the test shows what the broker does with one that breaks it.", ""]
    for version in SUFFIX:
        mine = [s for s in statements if s.version == version]
        if not mine:
            continue
        with_test = sum(1 for s in mine if s.tests)
        out += [f"## MQTT {version}", "",
                f"{len(mine)} statements, {with_test} shown by tests, {len(mine) - with_test} not, each with its reason.", "",
                "| number | binds | what it asks | shown by |", "| --- | --- | --- | --- |"]
        for s in mine:
            if resolve:
                s.tests = [(path, [resolve(path, classes, method) or classes[0]], method) for path, classes, method in s.tests]
            out.append(f"| {s.number} | {s.who} | {s.text} | {shown(s)} |")
        out.append("")
    return "\n".join(out)


def methods(path):
    """Class -> names of its tests, of a test file: made by running it, for both() makes classes, too."""
    import importlib.util
    import unittest
    for folder in (str(ROOT / "tests"), str(path.parent)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(f"statements_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return {name: set(dir(o)) for name, o in vars(module).items() if isinstance(o, type) and issubclass(o, unittest.TestCase)}


_known = {}


def resolve_test(path, classes, method):
    """The first of the classes that has the test; None when none has."""
    if path not in _known:
        _known[path] = methods(path)
    return next((c for c in classes if method in _known[path].get(c, ())), None)


if __name__ == "__main__":
    (HERE / "REPORT.md").write_text(report(read(), resolve_test))
