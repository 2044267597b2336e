"""Parameters that are there before the guide that they belong to has seen its model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ppl.errors import ShapeError, SiteError
from ppl.infer.arguments import sizes_of as sizes_of
from ppl.nn import PyroModule

from .attributes import deep_setattr


def hold(guide: PyroModule, values: Mapping[str, Tensor]) -> set[str]:
    """Give a guide plain parameters with these (unconstrained) values, at these paths.

    What is no floating-point number is a buffer, such as a permutation. Returns the paths that the
    guide had not.
    """
    known = {*dict(guide.named_parameters()), *dict(guide.named_buffers())}
    for path, value in values.items():
        if path not in known:
            copied = value.detach().clone()
            held = nn.Parameter(copied) if copied.is_floating_point() else nn.Buffer(copied)
            deep_setattr(guide, path, held)
    return set(values) - known


def take_out(guide: PyroModule, paths: Iterable[str]) -> dict[str, Tensor]:
    """Remove the parameters and buffers at these paths and return them."""
    modules = dict(guide.named_modules())
    leaves = {**dict(guide.named_parameters()), **dict(guide.named_buffers())}
    held = {path: leaves[path] for path in paths}
    for path in held:
        owner, _, key = path.rpartition(".")
        delattr(modules[owner], key)
    return held


def put_in(guide: PyroModule, held: Mapping[str, Tensor]) -> None:
    """Put parameters in the place of those that a guide has declared by now.

    Raises:
        ShapeError: If one has another shape.
        SiteError: If the guide has no parameter of that path.
    """
    buffers, modules = dict(guide.named_buffers()), dict(guide.named_modules())
    declared: dict[str, Tensor] = {**dict(guide.named_parameters()), **buffers}
    for path, leaf in held.items():
        if path not in declared:
            raise SiteError(
                f"the loaded state has parameter {path!r}, but the guide of this model has "
                f"{sorted(declared)}; load the state into a guide of the same model"
            )
        if declared[path].shape != leaf.shape:
            raise ShapeError(
                f"parameter {path!r} has shape {tuple(leaf.shape)} in the loaded state, but the "
                f"model gives {tuple(declared[path].shape)}; call the guide with arguments of the "
                "size that it was fitted with"
            )
        if path in buffers:
            buffers[path].copy_(leaf.detach())
            continue
        owner, _, key = path.rpartition(".")
        modules[owner]._parameters[key] = leaf


def is_of_another(leaf: Tensor, mine: set[nn.Parameter]) -> bool:
    """Return whether a leaf of the parameter store is a module's own and not one of ``mine``.

    What comes from a file is a plain tensor, which no module has taken over yet.
    """
    return is_owned(leaf) and leaf not in mine


def is_owned(leaf: Tensor) -> bool:
    """Return whether a leaf of the parameter store is a module's."""
    return isinstance(leaf, nn.Parameter)
