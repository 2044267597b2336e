"""Configuration of Sphinx; writes one page of the API for each distribution before it reads."""

from __future__ import annotations

from pathlib import Path

import tomli

ROOT = Path(__file__).resolve().parent.parent
API = Path(__file__).resolve().parent / "api"

project = "ppl"
author = "the ppl contributors"
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_heading_anchors = 2

autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "ignore-module-all": True,  # a thing is described where it is defined, not where it is shown
}
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # those of torch are written for other pages
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True  # the fields of a record are described once


def public_modules(source: Path) -> list[str]:
    """Return the dotted names of the modules below ``source`` that have no leading underscore."""
    paths = [file.relative_to(source).with_suffix("").parts for file in source.rglob("*.py")]
    names = {parts[:-1] if parts[-1] == "__init__" else parts for parts in paths}
    return sorted(".".join(parts) for parts in names if not any(p.startswith("_") for p in parts))


def page(distribution: Path) -> str:
    """Return the page of a distribution: what it is, then its modules by name."""
    text = (distribution / "pyproject.toml").read_text(encoding="utf-8")
    title, about = (tomli.loads(text)["project"][key] for key in ("name", "description"))
    modules = [
        f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n"
        for module in public_modules(distribution / "src")
    ]
    return "\n".join([f"# {title}\n", f"{about}\n", *modules])


def write_pages() -> None:
    """Write the pages, touching only those that changed, so that Sphinx can build by increments."""
    API.mkdir(exist_ok=True)
    pages = {p.parent.name: page(p.parent) for p in ROOT.glob("packages/*/src")}
    for name, text in pages.items():
        file = API / f"{name}.md"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
    for file in API.glob("*.md"):
        if file.stem not in pages:
            file.unlink()


write_pages()
