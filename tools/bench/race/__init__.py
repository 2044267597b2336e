"""The models, data and systems of the race in ``tools/bench/nuts.py``."""
