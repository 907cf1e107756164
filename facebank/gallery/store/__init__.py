"""The gallery's SQLite file: its tables, their migrations and seals, and every statement on a row."""
