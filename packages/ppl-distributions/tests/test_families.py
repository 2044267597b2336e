"""Every law for every family."""

import pytest

import ppl.distributions as dist
from ppl.distribution import Distribution
from ppl.distributions.testing import LAWS, laws_of

from .cases import CASES

# members that the laws cannot be asked of, since these compare draws with densities
WITHOUT = {
    "Delta": "a point has no density; its tests are in ppl-core",
    "ExpandedDistribution": "what any distribution becomes that cannot expand itself",
    "ImproperUniform": "has neither draws nor a density that integrates",
    "LinearHMM": "has draws and no density",
    "Unit": "has nothing to draw",
}
INTERFACES = {"Distribution", "ExponentialFamily", "TorchDistribution", "TorchDistributionMixin"}


@pytest.mark.parametrize("case,law", [(c, law) for c in CASES for law in laws_of(c)], ids=str)
def test_law(case, law):
    LAWS[law](case)


def test_every_family_has_a_case_or_a_reason():
    families = {
        member.__name__
        for member in vars(dist).values()
        if isinstance(member, type) and issubclass(member, Distribution)
    }
    asked = {type(case.dist()).__name__ for case in CASES}
    assert families - asked == set(WITHOUT) | INTERFACES
