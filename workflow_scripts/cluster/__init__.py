"""What only matters where jobs wait in a queue. No torch."""
