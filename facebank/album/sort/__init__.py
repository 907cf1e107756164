"""Photos sorted into a folder for each person, with a signed journal from which everything can be undone."""
