"""The checks that read the source tree. Each takes what it looks at as arguments and returns a list of complaints,
so that tidy_test.py can show that it is able to complain. `python3 tests/tidy/tidy.py` prints them all;
`--ratchet` writes today's long functions and files down (only ever to make the list shorter).
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RATCHET = Path(__file__).with_name("ratchet.txt")
FUNCTION_LINES, FILE_LINES_WARN, FILE_LINES = 70, 600, 800
CODE_FOLDERS = ("base", "sql", "connectors", "rules", "broker", "tests")
NEEDS_README = ("base", "sql", "connectors", "rules", "broker", "tests", "examples", "conf")

# Lowest first. A file may include headers of its own folder and of folders on lower lines, nothing else. Folders of
# one line do not see each other. connectors/<kind>/ stands above connectors/ and is seen by nobody.
LAYERS = [
    ["base/core"],
    ["base/json", "base/mqtt"],
    ["base/config"],
    ["base/net"],
    ["sql"],
    ["connectors"],
    ["connectors/sqlite", "connectors/file", "connectors/null", "connectors/postgres"],
    ["rules"],
    ["rules/tools"],
    ["rules/import"],
    ["broker/store"],
    ["broker/auth"],
    ["broker/app/conf"],
    ["broker/http"],
    ["broker/transport"],
    ["broker/session"],
    ["broker/client"],
    ["broker/admin"],
    ["broker/app"],
]
# Folders inside of a layer.
ROOMS = ["sql/fn", "sql/aws", "sql/many", "sql/state",
         "connectors/pipeline", "connectors/spill", "connectors/dead", "connectors/sources", "connectors/status"]
RANK = {folder: rank for rank, line in enumerate(LAYERS) for folder in line}

BANNED = {
    "strcpy": "use sl_buf or memcpy with a known length", "strcat": "use sl_buf",
    "sprintf": "use sl_buf_printf or snprintf", "vsprintf": "use vsnprintf", "atoi": "use sl_slice_to_int",
    "atol": "use sl_slice_to_int", "atof": "use the conversions of slice.h", "strtok": "use slices",
    "gets": "never", "alloca": "use an arena", "system": "never a shell", "mktemp": "use mkstemp",
}
BANNED_CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE_PATH = re.compile(r"(?<![\w.}/])/(work|root|home|tmp)/")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def tracked(root=ROOT):
    """Files that git knows or would add, without what the build makes."""
    out = subprocess.run(["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         capture_output=True, check=True).stdout.decode()
    return sorted(Path(p) for p in out.split("\0") if p and (root / p).is_file())


def is_code(path):
    return path.suffix in (".c", ".h") and path.parts[0] in CODE_FOLDERS


def without_comments_and_strings(text):
    """The same text, same lines, with comments and literals blanked out."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


# ---- Layers ----------------------------------------------------------------------------------------------------

def layer_of(path):
    """base/core/x.h -> base/core; connectors/file/x.c -> connectors/file; tests/... -> None, they may see all."""
    folder = path.parent.as_posix()
    while folder and folder != ".":
        if folder in RANK:
            return folder
        folder = folder.rpartition("/")[0]
    return None


def check_layers(sources):
    """sources: {path: text}. Headers are found by their name alone, so names must be unique."""
    bad, home = [], {}
    for path in sources:
        if path.suffix != ".h" or path.parts[0] == "tests":
            continue
        if path.name in home:
            bad.append(f"{path}: a second header of this name, the first is {home[path.name]}")
        home[path.name] = path
    for path, text in sources.items():
        mine = layer_of(path)
        if path.parts[0] != "tests" and mine is None:
            bad.append(f"{path}: its folder has no place in the table of layers (tests/tidy/tidy.py)")
        for number, line in enumerate(text.splitlines(), 1):
            for name in INCLUDE.findall(line):
                target = home.get(Path(name).name)
                if target is None or mine is None:
                    continue
                theirs = layer_of(target)
                if theirs is None:
                    continue
                if theirs != mine and RANK[theirs] >= RANK[mine]:
                    bad.append(f"{path}:{number}: {mine} must not include {name}, which stands in {theirs}")
                elif theirs != mine and target.name.endswith("_int.h"):
                    bad.append(f"{path}:{number}: {name} is internal to {theirs}")
    return bad


# ---- Length ----------------------------------------------------------------------------------------------------

FUNCTION_HEAD = re.compile(r"^[A-Za-z_][^;={}#]*\([^;{}]*\)[^;={}]*\{", re.M)


def functions(text):
    """(name, first line, lines) of every function, from its return type to its closing brace in column one."""
    plain = without_comments_and_strings(text)
    for head in FUNCTION_HEAD.finditer(plain):
        first_line = plain.count("\n", 0, head.start()) + 1
        line_end = plain.find("\n", head.end())
        if "}" in plain[head.end():line_end]:
            continue  # all on one line
        closing = re.compile(r"^\}", re.M).search(plain, head.end())
        if not closing:
            continue
        names = re.findall(r"(\w+)\s*\(", head.group())
        lines = plain.count("\n", head.start(), closing.start()) + 1
        yield names[0] if names else "?", first_line, lines


def read_ratchet(path=RATCHET):
    """{"function path name" or "file path": lines} that are longer than the rule and known to be."""
    known = {}
    if path.exists():
        for line in path.read_text().splitlines():
            line = line.partition("#")[0].strip()
            if line:
                what, _, lines = line.rpartition(" ")
                known[what] = int(lines)
    return known


def long_things(sources):
    """What is longer than the rule: {"function path name" or "file path": lines}."""
    found = {}
    for path, text in sources.items():
        lines = text.count("\n")
        if lines > FILE_LINES:
            found[f"file {path}"] = lines
        if path.suffix == ".c":
            for name, _, length in functions(text):
                if length > FUNCTION_LINES:
                    found[f"function {path} {name}"] = length
    return found


def check_length(sources, known):
    """New long things and grown ones are refused; so is a ratchet that could be tighter."""
    bad, found = [], long_things(sources)
    for what, lines in found.items():
        limit = FILE_LINES if what.startswith("file") else FUNCTION_LINES
        if what not in known:
            bad.append(f"{what}: {lines} lines, the limit is {limit}")
        elif lines > known[what]:
            bad.append(f"{what}: grew from {known[what]} to {lines} lines; it may only shrink")
    for what, lines in known.items():
        if found.get(what, 0) < lines:
            now = f"{found[what]} lines" if what in found else "within the limit"
            bad.append(f"tests/tidy/ratchet.txt: {what} is {now} now; tighten the ratchet")
    return bad


# ---- Words, spaces, paths --------------------------------------------------------------------------------------

def check_banned(sources):
    bad = []
    for path, text in sources.items():
        for number, line in enumerate(without_comments_and_strings(text).splitlines(), 1):
            bad += [f"{path}:{number}: {call} is banned: {BANNED[call]}" for call in BANNED_CALL.findall(line)]
    return bad


def check_text(path, text):
    """What holds for every text file of the tree."""
    bad = []
    for number, line in enumerate(text.splitlines(), 1):
        if line != line.rstrip() and path.suffix != ".md":
            bad.append(f"{path}:{number}: white space at the end of the line")
        if UNFINISHED.search(line):
            bad.append(f"{path}:{number}: unfinished work is no comment: {UNFINISHED.search(line).group()}")
        if path.suffix in (".c", ".h") and MACHINE_PATH.search(line):
            bad.append(f"{path}:{number}: a path of one machine")
        if "\r" in line:
            bad.append(f"{path}:{number}: carriage return")
    if text and not text.endswith("\n"):
        bad.append(f"{path}: no newline at the end")
    return bad


def check_first_comment(path, text):
    """A header is the manual of its module: it begins with a comment that names it."""
    if path.suffix == ".h" and not text.startswith(f"/* {path.name}:"):
        return [f"{path}: must begin with \"/* {path.name}: ...\", what it is for"]
    return []


def check_readmes(root=ROOT):
    return [f"{folder}: has no README.md" for folder in NEEDS_README
            if (root / folder).is_dir() and not (root / folder / "README.md").exists()]


def check_assertions_of_enums(sources):
    """A switch over an enum of ours has no default; the compiler then names the forgotten case."""
    bad = []
    for path, text in sources.items():
        plain = without_comments_and_strings(text)
        for head in re.finditer(r"\bswitch\s*\(\(enum [^)]*\)", plain):
            depth, at = 0, plain.find("{", head.end())
            for end in range(at, len(plain)):
                depth += {"{": 1, "}": -1}.get(plain[end], 0)
                if depth == 0:
                    break
            if re.search(r"\bdefault\s*:", plain[at:end]):
                bad.append(f"{path}:{plain.count(chr(10), 0, head.start()) + 1}: default in a switch over an enum")
    return bad


# ---- Tools -----------------------------------------------------------------------------------------------------

def clang_format(paths, root=ROOT):
    """Files that clang-format would change."""
    if not shutil.which("clang-format"):
        return ["clang-format is not installed"]
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", *[str(p) for p in paths]], cwd=root,
                          capture_output=True, text=True, check=False)
    return sorted({f"{line.split(':')[0]}: clang-format -i would change it" for line in done.stderr.splitlines()
                   if " error: " in line})


def include_flags(root=ROOT):
    """The folders of all layers, and what pkg-config says of the libraries."""
    flags = [f for folder in [*RANK, *ROOMS] for f in ("-iquote", folder) if (root / folder).is_dir()]
    libraries = subprocess.run(["pkg-config", "--cflags", "libuv", "jansson", "yaml-0.1", "sqlite3", "libxxhash", "libpq", "libmongoc-1.0"],
                               capture_output=True, text=True, check=False)
    return flags + libraries.stdout.split()


# Headers that are included for their rows or made anew by each includer.
TEMPLATES = re.compile(r"_tbl\.h$|^hmap\.h$")


def headers_alone(paths, root=ROOT):
    """Each header must compile without anything before it, so that it can be read alone."""
    flags = include_flags(root)

    def compile_one(path):
        with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
            f.write(f'#include "{path.name}"\n#include "{path.name}"\n')
            f.flush()
            done = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                                   "-iquote", str(path.parent), *flags, f.name],
                                  cwd=root, capture_output=True, text=True, check=False)
            return [] if done.returncode == 0 else [f"{path}: does not compile alone:\n{done.stderr[:600]}"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = [p for p in paths if p.suffix == ".h" and p.parts[0] != "tests" and not TEMPLATES.search(p.name)]
        return sum(pool.map(compile_one, chosen), [])


# ---- The tree --------------------------------------------------------------------------------------------------

def read_sources(root=ROOT):
    return {p: (root / p).read_text() for p in tracked(root) if is_code(p)}


TEXT_SUFFIXES = {".c", ".h", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".yaml", ".yml", ".re", ".y", ".js", ""}
DATA_FOLDERS = ("tests/fuzz/corpus/",)


def read_texts(root=ROOT):
    for path in tracked(root):
        if path.suffix in TEXT_SUFFIXES and not path.as_posix().startswith(DATA_FOLDERS) and path.name != "LICENSE":
            yield path, (root / path).read_text()


def all_checks(root=ROOT):
    sources = read_sources(root)
    yield "layers", check_layers(sources)
    yield "length", check_length(sources, read_ratchet())
    yield "banned calls", check_banned(sources)
    yield "text", [c for path, text in read_texts(root) for c in check_text(path, text)]
    yield "first comments", [c for path, text in sources.items() if path.parts[0] != "tests"
                             for c in check_first_comment(path, text)]
    yield "enum switches", check_assertions_of_enums(sources)
    yield "read-mes", check_readmes(root)
    yield "clang-format", clang_format(list(sources), root)
    yield "headers alone", headers_alone(list(sources), root)


def main():
    if "--ratchet" in sys.argv:
        found = long_things(read_sources())
        head = "# Functions over the limit and files over the limit that we know of. Numbers may only go down, lines only away.\n"
        RATCHET.write_text(head + "".join(f"{what} {lines}\n" for what, lines in sorted(found.items())))
        return
    bad = 0
    for name, complaints in all_checks():
        print(f"{name}: {len(complaints) or 'fine'}")
        for c in complaints:
            print(f"  {c}")
        bad += len(complaints)
    for path, text in read_sources().items():
        if FILE_LINES_WARN < text.count("\n") <= FILE_LINES:
            print(f"note: {path} has {text.count(chr(10))} lines, more than {FILE_LINES_WARN}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
