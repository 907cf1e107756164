"""Storage helpers: atomic files, safe folders, SQLite, npz without pickle, validation, printable text and locks."""
