"""Names in photos and beside them, as photo programs keep them: read, written and taken out."""
