"""Storage of a gallery in SQLite: transactions, migrations, row seals and value checks."""
