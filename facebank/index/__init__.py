"""Nearest neighbors, exactly: the one search of the house, followed from the gallery's revision."""
