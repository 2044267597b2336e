"""The structured guide at the path where programs look for it."""

from .auto_structured import AutoStructured as AutoStructured
