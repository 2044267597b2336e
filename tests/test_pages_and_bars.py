"""What people look at: code that fits a window and can be copied, and bars that notebooks draw."""

from __future__ import annotations

import runpy
from pathlib import Path

import tqdm.auto

import ppl.distributions as dist
from ppl.infer import MCMC, NUTS
from ppl.primitives import sample

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_code_in_the_pages_has_a_button_to_copy_it_and_wraps_where_it_would_be_cut_off() -> None:
    settings = runpy.run_path(str(DOCS / "conf.py"))
    assert "sphinx_copybutton" in settings["extensions"]
    (folder,) = settings["html_static_path"]
    rules = [(DOCS / folder / name).read_text("utf-8") for name in settings["html_css_files"]]
    assert "white-space: pre-wrap" in " ".join(rules)


def test_bars_are_those_that_show_widgets_in_notebooks(monkeypatch, capsys) -> None:
    made = []

    class Bar(tqdm.auto.tqdm):
        def __init__(self, *args, **kwargs):
            made.append(self)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    MCMC(NUTS(lambda: sample("x", dist.Normal(0.0, 1.0))), 5, 5).run()
    assert made and "10/10" in capsys.readouterr().err
