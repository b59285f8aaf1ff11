"""CAM methods, the engine that runs them, and their result, an `Explanation`."""
