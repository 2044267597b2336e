"""Hidden Markov models and other series."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import scipy.stats as st
import torch
from torch import tensor
from torch.distributions.transforms import ReshapeTransform

import ppl.distributions as dist
from ppl.distributions.testing import Case

from .values import TRIL, VECTOR, at

CHAIN = at(
    initial_logits=tensor([[0.0, 0.5], [1.0, -0.3]]),
    transition_logits=tensor([[[[1.0, -0.5], [0.3, 0.8]]], [[[0.2, 1.1], [-1.0, 0.4]]]]),
)
DYNAMICS = at(
    loc=VECTOR,
    scale_tril=TRIL,
    matrix=tensor([[[[0.8, 0.3], [-0.2, 0.5]]], [[[0.4, -0.6], [0.7, 0.9]]]]),
    observation=tensor([[[[1.0], [-0.5]]], [[[0.7], [1.2]]]]),
)


def chain_oracle(initial, transition, logpmf):
    """Return the mixture over all paths of two steps; ``logpmf(x)`` is that of each state."""

    def normalize(logits):
        return logits - np.logaddexp.reduce(logits, -1)[..., None]

    def score(x):
        first, move = normalize(initial), normalize(transition[0])
        states = range(len(first))
        paths = itertools.product(states, states, states)
        return np.logaddexp.reduce(
            [
                first[i] + move[i, j] + logpmf(x[0])[j] + move[j, k] + logpmf(x[1])[k]
                for i, j, k in paths
            ]
        )

    return score


def normal_chain(initial_logits, transition_logits, loc):
    observation = dist.Normal(loc, 1.0)
    return dist.DiscreteHMM(initial_logits, transition_logits, observation, duration=2)


def normal_chain_oracle(initial, transition, loc):
    return SimpleNamespace(
        logpdf=chain_oracle(initial, transition, lambda x: st.norm(loc[0], 1).logpdf(x))
    )


def coin_chain(initial_logits, transition_logits, probs):
    observation = dist.Bernoulli(probs)
    return dist.DiscreteHMM(initial_logits, transition_logits, observation, duration=2)


def coin_chain_oracle(initial, transition, probs):
    return SimpleNamespace(
        logpmf=chain_oracle(initial, transition, lambda x: st.bernoulli(probs[0]).logpmf(x))
    )


def rows(family):
    """Return the bijection from vectors to the series of a family."""
    return ReshapeTransform((2,), tuple(family.event_shape))


def parts(loc, scale_tril, matrix, observation):
    """Return initial state, transition matrix and noise, observation matrix and noise."""
    state = dist.MultivariateNormal(loc, scale_tril=scale_tril)
    noise = dist.MultivariateNormal(loc.unsqueeze(-2), scale_tril=scale_tril.unsqueeze(-3))
    last = loc[..., None, :1]
    return state, matrix, noise, observation, last, scale_tril[..., None, :1, :1]


def gaussian(**params):
    *rest, loc, scale = parts(**params)
    noise = dist.Normal(loc, scale.squeeze(-1)).to_event(1)
    return dist.GaussianHMM(*rest, noise, duration=2)


def gamma_gaussian(concentration, rate, **params):
    *rest, loc, scale = parts(**params)
    noise = dist.MultivariateNormal(loc, scale_tril=scale)
    return dist.GammaGaussianHMM(dist.Gamma(concentration, rate), *rest, noise, duration=2)


def independent(loc, scale, matrix):
    """Two series of one state and one observation; ``loc`` has shape ``(*batch, 2)``."""
    state = dist.Normal(loc.unsqueeze(-1), scale.unsqueeze(-1)).to_event(1)
    noise = dist.Normal(loc[..., None, None], scale[..., None, None]).to_event(1)
    matrix = matrix[..., None, None, None]
    return dist.IndependentHMM(dist.GaussianHMM(state, matrix, noise, matrix, noise, duration=1))


def two_steps(loc, tril, matrix, observation):
    """Return mean and covariance of two scalar observations."""
    A, C = matrix[0], observation[0]
    Q = tril @ tril.T
    means = [loc @ A + loc]
    means.append(means[0] @ A + loc)
    P1 = A.T @ Q @ A + Q
    P2 = A.T @ P1 @ A + Q
    r = tril[0, 0] ** 2
    cross = (C.T @ P1 @ A @ C)[0, 0]
    mean = [(m @ C + loc[:1])[0] for m in means]
    covariance = [[(C.T @ P1 @ C)[0, 0] + r, cross], [cross, (C.T @ P2 @ C)[0, 0] + r]]
    return np.array(mean), np.array(covariance)


def flat(frozen):
    return SimpleNamespace(logpdf=lambda x: frozen.logpdf(x.ravel()))


def gaussian_oracle(loc, tril, matrix, observation):
    return flat(st.multivariate_normal(*two_steps(loc, tril, matrix, observation)))


def gamma_gaussian_oracle(concentration, rate, *dynamics):
    mean, covariance = two_steps(*dynamics)
    return flat(st.multivariate_t(mean, covariance * rate / concentration, 2 * concentration))


def independent_oracle(loc, scale, matrix):
    mean = loc * matrix**2 + loc * matrix + loc
    variance = scale**2 * (matrix**4 + matrix**2 + 1)
    return flat(st.multivariate_normal(mean, np.diag(variance)))


def field(loc, scale_tril, pair_tril):
    """A field of two steps; factors between states, and between states and observations, agree."""
    state = dist.MultivariateNormal(loc, scale_tril=scale_tril)
    pair = dist.MultivariateNormal(loc.new_zeros(2, 4), scale_tril=pair_tril.unsqueeze(-3))
    seen = dist.MultivariateNormal(loc.new_ones(2, 3), scale_tril=pair_tril[..., None, :3, :3])
    return dist.GaussianMRF(state, pair, seen)


def field_oracle(loc, tril, pair_tril):
    """The marginal of (x1, x2) in the joint normal of (z0, z1, z2, x1, x2)."""
    precision, info = np.zeros((8, 8)), np.zeros(8)
    pair = np.linalg.inv(pair_tril @ pair_tril.T)
    seen = np.linalg.inv(pair_tril[:3, :3] @ pair_tril[:3, :3].T)
    first = np.linalg.inv(tril @ tril.T)
    factors = [
        ([0, 1], first, loc),
        ([0, 1, 2, 3], pair, np.zeros(4)),
        ([2, 3, 6], seen, np.ones(3)),
    ]
    factors += [([2, 3, 4, 5], pair, np.zeros(4)), ([4, 5, 7], seen, np.ones(3))]
    for index, matrix, mean in factors:
        precision[np.ix_(index, index)] += matrix
        info[index] += matrix @ mean
    covariance = np.linalg.inv(precision)
    return flat(st.multivariate_normal((covariance @ info)[6:], covariance[6:, 6:]))


PAIR_TRIL = torch.eye(4) + tensor(
    [
        [[0.0] * 4, [0.6, 0, 0, 0], [-0.4, 0.3, 0.2, 0], [0.5, -0.2, 0.1, 0.3]],
        [[0.0] * 4, [-0.3, 0, 0, 0], [0.7, 0.1, 0.5, 0], [0.2, 0.4, -0.6, 0.1]],
    ]
)

CASES = [
    Case(
        "DiscreteHMM-Normal",
        normal_chain,
        at(**CHAIN, loc=tensor([[[0.0, 2.0]], [[-1.0, 0.5]]])),
        normal_chain_oracle,
        has_moments=False,
    ),
    Case(
        "DiscreteHMM-Bernoulli",
        coin_chain,
        at(**CHAIN, probs=tensor([[[0.2, 0.7]], [[0.5, 0.9]]])),
        coin_chain_oracle,
        values=tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64),
        has_moments=False,
    ),
    Case(
        "GaussianHMM",
        gaussian,
        DYNAMICS,
        gaussian_oracle,
        coordinates=rows,
        has_moments=False,
    ),
    Case(
        "GammaGaussianHMM",
        gamma_gaussian,
        at(concentration=tensor([2.5, 4.0]), rate=tensor([1.0, 3.0]), **DYNAMICS),
        gamma_gaussian_oracle,
        coordinates=rows,
        has_moments=False,
    ),
    Case(
        "IndependentHMM",
        independent,
        at(loc=VECTOR, scale=TRIL.diagonal(dim1=-2, dim2=-1), matrix=VECTOR.flip(0)),
        independent_oracle,
        coordinates=rows,
        has_moments=False,
    ),
    Case(
        "GaussianMRF",
        field,
        at(loc=VECTOR, scale_tril=TRIL, pair_tril=PAIR_TRIL),
        field_oracle,
        coordinates=rows,
        has_moments=False,
    ),
]
