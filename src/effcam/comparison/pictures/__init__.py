"""Pictures of a comparison: grid, frames, poster, figure for print."""
