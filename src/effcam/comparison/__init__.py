"""A comparison and all that is made of it: pictures, files, the report."""
