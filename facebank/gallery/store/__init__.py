"""Storage of a gallery in SQLite: transactions, migrations, row seals and value checks.

`file` opens the file (`GalleryFile`); `schema` has its tables and `migrations` its versions; `rows` reads and writes
rows with the seals and sums of `digests`, and `codec` their values. `state` has the revision, pack
and settings, and `indexes` detects damaged indexes.
"""
