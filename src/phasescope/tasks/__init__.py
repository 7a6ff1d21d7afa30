"""What is learnt: exact finite tables and samplers. Generators only; no networks, no theory."""

from phasescope.tasks.images import digits, fashion_mnist, images
from phasescope.tasks.in_context import InContextLinear, InContextRegression
from phasescope.tasks.linear import LinearTarget, target_direction
from phasescope.tasks.mixture import GaussianMixture
from phasescope.tasks.modular import ModularTable, addition, division, function, multiplication, subtraction
from phasescope.tasks.pairs import Pairs, emoji
from phasescope.tasks.polynomial import Polynomial
from phasescope.tasks.polynomial_tasks import polynomial_table
from phasescope.tasks.polynomial_text import parse
from phasescope.tasks.table import Sampler, Table

__all__ = [
    "GaussianMixture",
    "InContextLinear",
    "InContextRegression",
    "LinearTarget",
    "ModularTable",
    "Pairs",
    "Polynomial",
    "Sampler",
    "Table",
    "addition",
    "digits",
    "division",
    "emoji",
    "fashion_mnist",
    "function",
    "images",
    "multiplication",
    "parse",
    "polynomial_table",
    "subtraction",
    "target_direction",
]
