"""The measure of public types: which distribution a symbol counts for, and what is too little."""

from __future__ import annotations

from typing import Any

import pytest
from tools import public_types
from tools.public_types import owner_of, reasons, scores_by_distribution

MODULES = {"ppl": "ppl-core", "ppl.optim": "ppl-optim", "ppl.optim.multi": "ppl-optim"}


def symbol(name: str, is_known: bool = True, *messages: str) -> dict[str, Any]:
    diagnostics = [{"message": message} for message in messages]
    return {"name": name, "isTypeKnown": is_known, "isExported": True, "diagnostics": diagnostics}


@pytest.mark.parametrize(
    "name, owner",
    [
        ("ppl.sample", "ppl-core"),
        ("ppl.optim", "ppl-optim"),
        ("ppl.optim.multi.Newton.trust_radii", "ppl-optim"),
    ],
)
def test_a_symbol_counts_for_the_distribution_of_its_innermost_module(
    name: str, owner: str
) -> None:
    assert owner_of(name, MODULES) == owner


def test_each_distribution_is_measured_by_its_own_symbols() -> None:
    symbols = [symbol("ppl.sample"), symbol("ppl.optim.Adam"), symbol("ppl.optim.Lion", False)]
    scores = scores_by_distribution(symbols, MODULES)
    assert {name: score.share for name, score in scores.items()} == {
        "ppl-core": 1.0,
        "ppl-optim": 0.5,
    }


def test_one_distribution_below_the_bar_fails_and_names_what_to_annotate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = [symbol("ppl.sample"), symbol("ppl.optim.Lion", False, "Type is missing")]
    monkeypatch.setattr(public_types, "module_owners", lambda: MODULES)
    monkeypatch.setattr(public_types, "public_symbols", lambda: report)
    assert public_types.main() == 1
    assert "ppl.optim.Lion: Type is missing" in capsys.readouterr().out
    monkeypatch.setattr(public_types, "public_symbols", lambda: report[:1])
    assert public_types.main() == 0


def test_a_symbol_that_is_only_built_on_another_is_not_named_itself() -> None:
    assert reasons(symbol("ppl.optim.Lion", False)) == []
