"""The abstract interface, at the path that programs import it from."""

from __future__ import annotations

from ppl.distribution import Distribution as Distribution
