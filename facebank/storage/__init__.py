"""Files, folders and paths, SQLite files, npz without pickle, checked values, printable text, locks and arithmetic."""
