"""Every saboteur is caught by its law, and the law lets the right version pass."""

from __future__ import annotations

import pytest

from saboteurs import SABOTEURS, TRAINING, Saboteur


@pytest.mark.parametrize("saboteur", SABOTEURS, ids=lambda s: s.wrong)
def test_saboteur_is_caught(saboteur: Saboteur, monkeypatch: pytest.MonkeyPatch) -> None:
    saboteur.spoil(monkeypatch)
    with pytest.raises(AssertionError):
        saboteur.law()


def test_saboteurs_have_names_of_their_own() -> None:
    assert len({s.wrong for s in SABOTEURS}) == len(SABOTEURS)


@pytest.mark.parametrize("saboteur", TRAINING, ids=lambda s: s.wrong)
def test_its_law_passes_when_nothing_is_wrong(saboteur: Saboteur) -> None:
    """Else a law that fails for another reason would count as a catch. The other laws pass in their own files."""
    saboteur.law()
