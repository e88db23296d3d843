"""The weights of an adaptive rollout. A module of its own: the command line shows them without loading the API."""

RUNGS = (1, 2, 3, 5, 8, 12, 18, 25, 35, 50)
"""Weights before 100, in percent, next to those that were declared. More than half waits for the proof."""
