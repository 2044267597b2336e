"""The parts of a score, at the path that programs import them from."""

from __future__ import annotations

from ppl.distribution import ScoreParts as ScoreParts
