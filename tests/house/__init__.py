"""One's own objects: a method, networks, metrics and data that the tests' small study names."""
