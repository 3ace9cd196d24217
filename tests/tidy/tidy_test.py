"""The tree is tidy, and the checks that say so can also say no."""
import tempfile
import unittest
from pathlib import Path

import tidy

LONG_FUNCTION = "int f(void) {\n" + "\tg();\n" * 80 + "}\n"


def sources(**files):
    """{"base_core_x.h": text} as {Path("base/core/x.h"): text}; __ stands for /, the last _ for the dot."""
    return {Path(".".join(name.replace("__", "/").rsplit("_", 1))): text for name, text in files.items()}


class ChecksCanFail(unittest.TestCase):
    def complains(self, complaints, *words):
        self.assertTrue(complaints, "no complaint")
        for word in words:
            self.assertIn(word, complaints[0])

    def test_layers__upward_include_is_refused(self):
        self.complains(tidy.check_layers(sources(sql__a_c='#include "rules.h"\n', rules__rules_h="")), "sql/a.c:1")

    def test_layers__downward_include_is_fine(self):
        self.assertEqual(tidy.check_layers(sources(rules__a_c='#include "sql.h"\n', sql__sql_h="")), [])

    def test_layers__include_of_the_own_folder_is_fine(self):
        self.assertEqual(tidy.check_layers(sources(sql__a_c='#include "sql_int.h"\n', sql__sql_int_h="")), [])

    def test_layers__upward_include_inside_broker_is_refused(self):
        self.complains(tidy.check_layers(sources(broker__mqtt__a_c='#include "s.h"\n', broker__session__s_h="")))

    def test_layers__kinds_of_connectors_do_not_see_each_other(self):
        tree = sources(connectors__file__f_c='#include "q.h"\n', connectors__sqlite__q_h="")
        self.complains(tidy.check_layers(tree), "connectors/file")

    def test_layers__internal_header_of_another_folder_is_refused(self):
        self.complains(tidy.check_layers(sources(rules__a_c='#include "x_int.h"\n', sql__x_int_h="")), "internal")

    def test_layers__two_headers_of_one_name_are_refused(self):
        self.complains(tidy.check_layers(sources(sql__x_h="", rules__x_h="")), "second header")

    def test_layers__folder_without_a_place_is_refused(self):
        self.complains(tidy.check_layers(sources(attic__a_c="")), "no place")

    def test_length__long_function_is_refused(self):
        self.complains(tidy.check_length(sources(sql__a_c=LONG_FUNCTION), {}), "function sql/a.c f", "82 lines")

    def test_length__long_function_on_the_ratchet_is_let_be(self):
        self.assertEqual(tidy.check_length(sources(sql__a_c=LONG_FUNCTION), {"function sql/a.c f": 82}), [])

    def test_length__function_that_grew_is_refused(self):
        self.complains(tidy.check_length(sources(sql__a_c=LONG_FUNCTION), {"function sql/a.c f": 81}), "grew")

    def test_length__ratchet_that_could_be_tighter_is_refused(self):
        self.complains(tidy.check_length(sources(sql__a_c=LONG_FUNCTION), {"function sql/a.c f": 90}), "tighten")

    def test_length__ratchet_for_what_is_gone_is_refused(self):
        self.complains(tidy.check_length(sources(sql__a_c=""), {"function sql/a.c f": 90}), "tighten")

    def test_length__brace_in_a_string_does_not_end_a_function(self):
        text = LONG_FUNCTION.replace("\tg();\n", '\tg("\\"}");\n', 1)
        self.complains(tidy.check_length(sources(sql__a_c=text), {}), "82 lines")

    def test_length__long_file_is_refused(self):
        self.complains(tidy.check_length(sources(sql__a_h="int x;\n" * 801), {}), "file sql/a.h")

    def test_banned__call_is_refused(self):
        self.complains(tidy.check_banned(sources(sql__a_c="\tsprintf(b, x);\n")), "sql/a.c:1", "sprintf")

    def test_banned__name_in_a_comment_or_as_a_member_is_fine(self):
        text = "/* strcpy( is banned */\nx->system(1);\nmy_atoi(2);\nconst char *s = \"gets(\";\n"
        self.assertEqual(tidy.check_banned(sources(sql__a_c=text)), [])

    def test_text__unfinished_word_is_refused(self):
        self.complains(tidy.check_text(Path("a.c"), "/* TO" "DO later */\n"), "a.c:1")

    def test_text__white_space_at_the_end_is_refused(self):
        self.complains(tidy.check_text(Path("a.py"), "x = 1 \n"), "a.py:1")

    def test_text__missing_last_newline_is_refused(self):
        self.complains(tidy.check_text(Path("a.py"), "x = 1"), "newline")

    def test_text__path_of_one_machine_is_refused(self):
        self.complains(tidy.check_text(Path("a.c"), 'open("/' 'tmp/x");\n'), "one machine")

    def test_first_comment__missing_is_refused(self):
        self.complains(tidy.check_first_comment(Path("sql/a.h"), "#ifndef A_H\n"), "sql/a.h")

    def test_enum_switch__default_is_refused(self):
        text = "switch ((enum kind)k) {\ncase A: break;\ndefault: break;\n}\n"
        self.complains(tidy.check_assertions_of_enums(sources(sql__a_c=text)), "sql/a.c:1")

    def test_readmes__missing_one_is_refused(self):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "sql").mkdir()
            self.complains(tidy.check_readmes(Path(root)), "sql")

    def test_headers__one_that_needs_another_first_is_refused(self):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "sql").mkdir()
            Path(root, "sql/a.h").write_text("size_t f(void);\n")
            self.complains(tidy.headers_alone([Path("sql/a.h")], Path(root)), "sql/a.h")

    def test_clang_format__badly_formatted_file_is_refused(self):
        with tempfile.TemporaryDirectory() as root:
            Path(root, "a.c").write_text("int   main( void ){return 0;}\n")
            Path(root, ".clang-format").write_text((tidy.ROOT / ".clang-format").read_text())
            self.complains(tidy.clang_format([Path("a.c")], Path(root)), "a.c")


class Tree(unittest.TestCase):
    """One test per check over the real tree."""


def tree_test(name):
    def test(self):
        complaints = dict(self.results)[name]
        self.assertEqual(complaints, [], f"\n{name}:\n  " + "\n  ".join(complaints))
    return test


CHECKS = ("layers", "length", "banned calls", "text", "first comments", "enum switches", "read-mes", "clang-format",
          "headers alone")
for check in CHECKS:
    setattr(Tree, "test_tree__" + check.replace(" ", "_").replace("-", "_"), tree_test(check))
Tree.setUpClass = classmethod(lambda cls: setattr(cls, "results", list(tidy.all_checks())))
