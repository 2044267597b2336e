"""Models of one class live side by side: in a store each, or with parameters of their own."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import ppl.distributions as dist
import ppl.settings as settings
from ppl.infer import SVI, Trace_ELBO
from ppl.infer.autoguide import AutoDelta, AutoGuide, AutoNormal
from ppl.optim import Adam
from ppl.params import ParamStoreDict
from ppl.params.param_store import State
from ppl.primitives import get_param_store, param_store, plate, sample
from ppl.util import set_rng_seed

DATA = {"low": torch.tensor([-3.0, -2.5, -3.5]), "high": torch.tensor([4.0, 5.0])}
Block = Callable[[], AbstractContextManager[object]]


def model(data: Tensor) -> None:
    loc = sample("loc", dist.Normal(0.0, 10.0))
    with plate("data", len(data)):
        sample("x", dist.Normal(loc, 1.0), obs=data)


def own_store() -> Block:
    """Return what opens one and the same store again and again."""
    store = ParamStoreDict()
    return lambda: param_store(store)


def own_scope() -> Block:
    """Return what opens a scope of the common store again and again, as Pyro's programs do."""
    state: State = {"params": {}, "constraints": {}}
    return lambda: get_param_store().scope(state)


def local() -> Block:
    return lambda: settings.context(module_local_params=True)


def train(blocks: dict[str, Block], kind: type[AutoGuide]) -> dict[str, AutoGuide]:
    """Train a guide for each data set, in turns of one step."""
    guides = {name: kind(model) for name in DATA}
    fits = {name: SVI(model, guides[name], Adam({"lr": 0.2}), Trace_ELBO()) for name in DATA}
    for _ in range(60):
        for name, fit in fits.items():
            with blocks[name]():
                fit.step(DATA[name])
    return guides


def medians(guides: dict[str, AutoGuide], blocks: dict[str, Block]) -> dict[str, Tensor]:
    found = {}
    for name, guide in guides.items():
        with blocks[name]():
            found[name] = guide.median()["loc"]
    return found


@pytest.mark.parametrize("make_block", [own_store, own_scope, local])
@pytest.mark.parametrize("kind", [AutoNormal, AutoDelta])
def test_guides_of_one_class_are_trained_in_turns(
    make_block: Callable[[], Block], kind: type[AutoGuide]
) -> None:
    set_rng_seed(0)
    before = list(get_param_store())
    blocks = {name: make_block() for name in DATA}
    guides = train(blocks, kind)
    means = {name: data.mean() for name, data in DATA.items()}
    assert_close(medians(guides, blocks), means, atol=0.5, rtol=0)
    assert list(get_param_store()) == before


def test_a_guide_with_parameters_of_its_own_survives_a_file() -> None:
    blocks = dict.fromkeys(DATA, local())
    guides = train(blocks, AutoNormal)
    file = io.BytesIO()
    torch.save(guides, file)
    file.seek(0)
    for again in (torch.load(file, weights_only=False), copy.deepcopy(guides)):
        assert_close(medians(again, blocks), medians(guides, blocks), atol=0, rtol=0)
