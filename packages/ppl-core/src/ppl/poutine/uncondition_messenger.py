"""``uncondition``: sample at observed sites."""

from __future__ import annotations

from typing import Any

from .messenger import Messenger


class UnconditionMessenger(Messenger):
    """Makes observed sites latent again, so they are drawn; ``infer["obs"]`` keeps the data."""

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        if msg["is_observed"]:
            msg["infer"]["was_observed"] = True
            msg["infer"]["obs"] = msg["value"]
            msg.update(is_observed=False, value=None, done=False)
