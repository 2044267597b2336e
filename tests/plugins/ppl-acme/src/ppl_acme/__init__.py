"""A plugin for ppl; its classes are found through the entry points of the distribution."""
