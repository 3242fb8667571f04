"""Where computed files come from: code and packages, manifests, lineage, audit, plan, crate. No torch."""
