"""Which public names belong to which page of the reference.

A part with names takes these from its module, in this order; one without takes all that no part has
named. A name that is new in a module with such a part needs no edit here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Names of one module under a title; the first part of a page may have none."""

    title: str
    module: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Topic:
    """A page: the name of its file, its title, what it is about, and its parts."""

    file: str
    title: str
    about: str
    parts: list[Part]


def _part(title: str, module: str, names: str = "") -> Part:
    return Part(title, module, tuple(names.split()))


TOPICS = [
    Topic(
        "primitives",
        "Primitives",
        "The statements of a model.",
        [
            _part(
                "Statements",
                "ppl",
                "sample param plate plate_stack subsample deterministic factor "
                "markov module barrier",
            ),
            _part("Kept for old programs", "ppl", "random_module irange iarange"),
        ],
    ),
    Topic(
        "handlers",
        "Effect handlers",
        "They change what the statements of a model do: condition it, record it, replay it. All of "
        "them wrap a model, decorate it, or stand in a `with` statement.",
        [
            _part("Conditioning", "ppl", "condition do"),
            _part("Handlers and traces", "ppl.poutine"),
            _part("Handlers of your own", "ppl.poutine.messenger"),
            _part("Tools for handlers", "ppl.poutine.runtime"),
            _part("Tools for sites", "ppl.poutine.util"),
        ],
    ),
    Topic(
        "distributions-interface",
        "Distributions: the interface",
        "What every distribution has, and what wraps any of them. `Normal(0.0, 1.0).expand([3])`, "
        "`.mask(m)` and `.to_event(1)` make the wrappers.",
        [
            _part(
                "",
                "ppl.distributions",
                "Distribution TorchDistribution TorchDistributionMixin ExponentialFamily "
                "ExpandedDistribution Independent MaskedDistribution",
            ),
            _part("For authors of distributions", "ppl.distribution"),
            _part("Divergences", "ppl.distributions", "kl_divergence register_kl"),
            _part("Tools", "ppl.distributions.util"),
        ],
    ),
    Topic(
        "distributions-continuous",
        "Distributions: continuous",
        "One number a draw, or an angle.",
        [
            _part(
                "On the real line",
                "ppl.distributions",
                "Normal StudentT Cauchy Laplace AsymmetricLaplace SoftLaplace "
                "SoftAsymmetricLaplace Logistic SkewLogistic Gumbel Stable "
                "StableWithLogProb GroupedNormalNormal",
            ),
            _part(
                "Positive",
                "ppl.distributions",
                "Exponential Gamma InverseGamma LogNormal HalfNormal HalfCauchy Chi2 "
                "FisherSnedecor Weibull Pareto GeneralizedPareto TruncatedPolyaGamma",
            ),
            _part(
                "On an interval",
                "ppl.distributions",
                "Uniform Beta AffineBeta Kumaraswamy ContinuousBernoulli RelaxedBernoulli "
                "RelaxedBernoulliStraightThrough",
            ),
            _part(
                "Directions",
                "ppl.distributions",
                "VonMises VonMises3D ProjectedNormal SineBivariateVonMises SineSkewed",
            ),
        ],
    ),
    Topic(
        "distributions-discrete",
        "Distributions: discrete",
        "Counts, classes, and structures such as matchings and trees.",
        [
            _part(
                "Counts",
                "ppl.distributions",
                "Bernoulli Binomial BetaBinomial ExtendedBinomial ExtendedBetaBinomial Poisson "
                "GammaPoisson NegativeBinomial LogNormalNegativeBinomial Geometric",
            ),
            _part(
                "With more or fewer zeros",
                "ppl.distributions",
                "ZeroInflatedDistribution ZeroInflatedPoisson ZeroInflatedNegativeBinomial "
                "Hurdle HurdlePoisson HurdleNegativeBinomial",
            ),
            _part(
                "Classes",
                "ppl.distributions",
                "Categorical OneHotCategorical OneHotCategoricalStraightThrough OrderedLogistic "
                "Multinomial DirichletMultinomial",
            ),
            _part("Structures", "ppl.distributions", "OneOneMatching OneTwoMatching SpanningTree"),
        ],
    ),
    Topic(
        "distributions-multivariate",
        "Distributions: multivariate",
        "A vector or a matrix a draw.",
        [
            _part(
                "Vectors",
                "ppl.distributions",
                "MultivariateNormal LowRankMultivariateNormal OMTMultivariateNormal "
                "AVFMultivariateNormal MultivariateStudentT ZeroSumNormal CAR ICAR",
            ),
            _part(
                "On the simplex",
                "ppl.distributions",
                "Dirichlet LogisticNormal RelaxedOneHotCategorical "
                "RelaxedOneHotCategoricalStraightThrough",
            ),
            _part("Matrices", "ppl.distributions", "LKJ LKJCholesky LKJCorrCholesky Wishart"),
        ],
    ),
    Topic(
        "distributions-mixtures",
        "Distributions: mixtures and wrappers",
        "Made from other distributions.",
        [
            _part(
                "Mixtures",
                "ppl.distributions",
                "MixtureSameFamily MaskedMixture MixtureOfDiagNormals "
                "MixtureOfDiagNormalsSharedCovariance GaussianScaleMixture",
            ),
            _part(
                "Changed distributions",
                "ppl.distributions",
                "TransformedDistribution Truncated Censored FoldedDistribution NanMaskedNormal "
                "NanMaskedMultivariateNormal Rejector",
            ),
            _part(
                "Points, draws and flat densities",
                "ppl.distributions",
                "Delta Empirical Unit ImproperUniform",
            ),
            _part(
                "Conditional",
                "ppl.distributions",
                "ConditionalDistribution ConstantConditionalDistribution "
                "ConditionalTransformedDistribution",
            ),
        ],
    ),
    Topic(
        "distributions-series",
        "Distributions: time series",
        "Hidden Markov models and coalescents.",
        [
            _part(
                "Hidden Markov models",
                "ppl.distributions",
                "DiscreteHMM GaussianHMM GammaGaussianHMM LinearHMM IndependentHMM GaussianMRF",
            ),
            _part(
                "Coalescents",
                "ppl.distributions",
                "CoalescentTimes CoalescentTimesWithRate CoalescentRateLikelihood",
            ),
        ],
    ),
    Topic(
        "distributions-more",
        "Distributions: more",
        "What belongs to none of the other groups.",
        [_part("", "ppl.distributions")],
    ),
    Topic(
        "transforms",
        "Transforms and constraints",
        "Bijections and other maps between supports, and the supports. `biject_to(constraint)` is "
        "the transform from unconstrained numbers to a support.",
        [
            _part("From support to support", "ppl.distributions", "biject_to transform_to"),
            _part("Transforms", "ppl.distributions.transforms"),
            _part(
                "Conditional transforms",
                "ppl.distributions",
                "ConditionalTransform ConditionalTransformModule ConstantConditionalTransform "
                "TransformModule ComposeTransformModule",
            ),
            _part("Constraints", "ppl.distributions.constraints"),
            _part(
                "Networks for normalizing flows",
                "ppl.nn",
                "DenseNN AutoRegressiveNN ConditionalDenseNN ConditionalAutoRegressiveNN",
            ),
            _part("More for normalizing flows", "ppl.contrib.flows"),
        ],
    ),
    Topic(
        "parameters",
        "Parameters and modules",
        "`ppl.param` makes them; the store keeps them, or a module does.",
        [
            _part("The store", "ppl", "get_param_store clear_param_store param_store"),
            _part("", "ppl.params"),
            _part("Modules", "ppl.nn"),
        ],
    ),
    Topic(
        "svi",
        "Variational inference and ELBOs",
        "See {doc}`../svi` for fits, and {doc}`../saving` for what to do with the result.",
        [
            _part("", "ppl.infer", "SVI Trace_ELBO ELBO"),
            _part("Sites that are enumerated", "ppl.infer", "config_enumerate infer_discrete"),
            _part("More", "ppl.infer.svi"),
            _part("More ELBOs", "ppl.infer.svi.elbo"),
            _part("Pure functions", "ppl.infer.functional"),
        ],
    ),
    Topic(
        "autoguides",
        "Guides that write themselves",
        "A guide made from the model. {doc}`../guides` shows them at work.",
        [
            _part("", "ppl.infer.autoguide"),
            _part("By hand, with help", "ppl.contrib.easyguide"),
            _part("Starting values", "ppl.infer.initialization"),
        ],
    ),
    Topic(
        "mcmc",
        "Markov chain Monte Carlo",
        "{doc}`../mcmc` shows them at work.",
        [
            _part("", "ppl.infer", "MCMC NUTS HMC RandomWalkKernel StreamingMCMC"),
            _part("Blocks of sites, and subsamples", "ppl.infer", "Gibbs DiscreteGibbs HMCECS"),
            _part("Kernels of your own", "ppl.infer.mcmc"),
            _part("Tools", "ppl.infer.mcmc.util"),
        ],
    ),
    Topic(
        "results",
        "Results",
        "One kind of posterior for all inference, and what can be asked of it. {doc}`../results` "
        "shows it at work.",
        [
            _part("", "ppl.infer", "posterior Posterior"),
            _part("What it returns, and methods of your own", "ppl.infer.results"),
        ],
    ),
    Topic(
        "prediction",
        "Prediction",
        "Draws of what was not observed, from the prior, from a guide or from the draws of MCMC.",
        [
            _part("", "ppl.infer", "Predictive log_likelihood"),
            _part("With weights", "ppl.infer", "WeighedPredictive MHResampler"),
            _part("", "ppl.infer.weighed_predictive"),
            _part("For the choice of a prior", "ppl.infer.resampler"),
        ],
    ),
    Topic(
        "importance",
        "Importance sampling and search",
        "Posteriors made of weighted executions; {doc}`../importance` shows them at work.",
        [
            _part("", "ppl.infer", "Importance CSIS Search"),
            _part("Weights", "ppl.infer.importance"),
            _part("What the executions say", "ppl.infer", "EmpiricalMarginal TracePosterior"),
            _part("Marginals of several sites", "ppl.infer.abstract_infer"),
            _part("Kept for old programs", "ppl.infer", "TracePredictive"),
        ],
    ),
    Topic(
        "filtering",
        "Sequential Monte Carlo",
        "Particles that follow a series, or lead to a posterior; see {doc}`../filtering`.",
        [
            _part("Filtering", "ppl.infer", "SMCFilter"),
            _part("The state of a filter", "ppl.infer.smcfilter"),
            _part("From the prior to the posterior", "ppl.infer", "SMC"),
        ],
    ),
    Topic(
        "optimizers",
        "Optimizers",
        "For `SVI`: those of torch with arguments in a dict, and some more. Schedulers too.",
        [_part("", "ppl.optim"), _part("Functional", "ppl.optim.functional")],
    ),
    Topic(
        "diagnostics",
        "Diagnostics",
        "Did the chains mix, how many independent draws are they worth, and what do they say? Is a "
        "method right? {doc}`../calibration` shows how to find out.",
        [
            _part("Of a run", "ppl.infer.diagnostics"),
            _part("Statistics", "ppl.ops.stats"),
            _part("Calibration of a method", "ppl.infer", "calibrate"),
            _part("", "ppl.infer.calibration"),
        ],
    ),
    Topic(
        "checking",
        "Checking a model",
        "{doc}`../checking` lists what is found.",
        [_part("", "ppl", "check"), _part("", "ppl.checker")],
    ),
    Topic(
        "rendering",
        "Pictures of models",
        "{doc}`../rendering` shows some.",
        [_part("", "ppl", "render_model"), _part("Structure as data", "ppl.infer.inspect")],
    ),
    Topic(
        "settings",
        "Settings, seeds and compiled programs",
        "What holds for the whole process.",
        [
            _part("Seeds", "ppl", "set_rng_seed get_rng_state set_rng_state"),
            _part("Validation", "ppl", "enable_validation validation_enabled"),
            _part("Settings", "ppl.settings"),
            _part("Compiled programs", "ppl.ops.jit"),
            _part("Compiled C++", "ppl.engine.cpp_library"),
            _part("More", "ppl"),
            _part("More of inference", "ppl.infer"),
            _part("Tools", "ppl.util"),
            _part("Tools of inference", "ppl.infer.util"),
        ],
    ),
    Topic(
        "errors",
        "Errors and warnings",
        "All derive from `PPLError` and from the builtin that a program would expect.",
        [_part("", "ppl.errors")],
    ),
    Topic(
        "plugins",
        "Plugins",
        "{doc}`../plugins` shows complete ones.",
        [
            _part("", "ppl.plugins"),
            _part("Laws for the tests of a plugin", "ppl.distributions.testing"),
        ],
    ),
]
