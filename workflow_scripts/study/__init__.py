"""What is asked and what is claimed: configuration, arms, preregistration, lock, results, verdict. No torch."""
