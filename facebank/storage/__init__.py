"""Files, whatever is in them: paths that people name."""
