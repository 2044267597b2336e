"""Everything the READMEs and the pages of docs/ show is run.

A block fenced as python is executed in a fresh interpreter. Where one fenced as text follows, that
is what the program prints; ``...`` stands for anything, as in a doctest, and a number stands for
itself up to the noise of a simulation on another machine.
"""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("packages/*/README.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
]
FENCED = re.compile(
    r"^```python\n(?P<program>.*?)^```\n(?:\s*^```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
LENIENT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NUMBER = re.compile(r"-?\b\d+(?:\.\d+)?(?:e[-+]\d+)?")
NOISE = 0.3  # relative to a number, or absolute below one


class Block(NamedTuple):
    """A program in a page, where it stands, and what the page says it prints."""

    place: str
    program: str
    output: str | None


def blocks_of(text: str, page: str) -> list[Block]:
    """Return the programs of a page."""
    return [
        Block(f"{page}:{text.count(chr(10), 0, found.start()) + 1}", *found.group(1, 2))
        for found in FENCED.finditer(text)
    ]


BLOCKS = [
    block
    for page in PAGES
    for block in blocks_of(page.read_text(encoding="utf-8"), str(page.relative_to(ROOT)))
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_a_code_block_runs_and_prints_what_the_page_says(block: Block, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", block.program]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    if block.output is not None:
        says = f"the page says\n{block.output}\nbut the program prints\n{answer.stdout}"
        assert agree(block.output, answer.stdout), says


def agree(page: str, printed: str) -> bool:
    """Whether the words are the same and the numbers differ by no more than noise."""
    words, found = NUMBER.sub("#", page), NUMBER.sub("#", printed)
    numbers = [tuple(map(float, NUMBER.findall(text))) for text in (page, printed)]
    close = "..." in page or all(
        abs(a - b) <= NOISE * max(abs(a), 1.0) for a, b in zip(*numbers, strict=False)
    )
    return close and doctest.OutputChecker().check_output(words, found, LENIENT)


@pytest.mark.parametrize(
    ("printed", "is_same"),
    [("x 1.02 ok 4100\n", True), ("x 2.1 ok 4100\n", False), ("x 1.0 no 4100\n", False)],
)
def test_numbers_may_differ_by_noise_and_words_may_not(printed: str, is_same: bool) -> None:
    assert agree("x 1.0 ok 4000\n", printed) is is_same


def test_blocks_are_found_with_their_line_and_their_output() -> None:
    page = "a\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n```python\nx = 2\n```\n"
    assert blocks_of(page, "page.md") == [
        Block("page.md:3", "print(1)\n", "1\n"),
        Block("page.md:11", "x = 2\n", None),
    ]


@pytest.mark.parametrize(
    "page", sorted(ROOT.glob("packages/*/README.md")), ids=lambda page: page.parent.name
)
def test_every_distribution_shows_an_example(page: Path) -> None:
    assert blocks_of(page.read_text(encoding="utf-8"), page.name)
