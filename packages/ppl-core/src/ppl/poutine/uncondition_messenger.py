"""``uncondition``: sample at observed sites."""

from __future__ import annotations

from typing import Any

from .messenger import Messenger


class UnconditionMessenger(Messenger):
    """Makes observed sites latent again, so they are drawn; ``infer["obs"]`` keeps the data.

    A ``deterministic`` site stays what is computed from the others.
    """

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"] and not msg["infer"].get("_deterministic"):
            msg["infer"]["was_observed"] = True
            msg["infer"]["obs"] = msg["value"]
            msg.update(is_observed=False, value=None, done=False)
