"""How pictures look by default."""

from __future__ import annotations

ALPHA = 0.5
"""The opacity of the strongest heat, in [0, 1]."""
COLORMAP = "turbo"
"""The matplotlib colour map of heat: it separates many levels, and low is dark."""
WIDTH = 224
"""The width of a cell in px."""
FONTSIZE = 7
"""The size of captions in a figure for print, in pt."""
DPI = 300
"""The resolution of pictures in a figure for print, in px an inch."""
