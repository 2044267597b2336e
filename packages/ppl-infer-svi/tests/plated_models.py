"""Discrete models with plates, made up at random, and their exact sums, by writing out all."""

from __future__ import annotations

import itertools
import random
from contextlib import ExitStack
from dataclasses import dataclass

import torch

import ppl
import ppl.distributions as dist
import ppl.poutine as poutine

DOUBLE = torch.float64
DIMS = {"i": -1, "j": -2}


@dataclass(frozen=True)
class Site:
    """A latent site: its plates, the sites it depends on, its number of values."""

    name: str
    plates: tuple[str, ...]
    parents: tuple[str, ...]
    size: int
    table: torch.Tensor  # (*plates, *parents, size), unnormalized log probabilities

    def logits(self, strength, plates, values):
        """Of all slices that are there, given values of the parents."""
        return strength * self.table[_index(self, plates, values)]


@dataclass(frozen=True)
class Model:
    """Latent sites of the model, those of the guide, observations, and the sizes of plates."""

    sizes: dict[str, int]
    latent: tuple[Site, ...]
    guided: tuple[Site, ...]  # sites of the guide, with tables of its own
    marks: dict[str, str]  # how the sites of the guide are enumerated
    observed: tuple[Site, ...]  # the table has means, size 1
    masks: dict[str, torch.Tensor]

    def model(self, theta):
        plates, values = _plates(self.sizes), {}
        for site in self.latent:
            with _within(site, plates):
                logits = site.logits(theta, plates, values)
                infer = {"enumerate": "parallel"}
                values[site.name] = ppl.sample(
                    site.name, dist.Categorical(logits=logits), infer=infer
                )
        for site in self.observed:
            with _within(site, plates), poutine.mask(mask=self.masks[site.name]):
                mean = site.logits(theta, plates, values)[..., 0]
                data = torch.full(
                    [self.sizes[p] if p in site.plates else 1 for p in ("j", "i")], 0.3
                )
                ppl.sample(site.name, dist.Normal(mean, 1.0), obs=data.to(DOUBLE))
        return values

    def guide(self, phi):
        plates, values = _plates(self.sizes), {}
        for site in self.guided:
            with _within(site, plates):
                logits = site.logits(phi, plates, values)
                infer = {"enumerate": self.marks[site.name]}
                values[site.name] = ppl.sample(
                    site.name, dist.Categorical(logits=logits), infer=infer
                )

    # by writing out all assignments

    def log_joint(self, theta, values):
        """Of each assignment; values have shape ``(assignment, *slice)``."""
        total = 0.0
        for site in self.latent:
            total = total + _log_probs(self, site, theta, values)
        for site in self.observed:
            mean = site.logits(theta, _whole(self.sizes), values)[..., 0]
            log_prob = torch.where(
                self.masks[site.name], dist.Normal(mean, 1.0).log_prob(torch.tensor(0.3)), 0.0
            )
            total = total + log_prob.expand(torch.broadcast_shapes(log_prob.shape, (1, 1, 1))).sum(
                (-1, -2)
            )
        return total

    def exact_loss(self, theta, phi):
        """``E[log guide - log sum of model]``."""
        rest = [s for s in self.latent if s.name not in self.marks]
        log_q, log_p, _ = self._tables(theta, phi, self.guided, rest)
        return (log_q.exp() * (log_q - log_p.logsumexp(1))).sum()

    def log_posterior(self, theta, phi, guided, rest):
        """All assignments, and their log probabilities if the guide's sites are drawn first."""
        log_q, log_p, values = self._tables(theta, phi, guided, rest)
        return values, (log_q[:, None] + log_p.log_softmax(1)).flatten()

    def _tables(self, theta, phi, guided, rest):
        """``log guide`` of its assignments, and ``log model`` of these and those of the rest."""
        outer, inner = self.assignments(guided), self.assignments(rest)
        log_q = torch.zeros(1, dtype=DOUBLE)
        for site in self.guided:
            log_q = log_q + _log_probs(self, site, phi, outer)
        m = max([len(v) for v in inner.values()], default=1)
        g = max([len(v) for v in outer.values()], default=1)
        values = {n: v.repeat_interleave(m, 0) for n, v in outer.items()}
        values |= {n: v.repeat(g, 1, 1) for n, v in inner.items()}
        return log_q, self.log_joint(theta, values).expand(g * m).reshape(g, m), values

    def assignments(self, sites):
        """All joint values of all slices, shape ``(assignment, j, i)`` for each site."""
        shapes = {
            s.name: [self.sizes[p] if p in s.plates else 1 for p in ("j", "i")] for s in sites
        }
        cells = [s for s in sites for _ in range(shapes[s.name][0] * shapes[s.name][1])]
        rows = torch.tensor(list(itertools.product(*(range(cell.size) for cell in cells))))
        values, start = {}, 0
        for site in sites:
            width = shapes[site.name][0] * shapes[site.name][1]
            values[site.name] = rows[:, start : start + width].reshape(-1, *shapes[site.name])
            start += width
        return values


def _log_probs(model, site, strength, values):
    logits = site.logits(strength, _whole(model.sizes), values).log_softmax(-1)
    shape = torch.broadcast_shapes(values[site.name].shape, logits.shape[:-1])
    chosen = values[site.name].expand(shape).unsqueeze(-1)
    return logits.expand(*shape, -1).gather(-1, chosen).squeeze(-1).sum((-1, -2))


def _whole(sizes):
    return {p: torch.arange(n).reshape([n] + [1] * (-DIMS[p] - 1)) for p, n in sizes.items()}


def _plates(sizes):
    return {p: ppl.plate(p, n, dim=DIMS[p]) for p, n in sizes.items()}


def _index(site, plates, values):
    index = []
    for p in site.plates:
        numbers = plates[p]
        if not isinstance(numbers, torch.Tensor):
            numbers = torch.arange(numbers.size).reshape([-1] + [1] * (-DIMS[p] - 1))
        index.append(numbers)
    index += [values[parent].long() for parent in site.parents]
    return tuple(index) if index else ...


def _within(site, plates):
    stack = ExitStack()
    for p in site.plates:
        stack.enter_context(plates[p])
    return stack


def random_model(seed, most=7, guided=True, masked=True):
    """A model with at most so many latent cells; sites depend on what is in fewer plates."""
    rng, gen = random.Random(seed), torch.Generator().manual_seed(seed)
    sizes = {"i": rng.choice([1, 2, 2]), "j": rng.choice([1, 2, 2])}
    ordinals = [(), ("i",), ("j",), ("i", "j")]

    def table(site_plates, parents, size):
        shape = [sizes[p] for p in site_plates] + [p.size for p in parents] + [size]
        return torch.randn(shape, generator=gen, dtype=DOUBLE)

    def parents_of(earlier, plates):
        able = [s for s in earlier if set(s.plates) <= set(plates)]
        return rng.sample(able, min(len(able), rng.choice([0, 1, 1, 2])))

    def make(name, earlier, plates, size):
        parents = parents_of(earlier, plates)
        return Site(
            name, plates, tuple(p.name for p in parents), size, table(plates, parents, size)
        )

    latent, cells = [], 0
    while len(latent) < rng.choice([2, 3, 4]):
        plates = rng.choice(ordinals)
        cells += torch.Size([sizes[p] for p in plates]).numel()
        if cells > most:
            break
        latent.append(make(f"z{len(latent)}", latent, plates, rng.choice([2, 2, 3])))
    observed = [make(f"x{k}", latent, rng.choice(ordinals), 1) for k in range(3)]
    chosen = [s for s in latent if guided and rng.random() < 0.5]
    guide = []
    for site in chosen:
        guide.append(make(site.name, guide, site.plates, site.size))
    marks = {s.name: rng.choice(["parallel", "parallel", "sequential"]) for s in guide}
    masks = {
        s.name: torch.rand([sizes[p] if p in s.plates else 1 for p in ("j", "i")], generator=gen)
        < (0.8 if masked else 2)
        for s in observed
    }
    return Model(sizes, tuple(latent), tuple(guide), marks, tuple(observed), masks)
