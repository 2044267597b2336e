"""Particle filters against the Kalman filter."""

import math

import pytest
import torch
from torch.testing import assert_close

import ppl
import ppl.distributions as dist
from ppl.errors import NotFiniteError, NotRunError, PPLWarning, ShapeError, SiteError
from ppl.infer import SMCFilter
from ppl.infer.smcfilter import SMCState
from ppl.infer.systematic import systematic_resample

Y = torch.tensor([0.5, 1.2, -0.3, 2.0, 1.0])
DECAY, NOISE, ERROR = 0.8, 0.6, 0.7


@pytest.fixture(autouse=True)
def _seed():
    ppl.set_rng_seed(0)


class Model:
    """A linear Gaussian process; the first state is not observed."""

    def init(self, state):
        self.t = 0
        state["z"] = ppl.sample("z_0", dist.Normal(0.0, 1.0))

    def step(self, state, y=None):
        self.t += 1
        state["z"] = ppl.sample(f"z_{self.t}", dist.Normal(DECAY * state["z"], NOISE))
        ppl.sample(f"y_{self.t}", dist.Normal(state["z"], ERROR), obs=y)


class Guide:
    """Proposes more broadly than the model, and looks at the observation."""

    def init(self, state):
        self.t = 0
        ppl.sample("z_0", dist.Normal(0.0, 1.2))

    def step(self, state, y=None):
        self.t += 1
        ppl.sample(f"z_{self.t}", dist.Normal((DECAY * state["z"] + y) / 2, 0.7))


def exact():
    """The log density of the series, and mean and variance of the last state: Kalman 1960."""
    hmm = dist.GaussianHMM(
        dist.Normal(torch.zeros(1), 1.0).to_event(1),
        torch.full((1, 1), DECAY),
        dist.Normal(torch.zeros(1), NOISE).to_event(1),
        torch.ones(1, 1),
        dist.Normal(torch.zeros(1), ERROR).to_event(1),
    )
    mean, variance = torch.tensor(0.0), torch.tensor(1.0)
    for y in Y:
        mean, variance = DECAY * mean, DECAY**2 * variance + NOISE**2
        gain = variance / (variance + ERROR**2)
        mean, variance = mean + gain * (y - mean), (1 - gain) * variance
    return hmm.log_prob(Y[:, None]), mean, variance


def run(guide, num_particles, **options):
    smc = SMCFilter(Model(), guide, num_particles, 0, **options)
    smc.init()
    for y in Y:
        smc.step(y)
    return smc


@pytest.mark.parametrize("guide", [None, Guide()])
class TestAgainstKalman:
    def test_the_evidence_is_unbiased(self, guide):
        runs = [run(guide, 20).log_evidence for _ in range(300)]
        ratio = (torch.stack(runs) - exact()[0]).exp()
        z = (ratio.mean() - 1) / (ratio.std() / len(ratio) ** 0.5)
        assert abs(z) < 4.5  # false alarm: 1e-5

    @pytest.mark.parametrize("ess_threshold", [0.01, 0.5, 1.0])
    def test_the_last_state_has_the_filtered_mean_and_variance(self, guide, ess_threshold):
        smc = run(guide, 20_000, ess_threshold=ess_threshold)
        log_evidence, mean, variance = exact()
        found = smc.get_empirical()["z"]
        # an effective number of at least 2000; false alarm: 1e-5
        assert abs(found.mean - mean) < 4.5 * (variance / 2000) ** 0.5
        assert abs(found.variance - variance) < 4.5 * variance * (2 / 2000) ** 0.5
        assert abs(smc.log_evidence - log_evidence) < 4.5 / 2000**0.5


def test_weights_are_resampled_only_below_the_threshold():
    for threshold, is_resampled in ((1.0, True), (0.01, False)):
        smc = SMCFilter(Model(), None, 50, 0, ess_threshold=threshold)
        smc.init()
        smc.step(Y[0])
        before = smc.state["z"].clone()
        seen = []
        smc.model.step = lambda state, y, seen=seen: seen.append(state["z"].clone())
        smc.step(Y[1])
        assert (len(seen[0].unique()) < len(before.unique())) is is_resampled


def test_plates_and_events_lie_right_of_the_particles():
    class Many:
        def init(self, state):
            state["v"] = ppl.sample("v", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            with ppl.plate("N", 3):
                state["w"] = ppl.sample("w", dist.Normal(0.0, 1.0))

        def step(self, state, y):
            with ppl.plate("N", 3):
                ppl.sample("y", dist.Normal(state["w"] + state["v"][..., 0], 1.0), obs=y)

    smc = SMCFilter(Many(), None, num_particles=5, max_plate_nesting=1)
    smc.init()
    smc.step(torch.zeros(3))
    assert smc.state["v"].shape == (5, 1, 2) and smc.state["w"].shape == (5, 3)
    shapes = {key: found.event_shape for key, found in smc.get_empirical().items()}
    assert shapes == {"v": (1, 2), "w": (3,)}
    scores = dist.Normal(smc.state["w"] + smc.state["v"][..., 0], 1.0).log_prob(torch.zeros(3))
    assert_close(smc.state.log_weights, scores.sum(-1).log_softmax(0))


def test_a_new_series_begins_anew():
    smc = run(None, 10)
    smc.init()
    assert smc.log_evidence == 0 and len(smc.state.log_weights.unique()) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda state: state.__setitem__("z", torch.zeros(5)),
        lambda state: state.update(z=torch.zeros(5)),
        lambda state: state.setdefault("new", torch.zeros(5)),
        lambda state: state.pop("z"),
        lambda state: state.popitem(),
        lambda state: state.clear(),
        lambda state: state.__delitem__("z"),
        lambda state: state.__ior__({"z": torch.zeros(5)}),
    ],
)
def test_a_guide_cannot_write(write):
    class Writes(Guide):
        def step(self, state, y=None):
            write(state)

    smc = SMCFilter(Model(), Writes(), 5, 0)
    smc.init()
    with pytest.raises(RuntimeError, match="a guide can only read it"):
        smc.step(Y[0])
    smc.state["z"] = torch.zeros(5)  # it is unlocked again


def test_a_state_of_another_number_is_refused():
    state = SMCState(3)
    state["a"] = torch.ones(3, 2)
    for value in (torch.ones(4), torch.tensor(1.0), 1.0):
        with pytest.raises(ShapeError, match="3 particles along its first dimension"):
            state["b"] = value
    assert list(state) == ["a"]


def test_an_impossible_observation_is_refused():
    class Impossible(Model):
        def step(self, state, y=None):
            ppl.factor("f", torch.tensor(-math.inf))

    smc = SMCFilter(Impossible(), None, 5, 0)
    smc.init()
    with pytest.raises(NotFiniteError, match="impossible at every particle"):
        smc.step(Y[0])


def test_a_site_of_the_guide_alone_is_warned_of():
    class Other(Guide):
        def init(self, state):
            super().init(state)
            ppl.sample("other", dist.Normal(0.0, 1.0))

    with pytest.warns(PPLWarning, match="'other' of the guide is no latent site"):
        SMCFilter(Model(), Other(), 5, 0).init()


@pytest.mark.parametrize("ask", [lambda s: s.step(Y[0]), lambda s: s.log_evidence])
def test_init_comes_first(ask):
    with pytest.raises(NotRunError, match="call init"):
        ask(SMCFilter(Model(), None, 5, 0))


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1.0, math.nan])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(SiteError, match="ess_threshold"):
        SMCFilter(Model(), None, 5, 0, ess_threshold=threshold)


def test_a_model_without_its_methods_is_refused():
    with pytest.raises(SiteError, match="has no init and no step"):
        SMCFilter(lambda state: None, None, 5, 0)


class TestSystematicResampling:
    weights = torch.tensor([0.05, 0.0, 0.45, 0.3, 0.2, 0.0])

    def test_counts_are_within_one_of_their_mean_and_right_on_average(self):
        n = 7
        counts = torch.stack(
            [systematic_resample(self.weights.log(), n).bincount(minlength=6) for _ in range(400)]
        )
        assert (counts.sum(1) == n).all() and ((counts - n * self.weights).abs() < 1).all()
        share = n * self.weights % 1
        error = (share * (1 - share) / 400).sqrt()
        assert ((counts.double().mean(0) - n * self.weights).abs() <= 4.5 * error + 1e-6).all()

    def test_weights_of_zero_are_never_chosen_whatever_the_rounding(self):
        log_weights = torch.full((1000,), -torch.inf)
        log_weights[:7] = torch.rand(7)
        for _ in range(100):
            assert systematic_resample(log_weights, 9).max() < 7
