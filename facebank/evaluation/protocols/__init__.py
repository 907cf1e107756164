"""The protocols: each a function from a bench and a dataset to a report."""
