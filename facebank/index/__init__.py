"""Nearest neighbors: the index over a gallery's vectors, exact unless somebody asks for less."""
