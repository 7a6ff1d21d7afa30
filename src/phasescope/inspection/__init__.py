"""The instruments on a user's own model: what is not normal in it, and how to mend it."""

from phasescope.inspection.autoinit import autoinit
from phasescope.inspection.autoinit_report import AutoInit

__all__ = ["AutoInit", "autoinit"]
