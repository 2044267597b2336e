"""Attributes by dotted path, and an entropy, at the place where programs look for them."""

from .attributes import deep_getattr as deep_getattr
from .attributes import deep_setattr as deep_setattr
from .entropy import mean_field_entropy as mean_field_entropy
