"""The library behind the pipeline and, one file per rule, its entry points. See docs/architecture.md."""
