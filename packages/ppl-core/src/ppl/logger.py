"""The logger of the library, ``ppl.log``."""

import logging

log: logging.Logger = logging.getLogger("ppl")
