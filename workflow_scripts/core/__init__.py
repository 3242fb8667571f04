"""What every stage needs: errors a user can act on, files that are never half-written, counted randomness, progress."""
