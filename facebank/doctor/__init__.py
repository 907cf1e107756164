"""What works here, and what mends it."""
