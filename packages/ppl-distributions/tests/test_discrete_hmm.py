"""Hidden Markov models with finitely many states, against the forward algorithm."""

import pytest
import torch
from torch.func import grad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing import assert_close

from ppl.distributions import Categorical, DiscreteHMM, MultivariateNormal, Normal
from ppl.errors import ShapeError

LENGTHS = [1, 2, 3, 7, 64, 67, 130]


def forward(hmm, x):
    """Return the joint log density of a series and its last state, one step after another."""
    length = x.shape[x.dim() - hmm.event_dim]
    likelihood = hmm.observation_dist.log_prob(x.unsqueeze(x.dim() - hmm.event_dim + 1))
    moves = hmm.transition_logits
    moves = moves.expand(moves.shape[:-3] + (length,) + moves.shape[-2:])
    alpha = hmm.initial_logits
    for t in range(length):
        alpha = torch.logsumexp(alpha.unsqueeze(-1) + moves[..., t, :, :], -2)
        alpha = alpha + likelihood[..., t, :]
    return alpha


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def model(length, states=3, batch=(), moving=True, **options):
    time = (length,) if moving else (1,)
    return DiscreteHMM(
        randn(*batch, states),
        randn(*time, states, states),
        Normal(randn(*batch, *time, states), 1.0),
        **options,
    )


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
@pytest.mark.parametrize("moving", [True, False])
def test_density_and_filter_equal_the_forward_algorithm(length, batch, moving):
    hmm, x = model(length, batch=batch, moving=moving), randn(*batch, length)
    want = forward(hmm, x)
    assert_close(hmm.log_prob(x), want.logsumexp(-1), rtol=1e-12, atol=1e-9)
    assert_close(hmm.filter(x).logits, want.log_softmax(-1), rtol=1e-12, atol=1e-9)


def test_gradients_equal_those_of_the_forward_algorithm():
    initial, transition, loc = randn(3), randn(3, 3), randn(3)
    x = randn(37)
    inputs = [p.requires_grad_() for p in (initial, transition, loc, x)]
    hmm = DiscreteHMM(initial, transition, Normal(loc, 1.0))
    got = torch.autograd.grad(hmm.log_prob(x), inputs)
    again = DiscreteHMM(initial, transition, Normal(loc, 1.0))
    assert_close(got, torch.autograd.grad(forward(again, x).logsumexp(-1), inputs))


def change_point(dtype):
    """Return a chain that cannot return, and a series in which its states are the wrong way round.

    Staying and moving at once are both lighter by thousands of nats than the best guess on each
    half of the series, and equally likely on the whole.
    """
    never = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=dtype).log().requires_grad_()
    loc = torch.tensor([0.0, 1.0], dtype=dtype, requires_grad=True)
    hmm = DiscreteHMM(torch.tensor([0.0, -torch.inf], dtype=dtype), never, Normal(loc, 0.1))
    return hmm, torch.tensor([1.0] * 50 + [0.0] * 50, dtype=dtype), loc


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forbidden_transitions_are_exact_and_have_finite_gradients(dtype):
    hmm, x, loc = change_point(dtype)
    got, want = hmm.log_prob(x), forward(hmm, x).logsumexp(-1)
    assert want < -2000
    assert_close(got, want)
    gradient = torch.autograd.grad(got, loc)[0]
    assert gradient.isfinite().all()
    assert_close(gradient, torch.autograd.grad(want, loc)[0])


def test_an_impossible_series_has_density_zero_and_finite_gradients():
    always = torch.tensor([0.0, -torch.inf])
    loc = torch.zeros(2, requires_grad=True)
    hmm = DiscreteHMM(loc, torch.zeros(2, 2), Categorical(logits=always.expand(2, 2)))
    log_prob = hmm.log_prob(torch.tensor([0, 1, 0]))
    assert log_prob == -torch.inf
    assert torch.autograd.grad(log_prob, loc)[0].isfinite().all()


def test_a_long_series_in_single_precision_keeps_six_digits():
    hmm, x = model(1, states=4, moving=False), randn(1000)
    single = DiscreteHMM(
        hmm.initial_logits.float(),
        hmm.transition_logits.float(),
        Normal(hmm.observation_dist.loc.float(), 1.0),
    )
    assert_close(single.log_prob(x.float()).double(), hmm.log_prob(x), rtol=1e-6, atol=0.0)


def test_masked_observations_do_not_count():
    hmm, x = model(5), randn(5)
    seen = torch.tensor([True, True, False, True, False])
    observation = hmm.observation_dist.mask(seen.unsqueeze(-1))
    masked = DiscreteHMM(hmm.initial_logits, hmm.transition_logits, observation)
    assert_close(masked.log_prob(x.masked_fill(~seen, 99.0)), forward(masked, x).logsumexp(-1))
    assert_close(masked.log_prob(x), masked.log_prob(x.masked_fill(~seen, 99.0)))


def test_observations_may_be_vectors():
    observation = MultivariateNormal(randn(3, 2), torch.eye(2).double())
    hmm, x = DiscreteHMM(randn(3), randn(3, 3), observation, duration=5), randn(4, 5, 2)
    assert hmm.event_shape == (5, 2) and hmm.sample((4,)).shape == (4, 5, 2)
    assert_close(hmm.log_prob(x), forward(hmm, x).logsumexp(-1))


def test_a_model_without_time_scores_any_length_and_draws_none():
    hmm = model(1, moving=False)
    assert hmm.event_shape == (1,) and hmm.duration is None
    assert hmm.log_prob(randn(4, 9)).shape == (4,)
    with pytest.raises(ShapeError, match="pass duration="):
        hmm.sample()


def test_a_duration_must_fit_parameters_and_values():
    assert model(7).duration == 7
    hmm = model(1, moving=False, duration=6)
    assert hmm.event_shape == (6,) and hmm.expand((2, 3)).sample((4,)).shape == (4, 2, 3, 6)
    with pytest.raises(ShapeError, match="7 time steps, but duration is 6"):
        model(7, duration=6)
    with pytest.raises(ValueError, match="event_shape"):
        hmm.log_prob(randn(5))


@pytest.mark.parametrize(
    "initial,transition,batch",
    [
        ((3,), (2, 2), (2,)),
        ((2,), (2, 3), (2,)),
        ((2,), (2,), (2,)),
        ((2,), (2, 2), ()),
        ((), (2, 2), (2,)),
    ],
)
def test_numbers_of_states_must_agree(initial, transition, batch):
    with pytest.raises(ShapeError, match="expected initial_logits"):
        DiscreteHMM(torch.zeros(initial), torch.zeros(transition), Normal(torch.zeros(batch), 1.0))


def test_frequencies_of_states_follow_the_chain():
    """The states of a series with exact observations are seen; their pairs have known chances."""
    hmm = DiscreteHMM(randn(3), randn(3, 3), Normal(torch.arange(3.0).double(), 1e-6), duration=3)
    states = hmm.sample((20_000,)).round().long()
    pairs = torch.bincount(3 * states[:, 1] + states[:, 2], minlength=9).double() / 20_000
    before = hmm.initial_logits.exp() @ hmm.transition_logits.exp() @ hmm.transition_logits.exp()
    want = (before.unsqueeze(-1) * hmm.transition_logits.exp()).flatten()
    z = (pairs - want) / (want * (1 - want) / 20_000).sqrt()
    assert z.abs().max() < 5.0  # about 1e-5 chance of a false alarm


def test_a_recording_does_not_hold_all_paths_at_once():
    """Of its tensors none is larger than eight times the matrices of all time steps."""
    hmm, x = model(16, states=24, validate_args=False), randn(16)
    hmm.observation_dist._validate_args = False
    recording = make_fx(grad(lambda x: hmm.log_prob(x)))(x)
    tensors = [n.meta["tensor_meta"] for n in recording.graph.nodes if "tensor_meta" in n.meta]
    largest = max(t.shape.numel() for t in tensors)
    assert hmm.transition_logits.numel() <= largest <= 8 * hmm.transition_logits.numel()
    eager = x.clone().requires_grad_()
    assert_close(recording(x), torch.autograd.grad(hmm.log_prob(eager), eager)[0])
