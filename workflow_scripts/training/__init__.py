"""Training: the batches, the update, the loop that saves and resumes, and the checkpoints."""
