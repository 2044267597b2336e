"""Chains under way: the loop around a transition, its C++, and how a potential is executed."""
