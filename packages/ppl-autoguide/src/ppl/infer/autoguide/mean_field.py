"""What guides of independent normals leave out, and how to get it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl.errors import PPLError
from ppl.ops.hessian import hessian
from ppl.randomness import seeded
from ppl.validation import validation_enabled

from .balanced_noise import balanced_noise
from .curvature import inverse_root
from .diagnostics import TOO_NARROW, GuideDiagnostics
from .guide import AutoGuide
from .vector_density import OF_POINTS, Density, VectorDensity

if TYPE_CHECKING:
    from .auto_multivariate_normal import AutoMultivariateNormal


class MeanField(AutoGuide):
    """Base class of guides whose components are independent normals on the unconstrained scale.

    Where components of the posterior depend on each other, the best of such guides has the scales
    that they have given the others: it is too narrow.
    """

    def _independent(self, normal: AutoMultivariateNormal) -> tuple[Tensor, Tensor] | None:
        """Return means and deviations as vectors with the layout of a guide.

        None in a derived class whose components are not independent.
        """
        raise NotImplementedError

    def linear_response(
        self, *args: Any, num_draws: int = 32, **kwargs: Any
    ) -> AutoMultivariateNormal:
        """Return a normal guide with the means of this one and covariances of linear response.

        How do the means move if the log density is tilted a little? That is the covariance, of the
        posterior as of its best approximation, and it is exact where the posterior is normal
        (Giordano, Broderick and Jordan 2018, "Covariances, robustness, and variational Bayes",
        equation 14). The guide has to be trained: at its best the means answer to nothing else.
        It costs ``2 * latent_dim`` gradients at ``num_draws`` points.

        Args:
            args: The arguments of the model, with all of the data.
            num_draws: How many draws of this guide average the curvature; a seed fixes them.
            kwargs: The arguments by name.

        Raises:
            NotImplementedError: If the components of the guide are not independent.
            NotFiniteError: If the guide is not at an optimum.
            ArgumentError: If a plate is subsampled.

        Example:
            >>> import ppl.distributions as dist
            >>> from ppl.infer.autoguide import AutoDiagonalNormal, init_to_value
            >>> from ppl.primitives import sample
            >>> mean, tril = torch.zeros(2), torch.tensor([[1.0, 0.0], [2.0, 1.0]])
            >>> def model():
            ...     sample("z", dist.MultivariateNormal(mean, scale_tril=tril))
            >>> guide = AutoDiagonalNormal(model, init_to_value(values={"z": mean}))
            >>> guide.setup()
            >>> guide.linear_response().get_posterior().covariance_matrix.detach().round(decimals=4)
            tensor([[1., 2.],
                    [2., 5.]])
        """
        from .auto_multivariate_normal import AutoMultivariateNormal

        self.setup(*args, **kwargs)
        normal = AutoMultivariateNormal(
            self.model, self.init_loc_fn, create_plates=self.create_plates
        )
        normal.setup(*args, **kwargs)
        found = self._independent(normal)
        if found is None:
            raise NotImplementedError(
                f"{type(self).__name__} has covariances of its own; linear response is for guides "
                "of independent normals, AutoNormal and AutoDiagonalNormal"
            )
        loc, scale = (x.detach() for x in found)
        density = VectorDensity(normal, args, kwargs)
        names = normal.component_names() * 2
        curvature = _curvature(density, loc, scale, 2 * (num_draws // 2))
        tril = inverse_root(curvature, names, "the negative ELBO")
        normal.set_moments(loc, tril[: len(loc), : len(loc)])  # of the means: the upper left block
        return normal

    def diagnose(self, model: Any, *args: Any, **options: Any) -> GuideDiagnostics:
        """Return how far to believe the guide, and which sites it is too narrow for.

        See :meth:`AutoGuide.diagnose`; the spreads are those of :meth:`linear_response`.
        """
        found = super().diagnose(model, *args, **options)
        kwargs = {k: x for k, x in options.items() if k not in ("num_draws", "parallel")}
        return replace(found, **self._spread(args, kwargs))

    def _spread(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return by how much each site is too narrow; nothing if that cannot be found out."""
        try:
            wide = self.linear_response(*args, **kwargs)
        except (PPLError, NotImplementedError, *OF_POINTS):  # the weights have spoken
            return {}
        found = self._independent(wide)
        assert found is not None
        ratios = wide.layout.unpack(wide.get_posterior().stddev.detach() / found[1].detach())
        spread = {name: ratio.max().item() for name, ratio in ratios.items()}
        narrow = tuple(name for name, ratio in spread.items() if ratio > TOO_NARROW)
        return {"spread": spread, "narrow_sites": narrow, "has_linear_response": True}


@validation_enabled(False)
def _curvature(density: Density, loc: Tensor, scale: Tensor, num_draws: int) -> Tensor:
    """Return the Hessian of the negative ELBO in means and log scales, ``(2 * dim, 2 * dim)``."""
    with seeded(0), torch.enable_grad():
        noise = balanced_noise(num_draws, loc)
        parameters = torch.cat([loc, scale.log()]).requires_grad_()
        mean, log_scale = parameters.split(len(loc))
        points = mean + log_scale.exp() * noise
        log_joint = torch.func.vmap(density, randomness="different")(points)
        return hessian(-log_joint.mean() - log_scale.sum(), parameters).detach()
