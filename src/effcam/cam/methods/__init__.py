"""Methods: which there are, what each needs, and the code that makes its maps."""
