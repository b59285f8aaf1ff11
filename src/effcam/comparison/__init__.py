"""A comparison, and its pictures, files and report."""
