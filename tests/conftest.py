"""Every test computes on one thread, as every step does: threads that wait for each other on busy cores take minutes."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
