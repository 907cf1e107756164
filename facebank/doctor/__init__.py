"""Diagnosis of the installation, with the commands that repair it."""
