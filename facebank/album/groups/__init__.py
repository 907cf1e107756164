"""Faces that nobody has named, in groups of one person each, and names for them."""
