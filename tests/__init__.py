"""Tests, and the objects of their own that they configure (tests/house)."""
