"""``broadcast``: expand distributions to the plates around them."""

from __future__ import annotations

from typing import Any

from ..errors import PlateError, ShapeError, SubsampleError
from .messenger import Messenger

_SIZE_CURE = "declare event dimensions with .to_event(n), or correct the plate's size or dim"


class BroadcastMessenger(Messenger):
    """Expands the batch shape of each sample site to the sizes of its plates."""

    @staticmethod
    def _pyro_sample(msg: dict[str, Any]) -> None:
        fn = msg["fn"]
        if msg["done"] or not hasattr(fn, "expand"):
            return
        target = plate_shape(msg["name"], msg["cond_indep_stack"], fn.batch_shape)
        if target != tuple(fn.batch_shape):
            msg["fn"] = fn.expand(target)


def plate_shape(name: str, frames: Any, batch_shape: Any) -> tuple[int, ...]:
    """Return the batch shape of a site inside plates: the plates' sizes over its own.

    Raises:
        ShapeError: If a batch dimension is neither 1 nor the size of its plate.
        PlateError: If two plates share a dimension.
    """
    shape, owners = list(batch_shape), dict[int, str]()
    for frame in frames:
        if frame.dim is None:
            continue
        shape = [1] * (-frame.dim - len(shape)) + shape
        if frame.dim in owners:
            raise PlateError(
                f"site {name!r}: plates {owners[frame.dim]!r} and {frame.name!r} share dim "
                f"{frame.dim}; give them different dims, or leave dim out",
                site=name,
            )
        owners[frame.dim] = frame.name
        if frame.size not in (-1, shape[frame.dim]) and shape[frame.dim] != 1:
            raise _misfit(name, frame, batch_shape, shape[frame.dim])
        if frame.size != -1:
            shape[frame.dim] = frame.size
    return tuple(shape)


def _misfit(name: str, frame: Any, batch_shape: Any, found: int) -> ShapeError:
    """Return the error about a batch dimension that has another size than its plate."""
    cls, cure = ShapeError, _SIZE_CURE
    if found == frame.full_size:
        cls, cure = SubsampleError, whole_plate_cure(frame)
    return cls(
        f"site {name!r}: its distribution has batch_shape {tuple(batch_shape)}, but plate "
        f"{frame.name!r} needs size {frame.size} at dim {frame.dim}; {cure}",
        site=name,
    )


def whole_plate_cure(frame: Any) -> str:
    """Return what to do about data as large as a plate that uses a part of its elements."""
    return (
        f"the plate uses {frame.size} of its {frame.full_size} elements: take these from the data "
        f"too, with plate({frame.name!r}, ...) as index: data[index]"
    )
