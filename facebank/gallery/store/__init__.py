"""How a gallery's SQLite file is kept: transactions, migrations, sealed rows, and checked values."""
