"""The scan of an album: its file, and how photos come into it."""
