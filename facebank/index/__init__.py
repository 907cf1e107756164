"""Exact nearest-neighbor search of a gallery's embeddings, kept current by the gallery's revision."""
