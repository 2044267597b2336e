"""The names of the package: listed in metadata, resolved lazily, helpful when wrong."""

import importlib
from importlib.metadata import EntryPoint, distribution

import pytest
import torch

import ppl.distributions as dist
from ppl import plugins
from ppl.distribution import Distribution, TorchDistribution, TorchDistributionMixin, wrap
from ppl.distributions import constraints, transforms
from ppl.errors import DuplicatePluginError, MissingDistributionError

INTERFACES = {Distribution, TorchDistribution, TorchDistributionMixin, dist.ExponentialFamily}


def families():
    """Return every finished distribution that the module exports, by name."""
    return {
        name: member
        for name, member in vars(dist).items()
        if isinstance(member, type)
        and issubclass(member, Distribution)
        and member not in INTERFACES
    }


def test_every_family_is_an_entry_point_and_nothing_else_is():
    entries = distribution("ppl-distributions").entry_points.select(group="ppl.distributions")
    assert {entry.name: entry.load() for entry in entries} == families()


def test_every_transform_of_ours_is_an_entry_point_and_nothing_else_is():
    ours = {
        name: member
        for name, member in vars(transforms).items()
        if getattr(member, "__module__", "").startswith("ppl.distributions.transforms.")
    }
    entries = distribution("ppl-distributions").entry_points.select(group="ppl.transforms")
    assert {entry.name: entry.load() for entry in entries} == ours


def test_every_constraint_of_ours_is_an_entry_point_and_nothing_else_is():
    ours = {
        name: member
        for name, member in vars(constraints).items()
        if type(member).__module__ == constraints.__name__
    }
    entries = distribution("ppl-distributions").entry_points.select(group="ppl.constraints")
    assert {entry.name: entry.load() for entry in entries} == ours


def test_every_distribution_of_torch_has_a_wrapper():
    theirs = {
        name
        for name in torch.distributions.__all__
        if isinstance(getattr(torch.distributions, name), type)
        and issubclass(getattr(torch.distributions, name), torch.distributions.Distribution)
    }
    ours = set(vars(dist))
    assert theirs <= ours
    assert set(vars(importlib.import_module("ppl.distributions.torch"))) >= theirs - {
        "Distribution"
    }


@pytest.mark.parametrize("name", sorted(families()))
def test_every_family_says_what_it_is(name):
    assert "." in (families()[name].__doc__ or "")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("torch", "Normal"),
        ("torch", "Independent"),
        ("torch_distribution", "MaskedDistribution"),
        ("torch_distribution", "TorchDistributionMixin"),
        ("distribution", "Distribution"),
        ("delta", "Delta"),
        ("unit", "Unit"),
        ("score_parts", "ScoreParts"),
        ("util", "broadcast_shape"),
        ("kl", "register_kl"),
        ("constraints", "positive"),
        ("transforms", "biject_to"),
    ],
)
def test_the_paths_that_programs_use_lead_to_the_same_objects(module, name):
    found = getattr(importlib.import_module(f"ppl.distributions.{module}"), name)
    assert name in ("ScoreParts", "broadcast_shape", "positive") or found is getattr(dist, name)


def test_torch_instances_become_ours():
    for theirs in (
        torch.distributions.Normal(torch.zeros(3), 1.0),
        torch.distributions.LogNormal(torch.zeros(3), 1.0),
        torch.distributions.Categorical(torch.ones(3)),
    ):
        assert type(wrap(theirs)) is getattr(dist, type(theirs).__name__)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="Nromal.*'Normal'"):
        dist.Nromal  # noqa: B018
    with pytest.raises(AttributeError, match="ExpTransfrom.*'ExpTransform'"):
        transforms.ExpTransfrom  # noqa: B018
    with pytest.raises(AttributeError, match="simplx.*'simplex'"):
        constraints.simplx  # noqa: B018


@pytest.fixture
def install(monkeypatch):
    """Return a function that makes entry points appear as installed."""

    def install(group, **values):
        real = plugins.entries
        added = {n: tuple(EntryPoint(n, v, group) for v in vs) for n, vs in values.items()}
        monkeypatch.setattr(
            plugins, "entries", lambda g: {**real(g), **(added if g == group else {})}
        )

    return install


def test_a_plugin_appears_as_an_attribute(install):
    install("ppl.distributions", Strange=["fractions:Fraction"])
    assert dist.Strange.__name__ == "Fraction" and "Strange" in dir(dist)
    install("ppl.transforms", strange=["fractions:Fraction"])
    assert transforms.strange.__name__ == "Fraction" and "strange" in dir(transforms)
    install("ppl.constraints", strange=["fractions:Fraction"])
    assert constraints.strange.__name__ == "Fraction" and "strange" in dir(constraints)


def test_two_owners_of_a_name_are_refused(install):
    install("ppl.distributions", Strange=["fractions:Fraction", "decimal:Decimal"])
    with pytest.raises(DuplicatePluginError, match="fractions.*decimal"):
        dist.Strange  # noqa: B018


def test_a_learnable_transform_says_which_distribution_provides_it(monkeypatch):
    monkeypatch.setattr(plugins, "entries", lambda group: {})
    with pytest.raises(MissingDistributionError, match="ppl-contrib-flows"):
        transforms.planar  # noqa: B018
