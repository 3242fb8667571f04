"""The frame of every step: errors, files, progress, randomness, capture, chunks. Imports nothing of ours."""
