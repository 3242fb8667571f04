"""Training: which numbers a step meets, the loop, and the checkpoints it leaves."""
