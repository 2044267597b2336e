"""Find what is wrong with a model and its guide before inference does."""

from .checking import Check as Check
from .checking import check as check
from .codes import CODES as CODES
from .needs import Needs as Needs
from .report import Finding as Finding
from .report import Report as Report
