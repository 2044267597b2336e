"""Configuration of Sphinx; writes the pages of the reference before it reads."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools import reference  # noqa: E402  # the root of the checkout is no package

API = ROOT / "docs" / "api"

project = "ppl"
author = "the ppl contributors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["wide.css"]
exclude_patterns = ["_build"]
myst_heading_anchors = 2

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # those of torch are written for other pages
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80  # longer ones have a line for each argument
suppress_warnings = ["ref.python"]  # two modules may have an error of the same name
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # the fields of a record are described once

copybutton_selector = "div:not(.highlight-text) > div.highlight pre"  # what is printed stays
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def write_pages() -> None:
    """Write the pages, touching only those that changed, so that Sphinx can build by increments."""
    pages = reference.pages()
    for name, text in pages.items():
        file = API / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for file in API.rglob("*.md"):
        if file.relative_to(API).with_suffix("").as_posix() not in pages:
            file.unlink()


write_pages()
