"""Results: one kind of posterior for all inference, and what is made of it."""

from .elpd import ELPD as ELPD
from .elpd import Difference as Difference
from .export import to_datatree as to_datatree
from .methods import Method as Method
from .of_guide import posterior_of_guide as posterior_of_guide
from .posterior import Posterior as Posterior
from .sensitivity import Sensitivity as Sensitivity
from .summaries import SummaryTable as SummaryTable
