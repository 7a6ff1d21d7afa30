"""How notebooks show what a study is made of: a title and a table of facts, as HTML that holds nobody's markup."""

from __future__ import annotations

import html
from collections.abc import Iterable


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Return a title and a table of two columns, name and value, as HTML; every text is escaped.

    >>> facts("Grid", [("lr", "0.1, 0.3")])
    '<b>Grid</b><table><tr><th style="text-align:left">lr</th><td style="text-align:left">0.1, 0.3</td></tr></table>'
    """
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th>'
        f'<td style="text-align:left">{html.escape(value)}</td></tr>'
        for name, value in rows
    )
    return f"<b>{html.escape(title)}</b><table>{cells}</table>"
