"""Pages as the tests read them: fenced blocks, and what the comments before them say.

Comments on the lines before a block, in this order of use:

    <!-- not run: WHY -->           the block is left out
    <!-- file: NAME -->             the block is the file NAME
    <!-- before: COMMAND -->        what the block needs and the page has not made
    <!-- smaller: OLD => NEW -->    a size that would take long
    <!-- after: COMMAND -->         what shows that the block is right

Blocks of `sh` (commands, `> FILE`, comments, nothing else of the shell) and `python` run, in their order, those of one
page in one empty folder that holds `examples/`; `yaml` and others are files; `text` is for formulas and output, and
fails where it looks like a command.

Inversions search with 64 draws and one start, end with 50 effective draws and run in one process; a scan is inverted
once, however many pages do it, and files of pictures are not drawn. So a page shows that its commands work and fit
together; that their results are right is what the other tests and the benchmarks are for.

`make docs` builds the site, and fails for a link, an anchor or a page that is not there; `python docs/pictures.py`
draws the pictures of the pages.
"""

import re
import shlex
from dataclasses import dataclass, field

RUN = ("sh", "python")
# Formulas, output and parts of files.
SHOWN = ("text",)
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$", re.M | re.S)
COMMENT = re.compile(r"^ *<!-- (not run|file|before|smaller|after): (.*?) -->$")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, its text, its line, and what the comments before it say, by their kind."""

    language: str
    text: str
    line: int
    said: dict[str, list[str]] = field(default_factory=dict)

    def made_smaller(self) -> str:
        """The text with the sizes of the tests.

        Raises:
            ValueError: the text does not hold what is to be replaced.
        """
        text = self.text
        for change in self.said.get("smaller", ()):
            old, arrow, new = change.partition(" => ")
            if not arrow or old not in text:
                raise ValueError(f"line {self.line}: the block does not hold {old!r}")
            text = text.replace(old, new)
        return text


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page, in order."""
    found = []
    for match in FENCE.finditer(page):
        lines = page[: match.start()].splitlines()
        said: dict[str, list[str]] = {}
        for line in reversed(lines):
            comment = COMMENT.match(line)
            if comment is None:
                break
            said.setdefault(comment[1], []).insert(0, comment[2])
        width = len(match["indent"])
        text = "".join(line[width:] or "\n" for line in match["text"].splitlines(keepends=True))
        found.append(Block(language=match["language"], text=text, line=len(lines) + 1, said=said))
    return found


def commands(text: str) -> list[tuple[list[str], str | None]]:
    """Words of each command of a shell block, and the file that takes its output.

    Raises:
        ValueError: more shell than that.
    """
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if {"|", "&&", "<", ">>", ";"} & set(words):
            raise ValueError(f"{line}: the tests read commands and > FILE, no more shell")
        target = None
        if ">" in words:
            words, (target,) = words[: words.index(">")], words[words.index(">") + 1 :]
        found.append((words, target))
    return found
