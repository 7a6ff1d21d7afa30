"""Phasescope: a laboratory for the science of deep learning.

A study asks a paper's question. A task is what is learnt, a learner is who learns it, an ensemble trains a whole grid
of them in one run. Instruments read what each one learnt, theory says what to expect, a claim becomes a verdict, the
store keeps it, the report tells it.

>>> import phasescope as ps
>>> ps.Grid({"weight_decay": [0.0, 1.0]}, seeds=2).shape
(2, 2)
"""

from __future__ import annotations

import lazy_loader

__version__ = "0.1.0"

# torch takes a second to import: every public name, listed in __init__.pyi, is fetched when it is first used
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
