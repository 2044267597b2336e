"""Every broken model gets exactly its report, and good ones get none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import ppl
from ppl.checker.codes import markdown_table

from . import broken_guides, broken_parameters, broken_shapes, broken_sites, broken_values
from .good import GOOD

THEMES = (broken_sites, broken_shapes, broken_values, broken_guides, broken_parameters)
BROKEN = [entry for theme in THEMES for entry in theme.shown.entries]


@pytest.fixture(autouse=True)
def _fresh_state():
    ppl.set_rng_seed(0)
    with ppl.param_store():
        yield


@pytest.mark.parametrize("entry", BROKEN, ids=str)
def test_a_broken_model_gets_exactly_its_report(entry):
    report = entry.check()
    assert {(finding.code, finding.site) for finding in report} == set(entry.report), str(report)
    assert len(report) == len(entry.report)


@pytest.mark.parametrize("entry", BROKEN, ids=str)
def test_findings_about_a_site_point_into_the_model(entry):
    for finding in entry.check():
        if finding.site is not None and finding.code != "PPL106":
            assert finding.line is not None
            assert "broken_" in finding.line


@pytest.mark.parametrize("entry", GOOD, ids=str)
def test_a_good_model_gets_an_empty_report(entry):
    report = entry.check()
    assert report.ok, str(report)


def test_every_code_is_in_the_zoo():
    shown = {code for entry in BROKEN for code, _ in entry.report}
    assert shown == set(ppl.checker.CODES)


@pytest.mark.parametrize("entry", [*BROKEN, *GOOD], ids=str)
def test_a_check_leaves_no_trace(entry):
    ppl.param("mine", torch.tensor(1.0))
    before, leaf = torch.get_rng_state(), dict(ppl.get_param_store().named_parameters())["mine"]
    entry.check()
    assert torch.equal(before, torch.get_rng_state())
    [(name, after)] = ppl.get_param_store().named_parameters()
    assert (name, after is leaf) == ("mine", True)


def test_the_documentation_has_the_table_of_codes():
    page = Path(__file__).resolve().parents[2] / "docs" / "checking.md"
    assert markdown_table() in page.read_text(encoding="utf-8")
