"""Work beside training loops and data tools: one module for each, imported by its name."""
