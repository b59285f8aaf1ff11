"""Log a comparison to an experiment tracker: one module for each."""
