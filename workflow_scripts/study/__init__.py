"""Configuration, arms, preregistration, lock, gate, metric rows and verdict. Imports no torch."""
