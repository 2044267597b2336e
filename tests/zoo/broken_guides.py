"""Guides that do not fit their models."""

from __future__ import annotations

import torch
from torch.distributions import constraints

import ppl
import ppl.distributions as dist

from .entry import Exhibition

shown = Exhibition()
Y = torch.tensor(0.3)


def gamma_normal():
    rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(mean, rate + 0.1), obs=Y)


def mean_of_guide():
    ppl.sample("mean", dist.Normal(ppl.param("loc", torch.tensor(0.0)), 1.0))


def rate_of_guide():
    loc = ppl.param("rate_loc", torch.tensor(0.0))
    ppl.sample("rate", dist.LogNormal(loc, 0.1))


@shown(("PPL401", "rate"))
class SiteMissingInTheGuide:
    model = staticmethod(gamma_normal)
    guide = staticmethod(mean_of_guide)


@shown(("PPL402", "means"), ("PPL401", "mean"))
class MisspeltInTheGuide:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        rate_of_guide()
        ppl.sample("means", dist.Normal(ppl.param("loc", torch.tensor(0.0)), 1.0))


@shown(("PPL403", "y"))
class DataDrawnByTheGuide:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        rate_of_guide()
        mean_of_guide()
        ppl.sample("y", dist.Normal(0.0, 1.0))


@shown(("PPL404", "mean"))
class ObservationInTheGuide:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        rate_of_guide()
        ppl.sample("mean", dist.Normal(0.0, 1.0), obs=torch.tensor(0.2))


@shown(("PPL405", "rate"))
class NormalForAPositiveSite:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        mean_of_guide()
        ppl.sample("rate", dist.Normal(ppl.param("rate_loc", torch.tensor(1.0)), 1.0))


@shown(("PPL405", "mean"))
class CoinForARealSite:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        rate_of_guide()
        ppl.sample("mean", dist.Bernoulli(ppl.param("p", torch.tensor(0.5))))


def coefficients():
    beta = ppl.sample("beta", dist.Normal(torch.zeros(3), 1.0).to_event(1))
    ppl.sample("y", dist.Normal(beta.sum(), 1.0), obs=Y)


@shown(("PPL406", "beta"))
class EventsOfAnotherLength:
    model = staticmethod(coefficients)

    @staticmethod
    def guide():
        loc = ppl.param("loc", torch.zeros(4))
        ppl.sample("beta", dist.Normal(loc, 1.0).to_event(1))


@shown(("PPL202", "beta"), ("PPL406", "beta"))
class ToEventForgottenInTheGuide:
    model = staticmethod(coefficients)

    @staticmethod
    def guide():
        ppl.sample("beta", dist.Normal(ppl.param("loc", torch.zeros(3)), 1.0))


@shown(("PPL206", "schools"))
class PlateOfAnotherSize:
    @staticmethod
    def model():
        with ppl.plate("schools", 8):
            ppl.sample("theta", dist.Normal(0.0, 1.0))

    @staticmethod
    def guide():
        with ppl.plate("schools", 7):
            ppl.sample("theta", dist.Normal(ppl.param("loc", torch.zeros(7)), 1.0))


@shown(("PPL407", "bonus"))
class FactorInTheGuide:
    model = staticmethod(gamma_normal)

    @staticmethod
    def guide():
        rate_of_guide()
        mean_of_guide()
        ppl.factor("bonus", torch.tensor(0.1))


@shown(("PPL305", None))
class ScaleWithoutConstraint:
    model = staticmethod(coefficients)

    @staticmethod
    def guide():
        scale = ppl.param("scale", -torch.ones(3))
        ppl.sample("beta", dist.Normal(0.0, scale).to_event(1))


@shown(("PPL303", "limit"))
class GuideWhereTheModelIsImpossible:
    @staticmethod
    def model():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.factor("limit", torch.where(x < 5.0, 0.0, -torch.inf))

    @staticmethod
    def guide():
        scale = ppl.param("scale", torch.tensor(0.1), constraints.positive)
        ppl.sample("x", dist.Normal(9.0, scale))
