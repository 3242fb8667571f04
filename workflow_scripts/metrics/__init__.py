"""Metrics of generated images: feature extractors, statistics, and distances between sets of features."""
