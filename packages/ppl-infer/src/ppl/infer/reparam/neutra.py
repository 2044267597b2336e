"""Neural transport: all latent sites as one, in the space of a trained guide."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.distributions import biject_to

from ppl.distribution.util import sum_rightmost
from ppl.errors import ArgumentTypeError, ShapeError, SiteError, warn
from ppl.poutine.indep_messenger import IndepMessenger
from ppl.poutine.messenger import block_messengers
from ppl.poutine.util import prune_subsample_sites
from ppl.primitives import factor, sample

from .guide_reparam import GuideReparam
from .layers import Layers
from .reparam import ReparamMessage, ReparamResult

Site = dict[str, Any]


class NeuTraReparam(GuideReparam):
    """Writes all latent sites as functions of ``x_shared_latent``, for ``x`` the first of them.

    The function is the transform of a trained guide, on the unconstrained scale: where the guide is
    good, the posterior of the auxiliary site is near to the guide's base distribution, and easy for
    HMC (Hoffman et al. 2019, "NeuTra-lizing bad geometry in Hamiltonian Monte Carlo using neural
    transport", equation 4). All sites share one instance, and the model has the same sites, in the
    same order, in each run::

        neutra = NeuTraReparam(guide)
        kernel = NUTS(neutra.reparam(model))
        ...
        samples = neutra.transform_sample(mcmc.get_samples()["x_shared_latent"])

    Args:
        guide: A trained guide of the ``AutoContinuous`` family: an object with ``get_base_dist()``,
            ``get_transform()`` and ``prototype_trace``.
    Raises:
        ArgumentTypeError: If ``guide`` is of another kind.
        LatentOnlyError: For a site that is latent in the guide and observed in the model.
        SiteError: If the guide was not called yet.
        ShapeError: If the guide has another number of components than its sites.
    """

    def __init__(self, guide: Any) -> None:
        if not all(hasattr(guide, name) for name in ("get_base_dist", "get_transform")):
            raise ArgumentTypeError(
                "NeuTraReparam needs a guide of the AutoContinuous family, such as "
                f"AutoMultivariateNormal or AutoIAFNormal, got {guide!r}"
            )
        super().__init__(guide)

    def apply(self, msg: ReparamMessage) -> ReparamResult:
        name, fn = msg["name"], msg["fn"]
        sites = self._sites()
        if name not in sites:  # observed, deterministic, or none of the guide's
            return {"fn": fn, "value": msg["value"], "is_observed": msg["is_observed"]}
        self._require_latent(msg, "train the guide on the model with the same observations")
        if msg["value"] is not None:
            warn(
                f"site {name!r}: its initial value is left out, as NeuTraReparam has one latent "
                "site for all; give an initial value of that, or none"
            )
        unconstrained: Tensor = self._next(name, lambda: self._draw(name, sites))
        transform = biject_to(fn.support)
        value = transform(unconstrained)
        log_det = transform.log_abs_det_jacobian(unconstrained, value)
        log_det = sum_rightmost(log_det, log_det.dim() - len(fn.batch_shape))
        return Layers(fn, ()).computed(value, fn.log_prob(value) + log_det)

    def _draw(self, name: str, sites: dict[str, Site]) -> dict[str, Tensor]:
        transform = self.guide.get_transform()
        base = self.guide.get_base_dist()
        base = base.to_event(len(base.batch_shape))
        with block_messengers(lambda handler: isinstance(handler, IndepMessenger)):
            latent = sample(f"{name}_shared_latent", base.mask(False))
            unconstrained = transform(latent)
            log_det = transform.log_abs_det_jacobian(latent, unconstrained).sum()
            factor(f"{name}_shared_log_det", log_det, has_rsample=True)
        return dict(_unpack(unconstrained, sites))

    def _sites(self) -> dict[str, Site]:
        trace = self.guide.prototype_trace
        if trace is None:
            raise SiteError(
                "NeuTraReparam: the guide has not seen its model yet; train it, or call it once "
                "with the model's arguments"
            )
        return dict(prune_subsample_sites(trace).iter_stochastic_nodes())

    def transform_sample(self, latent: Tensor) -> dict[str, Tensor]:
        """Return the values of the model's latent sites, by name, at values of the shared one.

        Args:
            latent: Shape ``(*draw, size)``. Dimensions of size 1 at the end of ``draw`` make room
                for plates: they are not in the result where a site has these.

        Returns:
            Shapes ``(*draw, *site)``.
        """
        sites = self._sites()
        unconstrained = _unpack(self.guide.get_transform()(latent), sites)
        return {name: biject_to(sites[name]["fn"].support)(x) for name, x in unconstrained}


def _unpack(packed: Tensor, sites: dict[str, Site]) -> Iterator[tuple[str, Tensor]]:
    """Return the parts of a vector that belong to the sites, in their order and shapes."""
    shapes = {name: biject_to(s["fn"].support).inv(s["value"]).shape for name, s in sites.items()}
    sizes = [shape.numel() for shape in shapes.values()]
    if sum(sizes) != packed.shape[-1]:
        raise ShapeError(
            f"NeuTraReparam: the transform of the guide returns {packed.shape[-1]} components, but "
            f"its latent sites have {sum(sizes)} on the unconstrained scale"
        )
    for (name, shape), part in zip(shapes.items(), packed.split(sizes, -1), strict=True):
        draw_shape = part.shape[:-1]
        for _ in sites[name]["fn"].batch_shape:
            if draw_shape and draw_shape[-1] == 1:
                draw_shape = draw_shape[:-1]
        yield name, part.reshape(draw_shape + shape)
