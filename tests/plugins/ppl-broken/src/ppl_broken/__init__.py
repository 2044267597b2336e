"""A plugin that cannot be imported."""

raise RuntimeError("the flux capacitor is missing")
