"""Figures, captions, notebooks, summary and the offline HTML report, all looked up from results and settings (no torch)."""
