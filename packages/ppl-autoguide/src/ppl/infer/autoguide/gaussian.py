"""The normal guide with sparse precision at the path where programs look for it."""

from .auto_gaussian import AutoGaussian as AutoGaussian
