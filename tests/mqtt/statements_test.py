"""The table of statements: nothing is missing, every test that it names is one, and REPORT.md is what it prints."""
import re
import unittest

import statements

# How many numbered statements there are in each section, last number first seen: 5.0 of March 2019, 3.1.1 of October 2014.
LAST = {
    "5.0": "1.5.4-3 1.5.5-1 1.5.7-1 2.1.3-1 2.2.1-6 2.2.2-1 3.1.0-2 3.1.2-30 3.1.3-12 3.1.4-6 3.2.0-2 3.2.2-22 3.3.1-13 3.3.2-20 "
           "3.3.4-10 3.4.2-3 3.5.2-3 3.6.1-1 3.6.2-3 3.7.2-3 3.8.1-1 3.8.3-5 3.8.4-8 3.9.2-2 3.9.3-2 3.10.1-1 3.10.3-2 3.10.4-6 "
           "3.11.2-2 3.11.3-2 3.12.4-1 3.14.0-1 3.14.1-1 3.14.2-4 3.14.4-3 3.15.1-1 3.15.2-3 4.1.0-2 4.2.0-1 4.3.1-1 4.3.2-5 "
           "4.3.3-13 4.4.0-2 4.5.0-2 4.6.0-6 4.7.0-1 4.7.1-2 4.7.2-1 4.7.3-4 4.8.2-6 4.9.0-3 4.12.0-7 4.12.1-2 4.13.1-1 4.13.2-1 "
           "6.0.0-4",
    "3.1.1": "1.5.3-3 2.2.2-2 2.3.1-7 3.1.0-2 3.1.2-24 3.1.3-11 3.1.4-5 3.2.0-1 3.2.2-6 3.3.1-12 3.3.2-3 3.3.4-1 3.3.5-2 3.6.1-1 "
             "3.8.1-1 3.8.3-3 3.8.4-6 3.9.3-2 3.10.1-1 3.10.3-2 3.10.4-6 3.12.4-1 3.14.1-1 3.14.4-3 4.1.0-2 4.2.0-1 4.3.1-1 "
             "4.3.2-2 4.3.3-2 4.4.0-1 4.5.0-2 4.6.0-6 4.7.1-3 4.7.2-1 4.7.3-4 4.8.0-2 6.0.0-4 7.0.0-2 7.1.1-1 7.1.2-1",
}
FIRST = {"2.2.1": 2}  # 5.0 begins there with 2
ODD = {"3.1.1": {"3-8.3-4"}}  # as it is printed in the standard


class Statements(unittest.TestCase):
    def test_table__has_every_statement_once(self):
        for version, last in LAST.items():
            expected = set(ODD.get(version, ()))
            for section, count in (text.split("-") for text in last.split()):
                first = FIRST.get(section, 1) if version == "5.0" else 1
                expected |= {f"{section}-{n}" for n in range(first, int(count) + 1)}
            numbers = [s.number for s in statements.read() if s.version == version]
            self.assertEqual(len(numbers), len(set(numbers)))
            self.assertEqual(set(numbers), expected)

    def test_table__every_test_is_there(self):
        missing = [f"{s.version} {s.number}: {path.name} {classes[0]}.{method}" for s in statements.read()
                   for path, classes, method in s.tests if not statements.resolve_test(path, classes, method)]
        self.assertEqual(missing, [])

    def test_table__what_has_no_test_has_a_reason(self):
        for s in statements.read():
            self.assertTrue(s.tests or re.search(r"\w{3}", s.reason), s.number)

    def test_report__is_printed_from_the_table(self):
        printed = statements.report(statements.read(), statements.resolve_test)
        self.assertEqual((statements.HERE / "REPORT.md").read_text(), printed,
                         "run python3 tests/mqtt/statements.py and commit REPORT.md")
