"""Photos put into a folder for each person, with a journal that undoes it."""
