"""The provenance of computed files: what a step consists of, its manifest, lineage, audit, plan and crate. No torch."""
