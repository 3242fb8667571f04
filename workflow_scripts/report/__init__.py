"""Figures, summary, notebooks and the report page, looked up from results and settings (no torch)."""
