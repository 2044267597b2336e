"""Whether model and guide fit together; see :mod:`ppl.matching`."""

from ppl.matching import check_model_guide_match as check_model_guide_match
