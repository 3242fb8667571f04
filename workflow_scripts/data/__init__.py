"""Datasets: where they come from, what is checked, and the npz file every later step reads."""
