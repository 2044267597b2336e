"""No page and no message sends anybody to the project of another owner that is called ppl."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"(?P<before>\w*)[\s`#]*(?:pip|uv add|uv pip) install (?:-\S+ )*ppl(?![-\w=])")


def test_no_text_says_to_install_the_project_of_another_owner():
    places = ["README.md", "CONTRIBUTING.md", "docs", "packages"]
    files = [f for place in places for f in [ROOT / place, *(ROOT / place).rglob("*")]]
    texts = {f: f.read_text("utf-8") for f in files if f.suffix in (".md", ".py") and f.is_file()}
    found = {f: m for f, text in texts.items() for m in COMMAND.finditer(text)}
    assert len(texts) > 100
    assert [
        f for f, match in found.items() if match["before"].lower() not in ("not", "never")
    ] == []


def test_the_pattern_finds_what_it_looks_for():
    assert COMMAND.search("pip install ppl") and COMMAND.search("pip install -q ppl torch")
    assert not COMMAND.search("pip install ppl-all") and not COMMAND.search("pip install ppl_x")
