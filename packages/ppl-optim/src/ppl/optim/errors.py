"""What an optimizer raises when its options make no sense."""

from __future__ import annotations

from ppl.errors import PPLError


class OptimError(PPLError, ValueError):
    """The options or the state of an optimizer do not fit its parameters."""


class UnknownOptionError(OptimError, TypeError):
    """An option that the optimizer does not take: a TypeError too, as torch raises for it."""
