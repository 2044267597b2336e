"""Transitions, cut into leapfrogs: what happens to every chain between two draws."""
