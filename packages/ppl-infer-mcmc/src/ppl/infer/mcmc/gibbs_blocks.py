"""The blocks of Gibbs sampling: checks of what was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ppl.errors import ArgumentError, ArgumentTypeError, SiteError
from ppl.infer.mcmc import arguments
from ppl.infer.mcmc.gradient_kernel import GradientKernel
from ppl.infer.mcmc.mcmc_kernel import MCMCKernel
from ppl.infer.mcmc.random_walk import RandomWalkKernel
from ppl.plugins import nearest

Model = Callable[..., Any]


def checked_block(block: Any) -> tuple[Any, list[str]]:
    """Return a kernel and the names of its sites, if they are such a pair."""
    if not isinstance(block, tuple) or len(block) != 2:
        raise ArgumentTypeError(
            f"a block of Gibbs is a pair of a kernel and the names of its sites, such as "
            f"(NUTS, ['x']), got {block!r}"
        )
    kernel, names = block
    if not isinstance(kernel, MCMCKernel) and not callable(kernel):
        raise ArgumentTypeError(f"a block of Gibbs needs a kernel, such as NUTS, got {kernel!r}")
    found = arguments.names_of_sites("the sites of a block of Gibbs", names)
    if not found:
        raise ArgumentError(
            f"the block of {name_of(kernel)} has no sites: name some, or leave it out"
        )
    return kernel, found


def model_of(blocks: Sequence[tuple[Any, list[str]]]) -> Model:
    """Return the model that one of the kernels brings."""
    for kernel, _ in blocks:
        if isinstance(kernel, MCMCKernel) and getattr(kernel, "model", None) is not None:
            model: Model = kernel.model  # type: ignore[attr-defined]
            return model
    raise ArgumentError(
        "Gibbs has no model: pass it, Gibbs([(NUTS, ['x']), ...], model), or kernels that have it, "
        "Gibbs([(NUTS(model), ['x']), ...])"
    )


def check_once(blocks: Sequence[tuple[Any, list[str]]]) -> None:
    """Check that no site is in several blocks."""
    seen: set[str] = set()
    for kernel, names in blocks:
        if both := seen & set(names):
            raise ArgumentError(
                f"the sites {sorted(both)} are in several blocks, the last that of "
                f"{name_of(kernel)}"
            )
        seen |= set(names)


def check_all(blocks: Sequence[tuple[Any, list[str]]], latent: Mapping[str, Any]) -> None:
    """Check that each latent site is in a block, and is of a kind that its kernel moves."""
    named = [name for _, names in blocks for name in names]
    for name in named:
        if name not in latent:
            raise ArgumentError(
                f"a block of Gibbs names a site {name!r} that is not among the latent sites, "
                f"{sorted(latent)}{nearest(name, sorted(latent))}"
            )
    if left := sorted(latent.keys() - set(named)):
        kinds = {n: latent[n]["fn"].support.is_discrete for n in left}
        offers = [f"({'DiscreteGibbs' if kinds[n] else 'NUTS'}, [{n!r}])" for n in left]
        raise ArgumentError(
            f"the latent sites {left} are in no block of Gibbs; add {', '.join(offers)}"
        )
    for kernel, names in blocks:
        for name in names:
            if latent[name]["fn"].support.is_discrete and _follows_gradients(kernel):
                raise SiteError(
                    f"site {name!r} is discrete, and {name_of(kernel)} moves continuous sites; "
                    "give it to DiscreteGibbs",
                    site=name,
                )


def _follows_gradients(kernel: Any) -> bool:
    made = kernel if isinstance(kernel, type) else type(kernel)
    return issubclass(made, (GradientKernel, RandomWalkKernel))


def name_of(kernel: Any) -> str:
    """Return what a reader calls a kernel."""
    return kernel.__name__ if hasattr(kernel, "__name__") else type(kernel).__name__
