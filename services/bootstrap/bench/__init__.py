"""Measurements: each figure as a ratio to a raw limit taken in the same run. Reported, never a gate."""
