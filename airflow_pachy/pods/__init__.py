"""Pods that process datum sets: what is added to the user's pod, and what its state means. Pure functions."""
