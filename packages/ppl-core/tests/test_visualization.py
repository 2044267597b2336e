"""A trace as a picture."""

import sys
from types import SimpleNamespace

import pytest
import torch

import ppl.poutine as poutine
from ppl.errors import MissingDistributionError
from ppl.primitives import sample
from ppl.util import save_visualization
from ppl.visualization import dot

from .distribution.families import Bernoulli, Normal


def model():
    coin = sample('the "coin"', Bernoulli(torch.tensor(0.5)))
    z = sample("z", Normal(coin, 1.0))
    sample("x", Normal(z, 1.0), obs=torch.tensor(1.0))


TRACE = poutine.trace(model, graph_type="dense").get_trace()


def test_the_graph_shows_sites_by_kind_and_what_may_depend_on_what():
    assert dot(TRACE).splitlines() == [
        "digraph {",
        '"the \\"coin\\"" [style=filled fillcolor=salmon]',
        '"z" [style=filled fillcolor=grey]',
        '"x" [style=filled fillcolor=darkolivegreen3]',
        '"the \\"coin\\"" -> "z"',
        '"the \\"coin\\"" -> "x"',
        '"z" -> "x"',
        "}",
    ]


def test_the_picture_is_drawn_by_graphviz(monkeypatch):
    drawn = []

    class Source:
        def __init__(self, text):
            self.text = text

        def render(self, filename, **options):
            drawn.append((self.text, filename, options["format"]))

    monkeypatch.setitem(sys.modules, "graphviz", SimpleNamespace(Source=Source))
    save_visualization(TRACE, "picture")
    assert drawn == [(dot(TRACE), "picture", "pdf")]


def test_without_graphviz_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(MissingDistributionError, match="pip install graphviz"):
        save_visualization(TRACE, "picture")
