"""The logger ``ppl.log`` at the path where programs look for it."""

from . import log as log
