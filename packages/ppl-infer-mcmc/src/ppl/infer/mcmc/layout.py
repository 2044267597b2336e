"""How the values of named sites lie in the flat vector of a chain."""

from ppl.infer.layout import Layout as Layout
