"""Sorting photos into a folder for each person, with a signed journal that allows undoing it."""
