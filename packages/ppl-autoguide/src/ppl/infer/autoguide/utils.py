"""Attributes by dotted path, at the place where programs look for them."""

from .attributes import deep_getattr as deep_getattr
from .attributes import deep_setattr as deep_setattr
