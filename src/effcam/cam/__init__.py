"""CAM methods, the engine that runs them, and what they give: an `Explanation`."""
