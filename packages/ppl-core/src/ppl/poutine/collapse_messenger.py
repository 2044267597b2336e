"""``collapse``: integrate conjugate sites out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..arguments import names
from ..distribution.util import scale_and_mask
from ..errors import SiteError
from .broadcast_messenger import plate_shape
from .cond_indep_stack_frame import CondIndepStackFrame
from .conjugacy import Rule, find_rule, has_rules
from .marked_tensor import MarkedTensor, mark, marks_of, unmark
from .messenger import Messenger
from .runtime import get_plates


class _Datum(NamedTuple):
    """What an observed site has to do with a collapsed one."""

    handler: CollapseMessenger
    site: str
    rule: Rule
    scale: Any
    mask: Any


@dataclass
class _Collapsed:
    """A latent site, and what the data seen so far say about it."""

    prior: Any
    posterior: Any
    scale: Any  # of the site itself, from handlers further in
    plates: tuple[CondIndepStackFrame, ...]  # further in
    value: Tensor  # anywhere in the support
    log_likelihood: Tensor | float = 0.0  # at the value, shape of the prior's batch

    def learn(self, fn: Any, data: Tensor, datum: _Datum) -> None:
        """Take the data of a site into account."""
        scale = datum.scale / self.scale
        data_batch = data.shape[: data.dim() - len(fn.event_shape)]
        ones = self.value.new_ones(torch.broadcast_shapes(fn.batch_shape, data_batch))
        parameters = datum.rule(self.posterior, fn, data, scale_and_mask(ones, scale, datum.mask))
        self.posterior = type(self.prior)(**parameters)
        log_likelihood = scale_and_mask(unmark(fn.log_prob(data)), scale, datum.mask)
        self.log_likelihood += log_likelihood.sum_to_size(self.prior.batch_shape)


class CollapseMessenger(Messenger):
    """Integrates latent sites out whose data are conjugate to them.

    In place of a latent site ``x`` and of its observed children, handlers further out see the
    marginal density of the data, as a factor named ``x_evidence``, and ``x`` as a deterministic
    value drawn from its posterior. The density follows from Bayes' theorem at any value ``x``:
    ``log p(y) = log p(x) + log p(y | x) - log p(x | y)`` (Chib 1995, equation 5).

    Inside, the program sees a value of ``x`` that is good for nothing but to be a parameter of
    observed sites. Conjugate are: Beta with the ``probs`` of Bernoulli and Binomial, Dirichlet with
    those of Categorical and Multinomial, Gamma with the ``rate`` of Exponential and Poisson, Normal
    with the ``loc`` of Normal.

    Args:
        sites: Names of the sites; default: every latent site of one of these families.

    Raises:
        SiteError: If a site depends on a collapsed one in another way; it names both.

    Example:
        >>> from torch.distributions import Bernoulli, Beta
        >>> from ppl.poutine import trace
        >>> from ppl.primitives import sample
        >>> def coin():
        ...     p = sample("p", Beta(1.0, 1.0))
        ...     sample("y", Bernoulli(p), obs=torch.tensor(1.0))
        >>> trace(CollapseMessenger()(coin)).get_trace().log_prob_sum().exp()
        tensor(0.5000)
    """

    _keeps_notes = True

    def __init__(self, sites: Collection[str] | None = None) -> None:
        self.sites: Sequence[str] | None = names("sites of collapse", sites)
        self._reset()

    def __enter__(self) -> CollapseMessenger:
        self._reset()
        return super().__enter__()

    def __exit__(self, *exception: Any) -> Any:
        super().__exit__(*exception)
        if exception[0] is None:
            for name, collapsed in self._collapsed.items():
                _tell_outside(name, collapsed)
        return None

    def _reset(self) -> None:
        self._collapsed: dict[str, _Collapsed] = {}

    def _pyro_sample(self, msg: dict[str, Any]) -> None:
        marks = dict(marks_of(msg["fn"])) if hasattr(msg["fn"], "__dict__") else {}
        if isinstance(msg["value"], MarkedTensor):
            marks["value"] = msg["value"]
        if any(marked.site in self._collapsed for marked in marks.values()):
            name, rule = self._known_rule(msg, marks)
            # scale and mask of here: those from further out will apply to the evidence
            msg["_conjugate"] = _Datum(self, name, rule, msg["scale"], msg["mask"])
            msg["infer"]["_do_not_trace"] = True
        elif not msg["is_observed"] and self._is_meant(msg):
            self._collapse(msg)

    def _is_meant(self, msg: dict[str, Any]) -> bool:
        return has_rules(msg["fn"]) if self.sites is None else msg["name"] in self.sites

    def _collapse(self, msg: dict[str, Any]) -> None:
        name, prior = msg["name"], msg["fn"]
        if not has_rules(prior) or msg["mask"] is not None:
            raise SiteError(
                f"site {name!r} cannot be collapsed: no conjugate data are known for {prior}"
                f"{', or it is masked' if msg['mask'] is not None else ''}; name the sites to "
                "collapse, as in poutine.collapse(model, sites=[...])"
            )
        prior = prior.expand(plate_shape(name, get_plates(), prior.batch_shape))
        value = prior.mean.detach()
        plates = msg["cond_indep_stack"]
        self._collapsed[name] = _Collapsed(prior, prior, msg["scale"], plates, value)
        msg.update(value=mark(value, name), done=True, stop=True)

    def _known_rule(self, msg: dict[str, Any], marks: dict[str, MarkedTensor]) -> tuple[str, Rule]:
        """Return the site that a site depends on, and the rule of the pair."""
        origin = next(m.site for m in marks.values() if m.site in self._collapsed)
        rule = None
        if len(marks) == 1 and all(m.is_exact for m in marks.values()):
            rule = find_rule(self._collapsed[origin].prior, msg["fn"], *marks)
        if rule is None:
            raise SiteError(
                f"site {msg['name']!r} depends on the collapsed site {origin!r} by its "
                f"{', '.join(marks)}, in a way that is not known to be conjugate; leave {origin!r} "
                "out of poutine.collapse(model, sites=[...])"
            )
        return origin, rule

    def _pyro_post_sample(self, msg: dict[str, Any]) -> None:
        datum = msg.get("_conjugate")
        if datum is None or datum.handler is not self:
            return
        if not msg["is_observed"]:
            raise SiteError(
                f"site {msg['name']!r} depends on the collapsed site {datum.site!r} and is not "
                f"observed; observe it, or leave {datum.site!r} out of poutine.collapse(model, "
                "sites=[...])"
            )
        self._collapsed[datum.site].learn(msg["fn"], msg["value"], datum)
        del msg["infer"]["_do_not_trace"]  # handlers further in may


class _Place(Messenger):
    """Puts what happens inside to the place in the program where a site was."""

    def __init__(self, site: _Collapsed) -> None:
        self.site = site

    def _process_message(self, msg: dict[str, Any]) -> None:
        msg["cond_indep_stack"], msg["scale"] = self.site.plates, self.site.scale


def _tell_outside(name: str, site: _Collapsed) -> None:
    from ..primitives import deterministic, factor  # they need the handlers first

    joint = site.prior.log_prob(site.value) + site.log_likelihood
    with _Place(site):
        factor(f"{name}_evidence", joint - site.posterior.log_prob(site.value))
        deterministic(name, site.posterior.sample(), event_dim=len(site.prior.event_shape))
