"""The live page: drop photos, choose models, look."""
