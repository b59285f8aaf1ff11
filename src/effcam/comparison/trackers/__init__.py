"""Log a comparison to an experiment tracker: one module for each.

`effcam.comparison.trackers.recognise` finds the tracker that an object belongs to,
`effcam.comparison.trackers.entry` makes what is logged, and the others write it.
"""
