"""Paths that callers name, atomic files, folders and links, leftovers of killed runs, and SQLite opened safely."""
