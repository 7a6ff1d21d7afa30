"""The study ``semantic-duplicates``: its parts are what their names say, and the study keeps the laws of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phasescope.ensemble import streams
from phasescope.lab import study_named
from phasescope.studies.semantic_duplicates import learning, mail, planted, truth
from phasescope.studies.semantic_duplicates.learning import Images, Paragraphs
from phasescope.studies.semantic_duplicates.settings import ALL, COPIES, EXACT, HARD, NONE, ORDERS, RANDOM
from phasescope.vocabulary import BadInput, Member

STUDY = study_named("semantic-duplicates")
SMALL = {
    "seeds": 2, "rows": 60, "groups": 30, "clusters": (1, 2), "epsilons": (0.01, 0.1), "chains": 20, "crowd": 150,
    "sample": 40, "samples": 4, "planted": 20, "unique": 25, "copies": 5, "tests": 100, "width": 8, "steps": 40,
    "paragraphs": 20, "held": 20, "length": 12, "decoder": 8, "text_steps": 30, "text_batch": 4, "records": 3,
}  # fmt: skip
SETTINGS = STUDY.scales["pocket"].model_copy(update=SMALL)


def test_groups_are_alike_within_and_not_between() -> None:
    x, owner = truth.groups(200, 90, streams(1)("groups"))
    cosine = x @ x.T
    same = owner[:, None] == owner[None]
    np.fill_diagonal(same, False)
    assert len(np.unique(owner)) == 90 and cosine[same].min() >= 0.99
    assert cosine[(owner[:, None] != owner[None])].max() < 0.8


def test_what_is_known_of_made_up_rows() -> None:
    fixed = {**SETTINGS.model_dump(), "parts": 2, "near": 0.2, "orders": ORDERS}
    found = truth.measure_groups(Member({**fixed, "clusters": 1}, 4), streams(4))
    np.testing.assert_array_equal(found["kept"], 1)
    np.testing.assert_array_equal(found["lost"], 0)
    assert found["exact"] == 2 and found["unnested"] == 0 and (found["lost_random"] > 0).all()
    chains = truth.measure_chains(Member({**fixed, "chains": 400}, 4), streams(4))
    np.testing.assert_allclose(chains["stay"], [4 / 3, 5 / 3], atol=0.1)
    assert chains["doubled"] == 1 and chains["nearly"] == 2
    hard, random, easy, again = truth.measure_orders(Member(fixed, 4), streams(4))["similarity"]
    assert hard < min(random, again) <= max(random, again) < easy
    missed = truth.measure_missed(Member({**fixed, "crowd": 400, "sample": 200}, 4), streams(4))
    assert missed["covered"] == 1 and 0 < missed["share"] < 1


def test_pairs_are_counted_by_hand() -> None:
    """Rows 0 to 3, a changed copy of 1 and an exact one of 2: the pair of the exact one counts in neither."""
    origin, counted = np.array([0, 1, 2, 3, 1, 2]), np.array([True] * 5 + [False])
    earlier, later = np.array([1, 2, 0]), np.array([4, 5, 3])
    assert planted.quality(earlier, later, origin, counted, 1) == (1.0, 0.5)


def test_equal_bits() -> None:
    images = np.array([[[0, 1], [0, 1]], [[1, 0], [0, 1]], [[2, 9], [2, 9]]], float)
    earlier, later = planted.same_bits(images)
    assert earlier.tolist() == [0] and later.tolist() == [2]


def test_changes_stay_in_range_and_move_as_they_say() -> None:
    images = planted.pictures()[:5]
    for change in ("noise", "brightness"):
        found = planted.changed(images, change, 0.3, streams(0)("noise"))
        assert found.min() >= 0 and found.max() <= 16 and not np.array_equal(found, images)
    moved = planted.changed(images, "shift", 1.0, streams(0)("noise"))
    np.testing.assert_array_equal(moved[:, :, :-1], images[:, :, 1:])


@pytest.mark.parametrize("task", [Images(SETTINGS), Paragraphs(SETTINGS)])
def test_what_is_kept_of_a_pile(task: Images | Paragraphs) -> None:
    pile = task.pile(COPIES, 5)
    unique = SETTINGS.unique if isinstance(task, Images) else SETTINGS.paragraphs
    assert len(np.unique(pile.root)) == unique and len(pile.train) == unique + 5 * round(0.2 * unique)
    kept = {name: task.selected(name, COPIES, 5) for name in (ALL, EXACT, HARD, RANDOM)}
    assert len(kept[ALL]) == len(pile.train) and len(kept[RANDOM]) == len(kept[HARD])
    assert set(pile.root[kept[HARD]]) == set(range(unique))  # one of each stays
    assert len(kept[HARD]) < len(kept[EXACT]) < len(kept[ALL])
    assert len(set(pile.root[kept[RANDOM]])) < unique
    assert len(np.unique(kept[RANDOM])) == len(kept[RANDOM])
    clean = task.pile(NONE, 5)
    assert len(clean.train) == unique * SETTINGS.whole and len(np.unique(clean.root)) == len(clean.train)


def test_test_rows_are_no_copies_of_training_rows() -> None:
    task = Images(SETTINGS)
    pile = task.pile(COPIES, 5)
    x = pile.inputs / np.linalg.norm(pile.inputs, axis=1, keepdims=True)
    assert (x[pile.test] @ x[pile.train].T).max() <= 1 - task.epsilon
    rows, others = np.arange(20), np.arange(20, 60)
    like = np.random.default_rng(0).standard_normal((60, 8))
    like[25], like[40] = like[3] * 2, like[7] + 1e-3  # a copy, and nearly one
    np.testing.assert_array_equal(task.apart(like, rows, others), np.setdiff1d(others, [25, 40]))
    with pytest.raises(BadInput, match="no copies of training rows"):
        task.apart(like, rows, np.array([25, 40]))


def test_a_language_is_written_by_its_table() -> None:
    table = learning.language(3, streams(2)("language"))
    text = learning.written(table, 4000, 12, streams(2)("text"))
    a, b, c = (text[:, i : i + 10].ravel() for i in range(3))
    for one in range(3):
        here = (a == one) & (b == 2)
        found = np.bincount(c[here], minlength=3) / here.sum()
        np.testing.assert_allclose(found, table[one, 2], atol=5 * (0.25 / here.sum()) ** 0.5)


def test_mails_are_compared_by_their_shingles(tmp_path: Path) -> None:
    words = [f"word{i}" for i in range(400)]
    texts = [" ".join(words[30 * i : 30 * i + 30]) for i in range(12)]
    texts += [texts[0] + " end", texts[1]]
    for i, text in enumerate(texts):
        (tmp_path / f"{i:02}.txt").write_text(f"From: somebody\n\n{text}\n")
    (tmp_path / "empty.txt").write_text("From: nobody\n\n\n")
    found = mail.measure_texts(Member({"folder": str(tmp_path), "texts": 50}, 0), streams(0))
    assert found["copies"] == pytest.approx(4 / 14) and found["gone"] == pytest.approx(2 / 14)
    assert found["right"] == 1
    with pytest.raises(BadInput, match="name a folder of text files"):
        mail.bodies(str(tmp_path / "nothing"))


def test_more_claims_where_there_is_mail(tmp_path: Path) -> None:
    more = SETTINGS.model_copy(update={"mail": str(tmp_path), "speeches": str(tmp_path)})
    assert {"mail", "speeches"} == set(STUDY.experiments(more)) - set(STUDY.experiments(SETTINGS))
    assert {c.id for c in STUDY.claims(more)} - {c.id for c in STUDY.claims(SETTINGS)} == {
        "mail-has-copies", "speeches-have-none",
    }  # fmt: skip


@pytest.mark.slow
def test_the_study_keeps_the_laws(tmp_path: Path) -> None:
    from phasescope.lab import run
    from phasescope.testing import check_results

    check_results(run(STUDY, out=tmp_path, settings=SMALL))
