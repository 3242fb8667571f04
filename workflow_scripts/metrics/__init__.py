"""Distances between sets of images: extractors, streaming statistics, the Fréchet distance and its scale marks."""
