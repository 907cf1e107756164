"""What every room that keeps files stands on: paths that people name, SQLite opened safely, kinds of file systems."""
