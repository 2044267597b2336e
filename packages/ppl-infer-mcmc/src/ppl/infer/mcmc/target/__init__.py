"""What is sampled: the potential energy of a model, and where chains start in it."""
