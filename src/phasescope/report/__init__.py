"""How it is told: figures on paper, and a page that stands for itself. Works from what the store keeps.

Drawing needs matplotlib: import this room where it is used, not where a command line starts.
"""

from .figures import draw, render
from .page import Source, page
from .writer import Shelf, write_report

__all__ = ["Shelf", "Source", "draw", "page", "render", "write_report"]
