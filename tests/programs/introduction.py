"""The introductory tutorial of Pyro 0.3, cell by cell; only its imports say ppl."""

import matplotlib.pyplot as plt
import torch

import ppl as pyro
import ppl.distributions as dist
import ppl.infer
import ppl.optim

# In [2]


def scale(guess):
    # The prior over weight encodes our uncertainty about our guess
    weight = pyro.sample("weight", dist.Normal(guess, 1.0))
    # This encodes our belief about the noisiness of the scale:
    # the measurement fluctuates around the true weight
    return pyro.sample("measurement", dist.Normal(weight, 0.75))


# In [3]
posterior = pyro.infer.Importance(scale, num_samples=100)

# In [4]
guess = 8.5

marginal = pyro.infer.EmpiricalMarginal(posterior.run(guess))

# In [5]
plt.figure()
measurements = [marginal().item() for _ in range(100)]
plt.hist(measurements, range=(5.0, 12.0))
plt.title("P(measurement | guess)")

# In [6]
conditioned_scale = pyro.condition(scale, data={"measurement": 9.5})


# In [7]
def deferred_conditioned_scale(measurement, *args, **kwargs):
    return pyro.condition(scale, data={"measurement": measurement})(*args, **kwargs)


# In [8]
# equivalent to pyro.condition(scale, data={"measurement": torch.tensor([9.5])})
def scale_obs(guess):
    weight = pyro.sample("weight", dist.Normal(guess, 1.0))
    # here we attach an observation measurement == 9.5
    return pyro.sample("measurement", dist.Normal(weight, 1.0), obs=9.5)


# In [9]
def scale2(guess):
    weight = pyro.sample("weight", dist.Normal(guess, 1.0))
    tolerance = torch.abs(pyro.sample("tolerance", dist.Normal(0.0, 1.0)))
    return pyro.sample("measurement", dist.Normal(weight, tolerance))


# conditioning composes:
# the following are all equivalent and do not interfere with each other
conditioned_scale2_1 = pyro.condition(
    pyro.condition(scale2, data={"weight": 9.2}), data={"measurement": 9.5}
)

conditioned_scale2_2 = pyro.condition(
    pyro.condition(scale2, data={"measurement": 9.5}), data={"weight": 9.2}
)

conditioned_scale2_3 = pyro.condition(scale2, data={"weight": 9.2, "measurement": 9.5})

# In [10]
guess = 8.5
measurement = 9.5

conditioned_scale = pyro.condition(scale, data={"measurement": measurement})

marginal = pyro.infer.EmpiricalMarginal(
    pyro.infer.Importance(conditioned_scale, num_samples=100).run(guess), sites="weight"
)

# The marginal distribution concentrates around the data
plt.figure()
from_prior = [marginal().item() for _ in range(100)]
plt.hist(from_prior, range=(5.0, 12.0))
plt.title("P(weight | measurement, guess)")


# In [11]
def scale_prior_guide(guess):
    return pyro.sample("weight", dist.Normal(guess, 1.0))


posterior = pyro.infer.Importance(conditioned_scale, guide=scale_prior_guide, num_samples=10)

marginal = pyro.infer.EmpiricalMarginal(posterior.run(guess), sites="weight")


# In [12]
def scale_posterior_guide(measurement, guess):
    # note that torch.size(measurement, 0) is the total number of measurements
    # that we're conditioning on
    a = (guess + torch.sum(measurement)) / (measurement.size(0) + 1.0)
    b = 1.0 / (measurement.size(0) + 1.0)
    return pyro.sample("weight", dist.Normal(a, b))


posterior = pyro.infer.Importance(
    deferred_conditioned_scale, guide=scale_posterior_guide, num_samples=20
)

marginal = pyro.infer.EmpiricalMarginal(
    posterior.run(torch.tensor([measurement]), guess), sites="weight"
)
plt.figure()
from_guide = [marginal().item() for _ in range(100)]
plt.hist(from_guide, range=(5.0, 12.0))
plt.title("P(weight | measurement, guess)")

# In [13]
simple_param_store = {}
a = simple_param_store.setdefault("a", torch.randn(1))


def scale_parametrized_guide(guess):
    a = pyro.param("a", torch.tensor(torch.randn(1) + guess))
    b = pyro.param("b", torch.randn(1))
    return pyro.sample("weight", dist.Normal(a, torch.abs(b)))


# In [14]
svi = pyro.infer.SVI(
    model=conditioned_scale,
    guide=scale_parametrized_guide,
    optim=pyro.optim.SGD({"lr": 0.001}),
    loss=pyro.infer.Trace_ELBO(),
)

losses = []
for t in range(1000):  # noqa: B007
    losses.append(svi.step(guess))

plt.figure()
plt.plot(losses)
plt.title("ELBO")
plt.xlabel("step")
plt.ylabel("loss")

# In [15]
posterior = pyro.infer.Importance(conditioned_scale, scale_parametrized_guide, num_samples=10)
marginal = pyro.infer.EmpiricalMarginal(posterior.run(guess), sites="weight")

plt.figure()
from_learned = [marginal().item() for _ in range(100)]
plt.hist(from_learned, range=(5.0, 12.0))
plt.title("P(weight | measurement, guess)")

# In [16]
plt.figure()
from_variational = [scale_parametrized_guide(guess).item() for _ in range(100)]
plt.hist(from_variational, range=(5.0, 12.0))
plt.title("P(weight | measurement, guess)")
