"""What the document tests see of a Markdown page: its fenced blocks with the marker above each, links, code words.

A marker is a comment on the line above a fence:

    <!-- docs: not run: REASON -->            nothing is done with the block; the reason is printed
    <!-- docs: save as NAME -->               yaml: written into the folder where the page's commands run
    <!-- docs: in the background -->          sh: goes on running until the page ends
    <!-- docs: prints -->                     the block above, sql or sh, prints these lines
    <!-- docs: actions of a rule -->         yaml: `actions:` stands in a rule that selects device, t and ts
"""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)```(\w*)\s*$")
MARKER = re.compile(r"^\s*<!-- docs: (.+?) -->\s*$")
LANGUAGES = {"sh", "yaml", "sql", "text", ""}


class Block:
    def __init__(self, page, line, language, comment):
        self.page, self.line, self.language, self.comment = page, line, language, comment
        self.lines = []

    @property
    def text(self):
        return "".join(line + "\n" for line in self.lines)

    def marker(self, start):
        """What stands behind `start` in a marker that begins so; None otherwise."""
        return self.comment[len(start):].strip(" :") if self.comment.startswith(start) else None

    def __str__(self):
        return f"{self.page.name}:{self.line}"


class Page:
    def __init__(self, path):
        self.path, self.name = path, str(path.relative_to(ROOT))
        self.blocks, prose, block, above = [], [], None, ""
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            fence = FENCE.match(line)
            if block is None and fence:
                marker = MARKER.match(above)
                block = Block(self, number, fence[2], marker[1] if marker else "")
                indent = len(fence[1])
            elif block is not None and fence:
                self.blocks.append(block)
                block = None
            elif block is not None:
                block.lines.append(line[indent:])
            else:
                prose.append(line)
            above = line
        assert block is None, f"{self.name}: a fence is not closed"
        self.prose = "\n".join(prose)

    def links(self):
        return re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", re.sub(r"`[^`]*`(?!\])", "", self.prose))

    def words(self):
        """What stands in backticks."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def anchors(self):
        """The headings as links name them."""
        heads = re.findall(r"^#+ (.+)$", self.prose, re.M)
        return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def pages():
    """Every README, and the printed references."""
    found = [p for p in ROOT.rglob("*.md") if not {"build", "node_modules", ".git"} & set(p.relative_to(ROOT).parts[:-1])]
    return [Page(p) for p in sorted(found)]
