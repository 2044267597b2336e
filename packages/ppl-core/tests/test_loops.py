"""A batched function is the function whose loops it batches, or it is declined with the reason."""

import math
import random

import pytest
import torch
from torch.testing import assert_close

from ppl.engine import record
from ppl.engine.loops import DeclinedError, at_vector_speed, batch_loops

T = 20
DATA = torch.randn(3 * T, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
GROUP = [i * 7 % 5 for i in range(T)]


def position(dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(dim, generator=generator, dtype=torch.float64)


def assert_same(fn, dim):
    """Check values and gradients at two positions other than the one of the trace."""
    batched = batch_loops(fn, position(dim))
    together = record(
        torch.func.vmap(torch.func.grad_and_value(batched)), torch.zeros(2, dim).double()
    )
    positions = torch.stack([position(dim, 1), position(dim, 2)])
    gradients, values = together(positions)
    for z, gradient, value in zip(positions, gradients, values, strict=True):
        expected_gradient, expected = torch.func.grad_and_value(fn)(z)
        scale = 1 + expected_gradient.abs().max()
        assert_close(value, expected, rtol=1e-10, atol=1e-10)
        assert_close(gradient / scale, expected_gradient / scale, rtol=0, atol=1e-10)
    return batched


# models as people write them: x are the parts of the position, one for each round, s is a scale


def parts(z):
    return z[0].exp(), z[1], z[2:].unbind()


def normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - torch.as_tensor(scale).log()


def random_walk(z):
    s, before, xs = *parts(z)[:2], parts(z)[2]
    total = normal(s, 0.0, 1.0)
    for t, x in enumerate(xs):
        total = total + normal(x, before, s) + normal(DATA[t, 0], x, 0.5)
        before = x
    return total


def walk_of_steps(z):
    s, level, steps = parts(z)
    total = 0.0
    for t, step in enumerate(steps):
        level = level + s * step
        total = total + normal(step, 0.0, 1.0) + normal(DATA[t, 0], level, 0.5)
    return total


def autoregression_of_steps(z):
    s, level, steps = parts(z)
    total = 0.0
    for t, step in enumerate(steps):
        level = (level * s - DATA[t, 1] / 4 + step) / 2
        total = total - (level - DATA[t, 0]) ** 2
    return total


def factors_of_each_round(z):
    s, level, steps = parts(z)
    level = level * torch.ones(3)
    total = 0.0
    for t, step in enumerate(steps):
        level = step.tanh() * level + DATA[t] * s
        total = total + (level**2).sum()
    return total


def second_order(z):
    a, b, xs = parts(z)
    return sum(normal(xs[t], a * xs[t - 1] + b * xs[t - 2], 0.3) for t in range(2, len(xs)))


def volatility(z):
    a, b, xs = parts(z)
    h, total = a, 0.0
    for x in xs:
        h = 0.2 + a * x**2 + 0.1 * h * b.sigmoid()
        total = total + normal(x, 0.0, h.sqrt())
    return total


def two_trends(z):
    s, level, steps = parts(z)
    slope, total = torch.zeros(()), 0.0
    for t, step in enumerate(steps):
        level = level + slope + s * step
        slope = slope + 0.1 * step
        total = total + normal(DATA[t, 0], level, 0.5)
    return total


def of_first_round(z):
    s, level, steps = parts(z)
    first = None
    for step in steps:
        level = (level + step).tanh() if first is None else (level * first + step).tanh()
        first = level if first is None else first
    return level * s


def forward_algorithm(z):
    table = z[:9].reshape(3, 3).log_softmax(-1)
    alpha = z[9:12]
    for t in range(T):
        alpha = torch.logsumexp(alpha[:, None] + table, 0) + normal(z[9:12], DATA[t, 0], 1.0)
    return torch.logsumexp(alpha, 0)


def rows(z):
    weights, s = z[:3], z[3].exp()
    return sum(normal(DATA[t] @ weights, DATA[t, 0], s) for t in range(T))


def looked_up(z):
    s = z[5].exp()
    return sum(normal(DATA[t, 0], z[:5][GROUP[t]], s) for t in range(T))


def ragged(z):
    total = 0.0
    for t, x in enumerate(parts(z)[2]):
        total = total + normal(DATA[: 2 + t % 5, 0], x, 1.0).sum()
    return total


def nested(z):
    s, mean, xs = parts(z)
    total = 0.0
    for j in range(4):
        total = total + normal(xs[j], mean, 1.0)
        for k in range(4):
            total = total + normal(DATA[4 * j + k, 0], xs[j], s)
    return total


def with_options(z):
    s, _, xs = parts(z)
    total = 0.0
    for t, x in enumerate(xs):
        loc = x * 2.0 if t % 3 else x
        total = total + normal(DATA[t, 0], loc + (0.1 * t if t % 4 == 0 else s), 2.0 + t)
    return total


def without_gradient(z):
    s, _, xs = parts(z)
    return sum(normal(x.detach() * s, x, s) for x in xs)


def numbers_of_rounds(z):
    s, _, xs = parts(z)
    return sum((t - x) * (1 - s) / (t + 1) + -0.0 * x for t, x in enumerate(xs))


def small_matrices(z):
    s, _, xs = parts(z)
    total = 0.0
    for i in range(0, 18, 3):
        a, b, c = xs[i : i + 3]
        matrix = torch.stack([torch.stack([a.exp(), b]), torch.stack([b, c.exp() + b**2])])
        total = total + torch.logdet(matrix.mT @ matrix + s * torch.eye(2).double())
    return total


def one_vector(z):
    s, *xs = z[:1].exp(), *z[1:].split(3)
    return sum((torch.cat([x, s, x[1:]]).cumsum(0) ** 2).sum() for x in xs)


def of_all_rounds(z):
    s, _, xs = parts(z)
    table = torch.stack([x * s for x in xs])
    return normal(table, DATA[: len(xs), 0], s).sum() + sum(x * s for x in xs)


MODELS = [
    *(random_walk, walk_of_steps, autoregression_of_steps, factors_of_each_round, second_order),
    *(volatility, two_trends, of_first_round, forward_algorithm, rows, looked_up, ragged, nested),
    *(with_options, without_gradient, numbers_of_rounds, small_matrices, one_vector, of_all_rounds),
]


@pytest.mark.parametrize("model", MODELS)
def test_a_batched_model_has_its_values_and_gradients(model):
    assert_same(model, 2 + T)


@pytest.mark.parametrize(
    "model", [random_walk, walk_of_steps, second_order, two_trends, numbers_of_rounds]
)
def test_the_work_does_not_grow_with_the_number_of_rounds(model):
    few, many = (batch_loops(model, position(2 + n)) for n in (T, 3 * T))
    assert many.num_operations > 2 * few.num_operations
    assert many.num_steps == few.num_steps


@pytest.mark.parametrize(
    "model", [walk_of_steps, autoregression_of_steps, factors_of_each_round, two_trends]
)
def test_recurrences_that_are_affine_run_at_once(model):
    sizes = []
    for num_rounds in (T, 2 * T):
        batched = batch_loops(model, position(2 + num_rounds))
        assert batched.recurrences[0][0] >= num_rounds - 2
        sizes.append(len(record(batched, position(2 + num_rounds)).graph.nodes))
    assert sizes[1] <= sizes[0] + 16  # one more doubling


# generated models


UNARY = (torch.tanh, torch.sin, torch.neg, lambda x: x**2, lambda x: 1 - x, lambda x: 2 * x - 0.5)
BINARY = (
    *(torch.add, torch.sub, torch.mul, torch.maximum),
    lambda x, y: x / (1 + y**2),
    lambda x, y: torch.where(x > y, x, y.sin()),
    lambda x, y: torch.logsumexp(torch.stack(torch.broadcast_tensors(x, y)), 0),
)


class Generated:
    """A random program with a loop whose rounds take data, a table and earlier rounds."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.rounds = self.random.randint(9, T)
        self.has_vectors = self.random.random() < 0.3
        self.state, self.score, self.other = (self.tree(depth) for depth in (2, 3, 2))
        self.every = self.random.choice([0, 0, 2, 3])

    def tree(self, depth):
        if depth == 0:
            return self.random.randrange(8)
        if self.random.random() < 0.4:
            return self.random.choice(UNARY), self.tree(depth - 1)
        return self.random.choice(BINARY), self.tree(depth - 1), self.tree(depth - 1)

    def __call__(self, z):
        table, shared = z[:5], z[5:7].unbind()
        rest = z[7 : 7 + 3 * T].reshape(T, 3) if self.has_vectors else z[7 : 7 + T]
        states, total = [shared[0], shared[1]], 0.0
        for t, x in enumerate(rest.unbind()[: self.rounds]):
            data = DATA[t] if self.has_vectors else DATA[t, 0]
            atoms = [x, *shared, data, states[-1], states[-2], table[GROUP[t]], x + 0.1 * t]
            states.append(value(self.state, atoms))
            score = self.other if self.every and t % self.every == 0 else self.score
            total = total + value(score, atoms).sum()
        return total + states[-1].sum()


def value(tree, atoms):
    if isinstance(tree, int):
        return atoms[tree]
    return tree[0](*(value(branch, atoms) for branch in tree[1:]))


@pytest.mark.parametrize("seed", range(40))
def test_a_generated_loop_has_its_values_and_gradients(seed):
    assert_same(Generated(seed), 7 + 3 * T)


# what is declined


class Odd(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.exp()

    @staticmethod
    def backward(ctx, gradient):
        return 7 * gradient


def write(z):
    memory = torch.zeros(3).double()
    memory[0] = z[0]
    return memory.sum()


def write_constant(z):
    total, memory = 0.0, torch.zeros(100).double()
    for t in range(T):
        memory += t
        total = total + (z[0] * memory).sum()
    return total


def without_grad(z):
    with torch.no_grad():
        w = 2 * z
    return (z * w).sum()


def drawn_into(z):
    memory = torch.zeros(3).double()
    memory[1] = torch.rand(())
    return (memory * z[:3]).sum()


DECLINED = {
    "item": lambda z: z[0] * z[1].item(),
    "float": lambda z: z[0] * float(z[1]),
    "tolist": lambda z: z[0] * z[:2].tolist()[1],
    "numpy": lambda z: z[0] * z.detach().numpy()[1],
    "data takes": lambda z: z[0] * z.data[1],
    "nn.Parameter": lambda z: z[0] * torch.nn.Parameter(z.exp())[0],
    "tensor takes": lambda z: z[0] * torch.tensor([z[0], z[1]]).sum(),
    "bool": lambda z: z[0] if z[0] > 0 else z[1],
    "index.Tensor depends on values": lambda z: z[z > 0].sum(),
    "it draws": lambda z: z[0] + torch.randn(()),
    "rand_like": lambda z: (z + torch.rand_like(z)).sum(),
    "it draws at": drawn_into,
    "writes into": write,
    "changes a tensor": write_constant,
    "without gradient": without_grad,
    "derivative of its own": lambda z: Odd.apply(z[0]),
    "do not depend": lambda z: torch.ones(()),
    "something else": lambda z: (z.sum(), 1.0),
    "ValueError": lambda z: [].index(z),
}


@pytest.mark.parametrize("reason", DECLINED)
def test_what_cannot_be_seen_is_declined(reason):
    with pytest.raises(DeclinedError, match=reason):
        batch_loops(DECLINED[reason], position(5))


def test_a_trace_leaves_the_random_numbers_as_they_were():
    torch.manual_seed(0)
    with pytest.raises(DeclinedError):
        batch_loops(lambda z: z[0] + torch.randn(()), position(1))
    drawn = torch.randn(())
    torch.manual_seed(0)
    assert drawn == torch.randn(())


# what becomes of functions


def test_a_function_with_many_operations_of_few_kinds_is_batched():
    fn, decision = at_vector_speed(random_walk, position(2 + 3 * T))
    assert_close(fn(position(2 + 3 * T)), random_walk(position(2 + 3 * T)))
    assert decision.endswith(f"operations batched as {fn.num_steps}")


@pytest.mark.parametrize("fn", [rows, lambda z: z.sum().item() * z[0]])
def test_others_are_left_as_they_are_with_the_reason(fn):
    found, decision = at_vector_speed(fn, position(5))
    assert found is fn
    assert decision.startswith("not batched: ")


def test_results_may_be_in_containers_and_constant():
    def fn(z):
        return {"x": [x.exp() for x in z.unbind()], "constant": torch.tensor(math.pi)}

    found = batch_loops(fn, position(T))(position(T, 1))
    assert_close(found, fn(position(T, 1)))


def test_a_batched_function_works_in_single_precision_too():
    z = position(2 + T).float()
    assert_close(batch_loops(random_walk, z)(z), random_walk(z), rtol=1e-5, atol=1e-5)
    assert batch_loops(random_walk, z)(z).dtype is torch.float64  # that of the data
