"""What is learnt: exact finite tables and samplers. Generators only; no networks, no theory."""

from phasescope.tasks.modular import ModularTable, addition, division, function, multiplication, subtraction
from phasescope.tasks.table import Sampler, Table

__all__ = [
    "ModularTable",
    "Sampler",
    "Table",
    "addition",
    "division",
    "function",
    "multiplication",
    "subtraction",
]
