"""Which papers are checked here, and how it comes out: a catalogue, and functions that compute what papers state.

>>> import phasescope as ps
>>> [entry.title for entry in ps.papers.find("isoscore")]
['IsoScore: Measuring the Uniformity of Embedding Space Utilization']

``ps.papers.check("2108.07344")`` computes that paper's statements and returns a report that prints as a table;
``ps.claims("delay")`` looks through the claims of all studies. On the command line: ``phasescope papers``,
``phasescope paper``, ``phasescope claims``.

``papers.tsv`` lists the papers. ``statements`` has one file for each subject, with small functions that compute what
papers state, through the public interface, and compare it with the paper.
"""

from __future__ import annotations

from phasescope.papers.catalogue import Entry, paper
from phasescope.papers.catalogue import find as _find
from phasescope.papers.claims import ClaimRow, Claims, Run, claims
from phasescope.papers.statement import Checked, Compared, Statement
from phasescope.papers.telling import Papers, Report

__all__ = [
    "Checked", "ClaimRow", "Claims", "Compared", "Entry", "Papers", "Report", "Run", "Statement", "check", "claims",
    "find", "paper",
]  # fmt: skip


def find(words: str = "", *, absent: bool = False) -> Papers:
    """Return the papers that are served here and whose title, authors, subject or status have all ``words``.

    With ``absent`` also those that nothing here serves.
    """
    return Papers(_find(words, absent=absent))


def check(name: str) -> Report:
    """Compute the statements of one paper, given its id, arXiv number or title, and return how they came out.

    A paper of which nothing is computed is told as it is: served without a check, or absent. Raises ``BadInput`` for a
    paper that the catalogue does not have.
    """
    entry = paper(name)
    return Report(entry, tuple(one.check() for one in entry.statements))
