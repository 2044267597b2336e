"""Shared mathematics: statistics of draws, solvers and other functions of tensors alone."""

__path__ = __import__("pkgutil").extend_path(__path__, __name__)  # other distributions add modules
