"""From scores to probabilities and thresholds: what is fitted once, kept, and used to decide."""
