"""Laws that every transform obeys."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.validation import validation_enabled

from .. import constraints
from .dtypes import DTYPES, default_dtype
from .transform_case import TransformCase

Program = Callable[[Tensor], tuple[Tensor, ...]]


def check_transform(case: TransformCase) -> None:
    """Check every law that applies to ``case``.

    Raises:
        AssertionError: If one is broken.
    """
    for name in transform_laws_of(case):
        TRANSFORM_LAWS[name](case)


def transform_laws_of(case: TransformCase) -> list[str]:
    """Return the names of the laws that apply to ``case``."""
    transform = case.transform()
    univariate = transform.domain.event_dim == transform.codomain.event_dim == 0
    applies = {
        "derivatives_are_finite_far_out": _is_real(transform.domain),
        "jacobian_equals_that_of_autograd": transform.bijective,
        "sign_is_that_of_the_slope": transform.bijective and univariate,
    }
    return [name for name in TRANSFORM_LAWS if applies.get(name, True)]


def images_lie_in_the_codomain(case: TransformCase) -> None:
    """Arguments pass the check of the domain, and their images that of the codomain."""
    transform, x = case.transform(), case.arguments((20,))
    assert transform.domain.check(x).all() and transform.codomain.check(transform(x)).all()


def inverse_undoes_the_transform(case: TransformCase) -> None:
    """The inverse returns to the argument of a bijection, and to one with the same image else."""
    transform, x = case.transform(), case.arguments((20,))
    y = transform(x)
    back = transform.inv(y.clone())  # a copy is not found in a cache
    assert_close(transform(back.clone()), y)
    if transform.bijective:
        assert_close(back, x)
    assert transform.inv.inv is transform and transform.inv.bijective == transform.bijective


def jacobian_equals_that_of_autograd(case: TransformCase) -> None:
    """The log Jacobian is the growth of volume between free entries, by automatic derivatives."""
    transform, u = case.transform(), case.coordinates((3,))
    chart = case.chart(transform)
    x = chart(u)
    got = transform.log_abs_det_jacobian(x, transform(x))
    assert got.shape == x.shape[: x.dim() - transform.domain.event_dim]

    def before(u: Tensor) -> Tensor:
        return case.free_entries(transform.domain, chart(u))

    def after(u: Tensor) -> Tensor:
        return case.free_entries(transform.codomain, transform(chart(u)))

    want = torch.stack([_log_volume(after, ui) - _log_volume(before, ui) for ui in u])
    assert_close(got.reshape(3, -1).sum(-1), want)


def shapes_are_those_announced(case: TransformCase) -> None:
    """Batches of any shape pass, and ``forward_shape`` and ``inverse_shape`` tell the outcome."""
    transform = case.transform()
    for sample_shape in ((), (5,), (4, 2)):
        x = case.arguments(sample_shape)
        y = transform(x)
        assert transform.forward_shape(x.shape) == y.shape
        assert transform.inverse_shape(y.shape) == transform.inv(y.clone()).shape == x.shape


def cached_transforms_return_the_very_argument(case: TransformCase) -> None:
    """With a cache the images are the same, and the last argument is remembered."""
    transform, x = case.transform().with_cache(1), case.arguments((5,))
    y = transform(x)
    assert type(transform) is type(case.transform())
    assert transform(x) is y and transform.inv(y) is x
    assert_close(y, case.transform()(x))


def sign_is_that_of_the_slope(case: TransformCase) -> None:
    """``sign`` tells whether a transform of the line increases."""
    transform, x = case.transform(), case.arguments((20,)).requires_grad_()
    (slope,) = torch.autograd.grad(transform(x).sum(), x)
    assert (slope * transform.sign > 0).all()


def dtype_of_arguments_is_kept(case: TransformCase) -> None:
    """Single stays single and double stays double, whatever the default is."""
    for dtype in DTYPES:
        for default in DTYPES:
            with default_dtype(default):
                outcome = _outcome(case.transform(dtype), case.arguments().to(dtype))
            assert all(value.dtype == dtype for value in outcome)


def device_of_arguments_is_kept(case: TransformCase) -> None:
    """No tensor is created on another device; the meta device stands in for any."""
    with validation_enabled(False):
        outcome = _outcome(case.transform(device="meta"), case.arguments((5,)).to("meta"))
    assert all(value.device.type == "meta" for value in outcome)


def copies_act_alike(case: TransformCase) -> None:
    """Copies and pickles have the same type, images, inverse and Jacobian."""
    transform, x = case.transform(), case.arguments((5,))
    want = _outcome(transform, x)
    for twin in (
        pickle.loads(pickle.dumps(transform)),
        copy.copy(transform),
        copy.deepcopy(transform),
    ):
        assert type(twin) is type(transform)
        assert_close(_outcome(twin, x), want)


def derivatives_equal_finite_differences(case: TransformCase) -> None:
    """Images, inverses and Jacobians have the derivatives of finite differences."""
    program, u = _program(case), case.coordinates((2,)).requires_grad_()

    def attached(u: Tensor) -> tuple[Tensor, ...]:
        return tuple(value + 0 * u.sum() for value in program(u))  # else detached ones go unchecked

    assert torch.autograd.gradcheck(attached, (u,), atol=1e-4, rtol=1e-3)


def derivatives_are_finite_far_out(case: TransformCase) -> None:
    """Image and Jacobian are finite and have finite derivatives far from the origin."""
    transform, u = case.transform(), 10 * case.coordinates((20,))
    x = u.requires_grad_()
    y = transform(x)
    ladj = transform.log_abs_det_jacobian(x, y) if transform.bijective else torch.zeros(20)
    fits = ~(y.abs() > 1e100).reshape(20, -1).any(-1)  # the rest may well overflow
    assert fits.any()
    for value in (y[fits], ladj[fits]):
        (slope,) = torch.autograd.grad(value.sum() + 0 * x.sum(), x, retain_graph=True)
        assert value.isfinite().all() and slope[fits].isfinite().all()


def transforms_run_under_vmap(case: TransformCase) -> None:
    """``vmap`` equals the batched transform."""
    program, u = _program(case), case.coordinates((5,))
    assert_close(vmap(program)(u), program(u))


def transforms_record_and_replay(case: TransformCase) -> None:
    """A recorded transform and its derivatives replay on other values."""
    program, u = _program(case), case.coordinates((5,))
    slopes = grad(lambda v: torch.stack([value.sum() for value in program(v)]).sum())
    for function in (program, slopes):
        recorded = make_fx(function)(u)
        assert_close(recorded(u.flip(0)), function(u.flip(0)))


def _program(case: TransformCase) -> Program:
    """Return the transform as a function of unconstrained coordinates."""
    transform = case.transform()
    chart = case.chart(transform)

    def program(u: Tensor) -> tuple[Tensor, ...]:
        with validation_enabled(False):
            return _outcome(transform, chart(u))

    return program


def _outcome(transform: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Return image, inverse and, for a bijection, log Jacobian."""
    y = transform(x)
    back = transform.inv(y.clone())
    return (y, back, transform.log_abs_det_jacobian(x, y)) if transform.bijective else (y, back)


def _is_real(constraint: Any) -> bool:
    """Return whether values are unconstrained."""
    return constraint is constraints.real or (
        isinstance(constraint, type(constraints.real_vector))
        and _is_real(constraint.base_constraint)
    )


def _log_volume(function: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """Return the log factor by which a function scales volume: the Gram determinant's root."""
    jacobian: Any = torch.autograd.functional.jacobian(function, u)
    singular: Tensor = torch.linalg.svdvals(jacobian.reshape(-1, u.numel()))
    return singular.log().sum()


TRANSFORM_LAWS: dict[str, Callable[[TransformCase], None]] = {
    law.__name__: law
    for law in (
        images_lie_in_the_codomain,
        inverse_undoes_the_transform,
        jacobian_equals_that_of_autograd,
        shapes_are_those_announced,
        cached_transforms_return_the_very_argument,
        sign_is_that_of_the_slope,
        dtype_of_arguments_is_kept,
        device_of_arguments_is_kept,
        copies_act_alike,
        derivatives_equal_finite_differences,
        derivatives_are_finite_far_out,
        transforms_run_under_vmap,
        transforms_record_and_replay,
    )
}
