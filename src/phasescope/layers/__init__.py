"""Which layers of a language model can go: distances between layers, losses without some, pruning, healing.

A. Gromov, K. Tirumala, H. Shapourian, P. Glorioso and D. A. Roberts 2024, *The unreasonable ineffectiveness of the
deeper layers*, arXiv:2403.17887. For the decoders of ``transformers``, on a CPU or GPU, with local files only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasescope.layers.angular import Distances, deepest, distances
    from phasescope.layers.checkpoint import prune, save
    from phasescope.layers.healing import Healed, heal
    from phasescope.layers.perplexity import Losses, losses
    from phasescope.layers.removal import Curve, Removal, curve
    from phasescope.layers.stack import Stack, stack_of, without
    from phasescope.layers.text import Samples, read_texts, samples

# the command line asks this room for its options: torch is imported when a name is first used
_HOMES = {
    "checkpoint": ("prune", "save"),
    "removal": ("Curve", "Removal", "curve"),
    "angular": ("Distances", "deepest", "distances"),
    "healing": ("Healed", "heal"),
    "perplexity": ("Losses", "losses"),
    "stack": ("Stack", "stack_of", "without"),
    "text": ("Samples", "read_texts", "samples"),
}

__all__ = [
    "Curve",
    "Distances",
    "Healed",
    "Losses",
    "Removal",
    "Samples",
    "Stack",
    "curve",
    "deepest",
    "distances",
    "heal",
    "losses",
    "prune",
    "read_texts",
    "samples",
    "save",
    "stack_of",
    "without",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"phasescope.layers.{home}"), name)
    raise AttributeError(f"module 'phasescope.layers' has no attribute {name!r}")
