"""Pixels, text, pages and encoders; nothing here knows models or comparisons."""
