"""What a user reads when a site cannot be scored: site, plates, shapes, line and cure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import (
    DtypeError,
    NotFiniteError,
    PPLError,
    ShapeError,
    SiteError,
    SubsampleError,
    SupportError,
)
from ..lines import quote
from ..validation import is_validation_enabled
from . import dtypes
from .broadcast_messenger import whole_plate_cure
from .site_lines import line_of_site

if TYPE_CHECKING:
    from .trace_struct import Trace

Site = dict[str, Any]


def scoring_error(name: str, site: Site, trace: Trace, error: Exception) -> PPLError:
    """Return the error to raise for one of torch, or of a distribution that a user wrote."""
    cls: type[PPLError]
    mixed = _mixture(site) if dtypes.is_about_dtypes(error) else ""
    if not hasattr(site["fn"], "log_prob"):
        cls, message = SiteError, _no_density(name, site)
    elif not isinstance(site["value"], Tensor):
        cls, message = SiteError, _no_tensor(name, site)
    elif mixed:
        cls, message = DtypeError, f"{_no_score(name, site)}: {error}\n{mixed}"
    else:
        cls = _error_class(error, site)
        message = f"{_no_score(name, site)}: {error}\n{_cure(cls, site)}"
    parts = [message, _plates(site), _line(trace, name), trace.format_shapes(last_site=name)]
    return cls("\n".join(part for part in parts if part), site=name)


def infinite_data(name: str, site: Site, trace: Trace) -> NotFiniteError:
    """Return the error about observations that are nan or infinite and have no density."""
    where = (~site["value"].isfinite()).nonzero()
    message = (
        f"site {name!r}: the observation has no density: {len(where)} of {site['value'].numel()} "
        f"values are not finite, the first at index {where[0].tolist()}; drop them, or say which "
        "are observed with obs_mask=obs.isfinite()"
    )
    parts = [message, _plates(site), _line(trace, name), trace.format_shapes(last_site=name)]
    return NotFiniteError("\n".join(part for part in parts if part), site=name)


def _mixture(site: Site) -> str:
    """Name what has which dtype, and what to write, if the value and the parameters differ."""
    value = str(site["value"].dtype).removeprefix("torch.")
    found = dtypes.mixture({"the value": value, **dtypes.of_distribution(site["fn"])})
    wanted = f"convert the data, as in obs.to({torch.get_default_dtype()})"
    return found and f"dtypes are mixed ({found}): {wanted}, or the parameters"


def _no_density(name: str, site: Site) -> str:
    return (
        f"site {name!r}: {site['fn']!r} is no distribution: it has no log_prob, so the site has no "
        "density; give sample a distribution, or hide the site from inference with poutine.block"
    )


def _no_tensor(name: str, site: Site) -> str:
    return (
        f"site {name!r}: the value must be a tensor to be scored under {site['fn']}, got "
        f"{site['value']!r}; convert it with torch.as_tensor"
    )


def _no_score(name: str, site: Site) -> str:
    return (
        f"site {name!r}: the log density of a value of shape {tuple(site['value'].shape)} under "
        f"{site['fn']} cannot be computed"
    )


def _error_class(error: Exception, site: Site) -> type[PPLError]:
    if isinstance(error, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        return NotFiniteError
    if isinstance(error, (AttributeError, TypeError)):
        return SiteError
    if "support" in str(error):
        return SupportError
    return ShapeError if _whole_plate(site) is None else SubsampleError


def _whole_plate(site: Site) -> Any:
    """Return the plate that uses a part of its elements while the value has all of them."""
    event_dim = len(site["fn"].event_shape)
    shape = site["value"].shape[: site["value"].dim() - event_dim]
    sizes = {dim: shape[dim] for dim in range(-len(shape), 0)}
    for frame in site["cond_indep_stack"]:
        found = sizes.get(frame.dim)
        if found is not None and found == frame.full_size != frame.size:
            return frame
    return None


def _cure(cls: type[PPLError], site: Site) -> str:
    fn, value = site["fn"], site["value"]
    whose = "the observation" if site["is_observed"] else "the value"
    if cls is SiteError:
        return "correct the method log_prob of the distribution"
    if cls is NotFiniteError:
        return "add a small positive number to the diagonal of the matrix, or use float64"
    if cls is SupportError and bool(value.isnan().any()):
        return _nan_cure(value)
    if cls is SupportError and value.numel():
        return (
            f"correct {whose}, which has values in [{value.min():g}, {value.max():g}], or choose a "
            f"distribution with a support other than {fn.support}"
        )
    if cls is SubsampleError:
        return whole_plate_cure(_whole_plate(site))
    batch, event = tuple(fn.batch_shape), tuple(fn.event_shape)
    return (
        f"{whose} must broadcast with batch_shape {batch} + event_shape {event}; correct its "
        "shape, the size of the plate, or the event dimensions with .to_event(n)"
    )


def _nan_cure(value: Tensor) -> str:
    where = value.isnan().nonzero()
    first = ", ".join(str(int(index)) for index in where[0])
    return (
        f"{len(where)} of {value.numel()} values are nan, the first at index [{first}]: drop them, "
        "say which are observed with obs_mask=~obs.isnan(), or use NanMaskedNormal"
    )


def _plates(site: Site) -> str:
    plates = [
        f"{frame.name!r} (size {frame.size}, dim {frame.dim})"
        for frame in site["cond_indep_stack"]
        if frame.vectorized
    ]
    return f"plates: {', '.join(plates)}" if plates else ""


def _line(trace: Trace, name: str) -> str:
    line = line_of_site(trace, name) if is_validation_enabled() else None
    return f"at {quote(line)}" if line else ""
