"""How it is told: figures on paper, and a page that stands for itself. Works from what the store keeps.

Drawing needs matplotlib: import this room where it is used, not where a command line starts.
"""

from .figures import draw, png, render
from .page import describe, page, slug
from .writer import Shelf, write_page, write_report

__all__ = ["Shelf", "describe", "draw", "page", "png", "render", "slug", "write_page", "write_report"]
