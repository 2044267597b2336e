"""The table of everything that :func:`ppl.check` reports."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """A kind of finding: its stable name, what it is, and the usual cure."""

    name: str
    title: str
    fix: str


_TABLE = (
    # the program
    ("PPL001", "the program raises an exception", "correct the line that raises it"),
    # sites
    (
        "PPL101",
        "two sites share a name",
        "number names inside a loop, as in f'x_{i}', or use a plate",
    ),
    (
        "PPL102",
        "a site cannot be scored: it has no distribution, or its value is no tensor",
        "pass a distribution to sample, and a tensor, array or number as obs",
    ),
    (
        "PPL103",
        "the set of sites changes from run to run",
        "make every site in every run, and choose between values with torch.where or a mask",
    ),
    (
        "PPL104",
        "the shape of a site changes from run to run",
        "give the site one shape, and hide the part that is not used with a mask",
    ),
    (
        "PPL105",
        "the support of a latent site changes from run to run",
        "draw on a fixed support, such as the unit interval, and transform the value",
    ),
    (
        "PPL106",
        "the model is conditioned on a site that it does not have",
        "correct the name in the data of condition",
    ),
    # shapes and plates
    (
        "PPL201",
        "the batch shape of a distribution does not fit its plate",
        "declare event dimensions with .to_event(n), or correct the plate's size or dim",
    ),
    (
        "PPL202",
        "a distribution has a batch dimension that no plate declares",
        "declare event dimensions with .to_event(n), or open a plate for the batch dimension",
    ),
    (
        "PPL203",
        "a value does not fit the shape of its distribution",
        "correct the shape of the data, the size of the plate, or use .to_event(n)",
    ),
    (
        "PPL204",
        "an observation has a batch dimension that neither distribution nor plate has",
        "put the statement into a plate of the size of the data",
    ),
    (
        "PPL205",
        "a plate is declared or nested in a way that has no meaning",
        "give nested plates different dims, or leave dim out",
    ),
    (
        "PPL206",
        "a plate has another size or dim in the guide than in the model",
        "make both plates alike",
    ),
    (
        "PPL207",
        "a plate uses a part of its elements, its data are whole",
        "take the same part of the data: with plate(...) as index: data[index]",
    ),
    # values
    (
        "PPL301",
        "a value lies outside the support of its distribution",
        "correct the data, or choose a distribution whose support has them",
    ),
    (
        "PPL302",
        "a log density is nan or +inf",
        "look at the parameters of the distribution: divisions by zero, logs of negative numbers",
    ),
    (
        "PPL303",
        "a log density is -inf in every run: inference cannot start",
        "correct data or model so that the data are possible",
    ),
    (
        "PPL304",
        "a gradient of the log density is not finite",
        "avoid square roots, logs and norms at zero; guard both branches of torch.where",
    ),
    (
        "PPL305",
        "a distribution gets an invalid parameter",
        "map it to the values allowed, with softplus or exp, or give the param a constraint",
    ),
    (
        "PPL306",
        "a matrix cannot be factorized",
        "add a small positive number to the diagonal of the matrix, or use float64",
    ),
    (
        "PPL307",
        "integer data are observed under a continuous distribution",
        "convert the data with .float(), or choose a distribution of counts",
    ),
    # guides
    (
        "PPL401",
        "a latent site of the model is not in the guide: it is drawn from its prior",
        "add the site to the guide, or condition the model on it",
    ),
    (
        "PPL402",
        "a site of the guide is not in the model",
        "correct the name, or mark the site infer={'is_auxiliary': True}",
    ),
    (
        "PPL403",
        "a site of the guide is observed in the model",
        "remove the site from the guide",
    ),
    (
        "PPL404",
        "the guide observes a site",
        "remove obs=; data belong to the model",
    ),
    (
        "PPL405",
        "the guide draws values outside the support of the model",
        "choose a distribution with the model's support, or transform the draw to it",
    ),
    (
        "PPL406",
        "a site has another shape in the guide than in the model",
        "use the same plates and the same .to_event(n) in both",
    ),
    (
        "PPL407",
        "a factor in the guide does not say how it depends on samples",
        "pass has_rsample=True if its samples are reparametrized, else has_rsample=False",
    ),
    # parameters
    (
        "PPL501",
        "a parameter has no influence on the loss: its gradient is missing",
        "use the parameter, without detach() or numpy on the way, or remove it",
    ),
    (
        "PPL502",
        "the constraint of a parameter changes from run to run",
        "declare one constraint; only the first is used",
    ),
    (
        "PPL503",
        "the initial value of a parameter does not fulfil its constraint",
        "start at a value that fulfils it",
    ),
    (
        "PPL504",
        "a parameter has no initial value",
        "pass one to its first param statement",
    ),
    # what an algorithm needs
    (
        "PPL601",
        "the loss needs reparametrized samples, but the guide has a site without",
        "choose a distribution with has_rsample, or a loss with score-function terms: Trace_ELBO",
    ),
    (
        "PPL602",
        "the algorithm follows gradients, but a latent site is discrete",
        "sum the site out in the model, or observe it",
    ),
    (
        "PPL603",
        "a site to be enumerated has no finite support",
        "enumerate only distributions with has_enumerate_support",
    ),
    (
        "PPL604",
        "there is nothing to infer: the model has no latent sites",
        "make a sample statement without obs=",
    ),
    (
        "PPL605",
        "a plate subsamples, but the algorithm needs all data",
        "use the full plate, or an algorithm that draws new subsamples: SVI",
    ),
)

CODES: dict[str, Code] = {name: Code(name, title, fix) for name, title, fix in _TABLE}


def markdown_table() -> str:
    """Return the table of codes for a page of documentation.

    Example:
        >>> print(markdown_table().splitlines()[2])
        | PPL001 | the program raises an exception | correct the line that raises it |
    """
    rows = [f"| {code.name} | {code.title} | {code.fix} |" for code in CODES.values()]
    return "\n".join(["| code | what was found | what to do |", "|---|---|---|", *rows])
