"""``ps.dedup``: synthetic truth, the rule by its definition, chains, copies, what clusters hide, texts and the command."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from typer.testing import CliRunner

import phasescope as ps
from phasescope.data import pixels, read_corpus, shingles, tfidf
from phasescope.vocabulary import BadInput

GROUPS = 1000


def planted(seed: int = 0) -> tuple[Any, Any]:
    """Return about 2,000 points in 1,000 groups of one to three, D = 64, cosines of at least 0.99 within a group."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((GROUPS, 64))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    groups = np.repeat(np.arange(GROUPS), generator.integers(1, 4, GROUPS))
    return centres[groups] + 0.006 * generator.standard_normal((len(groups), 64)), groups


def by_definition(x: Any, labels: Any, order: Any, epsilon: float) -> tuple[set[int], set[int]]:
    """Return what stays by the paper's rule and by that of kept leaders, row by row."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    paper, leader = set(), set()
    for c in np.unique(labels):
        front: list[int] = []
        for j in [i for i in order if labels[i] == c]:
            near = {i for i in front if unit[i] @ unit[j] > 1 - epsilon}
            if not near:
                paper.add(int(j))
            if not near & leader:
                leader.add(int(j))
            front.append(int(j))
    return paper, leader


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_planted_groups_are_found() -> None:
    """The specification's truth: as many rows stay as there are groups, and one of each, for epsilon 0.01 to 0.2."""
    x, groups = planted()
    for clusters in (1, 5, 50):
        for epsilon in (0.01, 0.05, 0.2):
            found = ps.dedup(x, epsilon=epsilon, clusters=clusters)
            assert GROUPS <= len(found.kept) <= GROUPS + 2
            assert set(groups[found.kept]) == set(range(GROUPS))
            assert (groups[found.group] == groups).all() and found.differing == 0
    assert len(ps.dedup(x, epsilon=1e-5).kept) == len(x)


@pytest.mark.parametrize("order", ["hard", "easy"])
def test_the_rule_by_its_definition(order: str) -> None:
    generator = np.random.default_rng(1)
    x = generator.standard_normal((300, 3))
    for clusters in (1, 4):
        found = ps.dedup(x, epsilon=0.02, clusters=clusters, order=order)
        near = found.data.centroid_similarity.values.astype(float).round(5)
        sequence = np.lexsort((np.arange(300), near if order == "hard" else -near))
        paper, leader = by_definition(x, found.data.cluster.values, sequence, 0.02)
        assert set(found.kept) == paper
        assert set(np.flatnonzero(found.data.kept_leader.values)) == leader
        assert found.differing == len(leader - paper) > 0
        chained = ps.dedup(x, epsilon=0.02, clusters=clusters, order=order, rule="leader")
        assert set(chained.kept) == leader
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        away = np.setdiff1d(np.arange(300), chained.kept)
        assert ((unit[away] * unit[chained.group[away]]).sum(1) > 0.98).all()  # each has a kept row near


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).standard_normal((300, 3))
    whole = ps.dedup(x, epsilon=0.02, rule="leader", clusters=3)
    for module in ("near_copies", "missed"):
        monkeypatch.setattr(f"phasescope.data.{module}.BLOCK", 700)
    monkeypatch.setattr("phasescope.data.near_copies.MOST", 3)
    monkeypatch.setattr("phasescope.data.near_copies.PART", 1e4)
    parts = ps.dedup(x, epsilon=0.02, rule="leader", clusters=3)
    assert np.array_equal(whole.kept, parts.kept)
    assert np.allclose(whole.nearest_similarity, parts.nearest_similarity, atol=1e-6, equal_nan=True)
    assert whole.missed.pairs == parts.missed.pairs


def test_a_chain_loses_its_end_by_the_papers_rule_alone() -> None:
    """Directions at 0, 10 and 20 degrees, near up to 12: the third is near the second only, which goes itself."""
    angles = np.radians([0, 10, 20])
    x = np.stack([np.cos(angles), np.sin(angles)], 1)
    epsilon = 1 - math.cos(math.radians(12))
    # behind ten copies far away the centroid is far off, so the order along the chain is known
    found = ps.dedup(x, epsilon=epsilon, order="random", seed=next(s for s in range(50) if in_order(x, s)))
    assert found.kept.tolist() == [0] and found.differing == 1
    assert np.flatnonzero(found.data.kept_leader).tolist() == [0, 2]
    assert found.group.tolist() == [0, 0, 0]


def in_order(x: Any, seed: int) -> bool:
    return ps.dedup(x, epsilon=0.02, order="random", seed=seed).data.nearest.values.tolist() == [-1, 0, 1]


def test_more_epsilon_keeps_a_subset_and_a_share_is_met() -> None:
    x = np.random.default_rng(2).standard_normal((400, 5))
    before = set(range(400))
    for epsilon in (1e-4, 0.01, 0.05, 0.2, 0.7):
        now = set(ps.dedup(x, epsilon=epsilon, clusters=3).kept)
        assert now <= before
        before = now
    for keep in (0.25, 0.5, 1.0):
        found = ps.dedup(x, keep=keep, clusters=3)
        assert len(found.kept) == 400 * keep
        share = np.interp(found.epsilon, *found.curve)
        assert share == pytest.approx(keep, abs=0.03)
    assert len(ps.dedup(np.ones((10, 2)), keep=0.05).kept) == 1


def test_hard_keeps_what_is_least_like_the_centroid() -> None:
    x, _ = planted(3)
    means = []
    for order in ("hard", "random", "easy"):
        found = ps.dedup(x, epsilon=0.05, clusters=5, order=order)
        means.append(float(found.data.centroid_similarity.values[found.kept].mean()))
    assert means[0] < means[1] < means[2]


def test_exact_copies_share_a_cluster_and_go_at_any_epsilon() -> None:
    """A data set twice: exactly its rows stay, the first of each, whatever the clusters."""
    x = np.random.default_rng(4).standard_normal((500, 16)).astype(np.float32)
    for clusters in (1, 20):
        for epsilon in (1e-9, 1e-5):
            found = ps.dedup(np.concatenate([x, x]), epsilon=epsilon, clusters=clusters)
            assert found.kept.tolist() == list(range(500)) and found.exact_copies == 500
        assert len(ps.dedup(np.concatenate([x, x]), epsilon=0, clusters=clusters).kept) == 1000


def test_sparse_rows_are_as_dense_ones() -> None:
    generator = np.random.default_rng(5)
    x = generator.standard_normal((200, 3)) * (generator.random((200, 3)) < 0.8) @ np.eye(3, 40)
    x[:, 30] += 0.2
    found = ps.dedup(sparse.csr_matrix(x), epsilon=0.02)
    near = found.data.centroid_similarity.values.astype(float).round(5)
    paper, leader = by_definition(x, found.data.cluster.values, np.lexsort((np.arange(200), near)), 0.02)
    assert set(found.kept) == paper and set(np.flatnonzero(found.data.kept_leader)) == leader
    assert 50 < len(paper) < len(leader) < 200
    once, copied = (sparse.vstack([sparse.csr_matrix(x)] * n) for n in (1, 2))
    assert np.array_equal(ps.dedup(copied, epsilon=1e-6, clusters=7).kept, ps.dedup(once, epsilon=1e-6).kept)


def test_compiled_comparisons_are_those_of_products(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    x = sparse.csr_matrix(generator.standard_normal((300, 40)) * (generator.random((300, 40)) < 0.2) + np.eye(300, 40))
    x = x[np.diff(x.indptr) > 0]
    slow = ps.dedup(x, epsilon=0.3, clusters=2)
    monkeypatch.setattr("phasescope.data.near_copies.COMPILED", 10)
    monkeypatch.setattr("phasescope.data.near_copies.PART", 1e3)
    fast = ps.dedup(x, epsilon=0.3, clusters=2)
    assert np.allclose(slow.nearest_similarity, fast.nearest_similarity, atol=1e-6, equal_nan=True)
    assert np.array_equal(slow.kept, fast.kept) and np.array_equal(slow.data.nearest, fast.data.nearest)


def test_copies_share_a_cluster_whatever_rounding_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from phasescope.data import clusters

    generator, plain = np.random.default_rng(0), clusters._assigned

    def noisy(points: Any, centroids: Any) -> Any:
        labels, near = plain(points, centroids)
        return generator.integers(0, len(centroids), len(labels)), near

    monkeypatch.setattr(clusters, "_assigned", noisy)
    x = generator.standard_normal((50, 4))
    assert len(ps.dedup(np.concatenate([x, x]), epsilon=1e-9, clusters=9).kept) == 50


@pytest.mark.parametrize("change", [lambda x: 1e-30 * x, lambda x: 1e30 * x, lambda x: torch.from_numpy(x)])
def test_lengths_and_containers_do_not_matter(change: Any) -> None:
    x, _ = planted(6)
    assert np.array_equal(ps.dedup(change(x[:300]), epsilon=0.05).kept, ps.dedup(x[:300], epsilon=0.05).kept)


# -- what clusters hide ------------------------------------------------------------------------------------------------


def all_missed(x: Any, labels: Any, epsilon: float) -> int:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    above = np.triu(unit @ unit.T > 1 - epsilon, 1)
    return int((above & (labels[:, None] != labels[None])).sum())


def test_missed_pairs_are_within_their_interval() -> None:
    """A cloud without groups, in many clusters, so that they cut it everywhere; exact search as the truth."""
    x = np.random.default_rng(7).standard_normal((1500, 4))
    inside = 0
    for seed in range(20):
        found = ps.dedup(x, epsilon=0.01, clusters=30, sample=150, seed=seed)
        truth = all_missed(x, found.data.cluster.values, 0.01)
        inside += found.missed.low <= truth <= found.missed.high
        assert found.missed.low <= found.missed.pairs <= found.missed.high
    assert inside >= 18 and truth > 30
    whole = ps.dedup(x, epsilon=0.01, clusters=30, sample=1500)
    assert whole.missed.pairs == whole.missed.low == all_missed(x, whole.data.cluster.values, 0.01)
    alone = ps.dedup(x, epsilon=0.01, clusters=1)
    assert alone.missed.exact and alone.missed.pairs == 0


def test_the_typical_cosine_is_that_of_two_rows() -> None:
    found = ps.dedup(np.eye(3) + 0.1)  # each row is like itself, which says nothing
    assert found.missed.typical == pytest.approx(0.23 / 1.23, rel=1e-5) and len(found.notes) == 2
    assert len(ps.dedup(np.ones((9, 2)) + 0.01 * np.arange(18).reshape(9, 2)).notes) == 3  # all alike: it is said


def test_no_missed_pair_in_a_sample_is_no_proof() -> None:
    x, _ = planted(8)
    found = ps.dedup(x, epsilon=0.05, clusters=5, sample=100)
    assert found.missed.low == 0 < found.missed.high and not found.missed.exact


# -- texts and images --------------------------------------------------------------------------------------------------

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "bdfgklmnprst"]


def sentences(seed: int, n: int, length: int = 20) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    chance = 1 / np.arange(1, len(WORDS) + 1)
    return [[WORDS[w] for w in row] for row in generator.choice(len(WORDS), (n, length), p=chance / chance.sum())]


def changed(words: list[str], generator: Any, share: float) -> str:
    """Return the sentence with a share of its words dropped or replaced, at least one."""
    words = list(words)
    for i in generator.choice(len(words), max(1, round(share * len(words))), replace=False):
        words[i] = "" if generator.random() < 0.5 else WORDS[generator.integers(len(WORDS))]
    return " ".join(word for word in words if word)


def test_planted_copies_of_texts_are_found() -> None:
    """A tenth of words dropped or replaced, no copy exact: recall and precision of at least 0.98."""
    texts = sentences(0, 2000)
    generator = np.random.default_rng(1)
    originals = generator.choice(2000, 200, replace=False)
    data = [" ".join(words) for words in texts] + [changed(texts[i], generator, 0.1) for i in originals]
    found = ps.dedup(tfidf(data), epsilon=0.4, texts=data)
    root = np.arange(2200)
    root[2000:] = originals
    pairs = found.pairs[found.pairs["cosine"] > 1 - found.epsilon]
    right = root[pairs["i"]] == root[pairs["j"]]
    assert right.sum() >= 0.98 * 200 and right.mean() >= 0.98
    assert found.exact_copies == 0 and found.said(2000)


def test_shingles_are_sets() -> None:
    texts = ["a b c d e f g h", "a b c d e f g x", "a b", "a  B"]
    rows = shingles(texts).toarray()
    assert rows.sum(1).tolist() == [4, 4, 1, 1] and set(np.unique(rows)) == {0, 1}
    assert rows[0] @ rows[1] == 3 and rows[2] @ rows[3] == 1  # case and spaces do not count
    halves = ["a \ud800 b", "a \udfff b", "c d e"]  # of letters, as JSON can spell them
    assert (shingles(halves).toarray()[0] == shingles(halves).toarray()[1]).all() and tfidf(halves).shape[0] == 3


def test_planted_copies_of_images_are_found() -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images[:600]
    generator = np.random.default_rng(2)
    copies = 0.7 * images[:100] + 3 + 0.3 * generator.standard_normal((100, 8, 8))
    found = ps.dedup(pixels(np.concatenate([images, copies]), side=8), epsilon=0.03)
    pairs = found.pairs[found.pairs["cosine"] > 0.97]
    planted_pairs = {(min(p["i"], p["j"]), max(p["i"], p["j"])) for p in pairs}
    assert sum((i, 600 + i) in planted_pairs for i in range(100)) >= 98


class Model:
    """A decoder of transformers and a tokenizer of bytes, small and random."""

    def __init__(self) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        torch.manual_seed(0)
        self.net = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=64, n_embd=16, n_layer=2, n_head=2))

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}


def test_states_of_a_model_are_those_of_each_text_alone(tmp_path: Path) -> None:
    made = Model()
    texts = ["one text", "another, longer text", "a", "one text", "b c"]
    found = ps.data.states(texts, made.net, made, length=12, out=tmp_path / "run")
    for text, row in zip(texts, found, strict=True):
        ids = torch.tensor([list(text.encode())[:12]])
        with torch.no_grad():
            last = made.net.eval().transformer.h[-1]
            seen = []
            handle = last.register_forward_hook(lambda m, a, out, seen=seen: seen.append(out))
            made.net.transformer(ids)
            handle.remove()
        state = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
        assert np.allclose(row, state[0, -1].numpy(), atol=1e-5), text
    again = ps.data.states(texts, made.net, made, length=12, out=tmp_path / "run")
    assert np.array_equal(found, again) and np.array_equal(found[0], found[3])


def test_a_sentence_model_gives_the_mean_of_its_tokens(tmp_path: Path) -> None:
    """An encoder, alone and one text at a time: the mean over tokens; what it can not read is refused."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    net = BertModel(BertConfig(vocab_size=256, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                               intermediate_size=32, max_position_embeddings=20))  # fmt: skip
    made, texts = Model(), ["one text", "another, longer text", "a", "one texT"]
    found = ps.data.states(texts, net, made, length=12)
    assert found.dtype == np.float32 and net.training
    for text, row in zip(texts, found, strict=True):
        with torch.no_grad():
            states = net.eval()(torch.tensor([list(text.encode())[:12]])).last_hidden_state
        assert np.allclose(row, states[0].mean(0).numpy(), atol=1e-5), text
    assert len(ps.dedup(found, epsilon=1e-6).kept) == 4
    with pytest.raises(BadInput, match="smaller length"):
        ps.data.states(["a" * 30, "b"], net, made)
    with pytest.raises(BadInput, match="AutoModelForCausalLM"):  # a decoder without its head is none
        ps.data.states(texts, made.net.transformer, made)
    net.resize_token_embeddings(50)
    with pytest.raises(BadInput, match="knows 0 to 49"):
        ps.data.states(texts, net, made)


# -- the door ----------------------------------------------------------------------------------------------------------


def test_a_call_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ps.dedup.__globals__, "SOON", 0)
    x, _ = planted(9)
    seen: list[str] = []

    def stop(what: str, done: int, total: int) -> None:
        seen.append(what)
        if what == "comparing rows" and len(seen) > 5 and seen[-3] == what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ps.dedup(x, clusters=5, out=tmp_path / "run", on_progress=stop)
    calls = []
    whole = ps.dedup.__globals__["nearest_earlier"]
    monkeypatch.setitem(ps.dedup.__globals__, "nearest_earlier", lambda *a: calls.append(1) or whole(*a))
    found = ps.dedup(x, clusters=5, out=tmp_path / "run")
    assert 0 < len(calls) < 5 and np.array_equal(found.kept, ps.dedup(x, clusters=5).kept)


KILLED = """
import os, signal, sys
import numpy as np
import phasescope as ps

ps.dedup.__globals__["SOON"] = 0
compared = []

def stop(what, done, total):
    compared.extend([done] * (what == "comparing rows"))
    if len(compared) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

ps.dedup(np.load(sys.argv[1]), clusters=5, out=sys.argv[2], on_progress=stop)
"""


def test_kill_9_in_the_middle_loses_nothing_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process is killed as it compares the third cluster; the same call compares the rest, and finds the same."""
    x, _ = planted(9)
    np.save(tmp_path / "x.npy", x)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x.npy"), str(tmp_path / "run")], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setitem(ps.dedup.__globals__, "SOON", 0)
    calls: list[int] = []
    whole = ps.dedup.__globals__["nearest_earlier"]
    monkeypatch.setitem(ps.dedup.__globals__, "nearest_earlier", lambda *a: calls.append(1) or whole(*a))
    found = ps.dedup(x, clusters=5, out=tmp_path / "run")
    assert len(calls) == 3  # two of five clusters were finished
    monkeypatch.undo()
    plain = ps.dedup(x, clusters=5)
    assert np.array_equal(found.kept, plain.kept)
    assert np.array_equal(found.nearest_similarity, plain.nearest_similarity, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:1], "at least 2 rows"),
        (lambda x: x[0], "at least 2 rows"),
        (lambda x: np.where(np.arange(9)[:, None] == 4, 0, x), "row 4 is all zero"),
        (lambda x: np.where(np.arange(9)[:, None] > 4, 0, x), "row 5, 6, 7 and 1 more: each is all zero"),
        (lambda x: np.where(np.arange(9)[:, None] == 3, np.nan, x), r"row 3 is not finite \(nan\)"),
        (lambda x: sparse.csr_matrix(np.where(np.arange(9)[:, None] == 3, np.inf, x)), r"row 3 is not finite \(inf\)"),
        (lambda x: sparse.csr_matrix(np.where(np.arange(9)[:, None] == 8, 0, x)), "row 8 is all zero"),
        (lambda x: [["a"]], "give numbers"),
    ],
)
def test_rows_that_can_not_be_used_are_named(change: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ps.dedup(change(np.random.default_rng(0).standard_normal((9, 3))))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilon": -0.1}, "epsilon is -0.1"), ({"epsilon": 2.1}, "epsilon is 2.1"), ({"epsilon": math.nan}, "epsilon"),
        ({"keep": 0}, "keep is 0"), ({"keep": 1.5}, "keep is 1.5"), ({"epsilon": 0.1, "keep": 0.5}, "give one of them"),
        ({"clusters": 0}, "clusters is 0"), ({"clusters": "many"}, "'auto' or a whole number from 1 to 9"),
        ({"clusters": 10}, "clusters is 10"), ({"order": "soft"}, "hard, random, easy"), ({"rule": "x"}, "paper, leader"),
        ({"texts": ["a"]}, "1 texts and 9 embeddings"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        ps.dedup(np.random.default_rng(0).standard_normal((9, 3)), **options)


def run(*words: str) -> Any:
    from phasescope.commands.cli import app

    return CliRunner().invoke(app, list(words))


def test_command_on_lines(tmp_path: Path) -> None:
    lines = [" ".join(words) for words in sentences(3, 60)]
    lines[7] = "<script>alert(1)</script> \x1b[31m" + lines[7]
    lines.insert(30, lines[7] + " more")
    (tmp_path / "texts.txt").write_text("\n\n".join(lines) + "\n")
    out = tmp_path / "run"
    done = run("dedup", str(tmp_path / "texts.txt"), "--epsilon", "0.3", "--out", str(out), "--json")
    assert done.exit_code == 0, done.exception
    document = json.loads(done.stdout)
    assert document["kept"] == 60 == len((out / "kept.txt").read_text().split()) and document["rows"] == 61
    kept = (out / "kept.txt").read_text().split()
    assert ("15" in kept) != ("61" in kept)  # lines 15 and 61 of the file are the pair
    assert len((out / "kept-lines.txt").read_text().splitlines()) == 60
    assert '<td class="wordy">' in (out / "report.html").read_text()
    said = run("dedup", str(tmp_path / "texts.txt"), "--epsilon", "0.3", "--out", str(out)).stdout
    assert "Texts became embeddings by tfidf." in said and "barely a copy: line " in said
    assert {word.strip(",") for word in said.split("barely a copy: ")[1].splitlines()[0].split()} >= {"15", "61"}
    page = (out / "report.html").read_text()
    assert "<script>alert" not in page and "alert(1)" in page and "\x1b" not in page


def test_command_on_arrays_of_a_file(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    rows = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    rows[20] = rows[3]
    np.save(tmp_path / "a.npy", rows)
    np.savez(tmp_path / "a.npz", X=rows, y=np.arange(30))
    np.savez(tmp_path / "one.npz", anything=rows)
    np.savez(tmp_path / "many.npz", one=rows, other=rows)
    save_file({"embeddings": rows, "X": rows[:2]}, tmp_path / "a.safetensors")
    for name in ("a.npy", "a.npz", "one.npz", "a.safetensors"):
        assert np.array_equal(read_corpus(tmp_path / name).rows, rows), name
    with pytest.raises(BadInput, match=r"many\.npz has one, other: call the embeddings embeddings or X"):
        read_corpus(tmp_path / "many.npz")
    done = run("dedup", str(tmp_path / "a.npz"), "--out", str(tmp_path / "run"))
    assert "29 of 30 rows stay" in done.stdout and "row " in done.stdout, done.exception


def test_command_on_a_folder_of_images(tmp_path: Path) -> None:
    from PIL import Image

    generator = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for i in range(6):
        grey = generator.integers(0, 255, (40, 50), np.uint8)
        Image.fromarray(grey).save(tmp_path / "in" / f"{i}.png")
        if i == 0:
            Image.fromarray((grey * 0.5).astype(np.uint8)).save(tmp_path / "in" / "darker.png")
    done = run("dedup", str(tmp_path / "in"), "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.exception
    assert len((tmp_path / "run" / "kept.txt").read_text().split()) == 6
    assert "Each column is a pair" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epsilon", "3"], "epsilon is 3"), (["--keep", "0"], "keep is 0"), (["--order", "soft"], "order"),
        (["--epsilon", "0.1", "--keep", "0.5"], "give one of them"), (["--clusters", "0"], "clusters is 0"),
        (["--clusters", "many"], "give auto, or"), (["--sample", "1"], "sample is 1"), (["--length", "1"], "--length"),
    ],
)  # fmt: skip
def test_command_looks_at_its_words_before_it_embeds(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from phasescope.commands import dedup as command

    monkeypatch.setattr(command, "read_corpus", lambda path: pytest.fail("it went on to read"))
    done = run("dedup", str(tmp_path / "texts.txt"), *words)
    assert isinstance(done.exception, BadInput) and said in str(done.exception)
    assert not (tmp_path / "runs").exists()


def test_refusals_of_files(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "bad.jsonl").write_text('"a"\n{"words": 1}\n')
    (tmp_path / "mixed").mkdir()
    for name in ("a.txt", "b.png"):
        (tmp_path / "mixed" / name).write_text("a")
    for name, said in (
        ("none.txt", "there is no"), ("empty.txt", "no text"), ("bad.jsonl", "line 2 has no text"),
        ("mixed", "one kind"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            read_corpus(tmp_path / name)
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "full.txt").write_text("a")
    for name, said in (("bare.txt", "bare.txt has no text"), ("a\nb.txt", "a name of two lines")):
        (tmp_path / "pages" / name).write_text(" ")
        with pytest.raises(BadInput, match=said):
            read_corpus(tmp_path / "pages")
    (tmp_path / "two.txt").write_text("a\nb\n")
    assert isinstance(run("dedup", str(tmp_path / "two.txt"), "--embed", "pixels").exception, BadInput)
    assert not (tmp_path / "runs").exists()
