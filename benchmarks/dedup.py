"""``ps.dedup`` on generated texts with planted copies: time, memory, recall, precision; peers beside it.

python benchmarks/dedup.py [--texts 100000] [--strengths 0.05,0.1,0.2,0.3] [--peers] [--json FILE]

Texts of 12 to 30 words are drawn from 20,000 words by Zipf's law; one in ten is a copy of another one, of whose words a
share is dropped or replaced. A pair is right if both come from one original. Peers (``pip install semhash datasketch``)
run on the same texts in the same process, semhash on the same embeddings, made dense (its own encoder is a download).
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

import phasescope as ps
from phasescope.data import shingles, tfidf

Pairs = Iterable[tuple[int, int]]


def planted(n: int, strength: float, seed: int) -> tuple[list[str], np.ndarray]:
    """Return ``n`` texts, a tenth of them copies at random places, and from which original each one is."""
    generator = ps.streams(seed)("benchmark")
    words = np.array([f"w{i:05d}" for i in range(20_000)])
    chance = 1 / np.arange(1, len(words) + 1)
    chance /= chance.sum()
    copies = n // 10
    originals = n - copies
    lengths = generator.integers(12, 31, originals)
    drawn = np.split(generator.choice(len(words), lengths.sum(), p=chance), np.cumsum(lengths)[:-1])
    sources = generator.choice(originals, copies, replace=False)
    made = list(drawn)
    for i in sources:
        text = drawn[i].copy()
        hit = generator.choice(len(text), max(1, round(strength * len(text))), replace=False)
        gone = hit[: len(hit) // 2] if len(hit) > 1 or generator.random() < 0.5 else hit
        text[hit] = generator.choice(len(words), len(hit), p=chance)
        made.append(np.delete(text, gone))
    order = generator.permutation(n)
    root = np.concatenate([np.arange(originals), sources])[order]
    return [" ".join(words[made[i]]) for i in order], root


def quality(pairs: Pairs, root: np.ndarray) -> tuple[float, float]:
    """Return recall of planted copies, and precision of the pairs found."""
    found = {(min(i, j), max(i, j)) for i, j in pairs}
    right = sum(root[i] == root[j] for i, j in found)
    planted_pairs = len(root) - len(np.unique(root))
    return right / planted_pairs, right / len(found) if found else float("nan")


def ours(embed: Callable[[Any], Any], epsilon: float) -> Callable[[list[str]], Pairs]:
    def run(texts: list[str]) -> Pairs:
        found = ps.dedup(embed(texts), epsilon=epsilon)
        told.append(str(found.missed))
        pairs = found.pairs[found.pairs["cosine"] > 1 - epsilon]
        return zip(pairs["i"].tolist(), pairs["j"].tolist(), strict=True)

    return run


told: list[str] = []


def by_datasketch(texts: list[str]) -> Pairs:
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=0.5, num_perm=128)
    found = []
    for i, text in enumerate(texts):
        words = text.split()
        hashed = MinHash(num_perm=128)
        hashed.update_batch([" ".join(words[k : k + 2]).encode() for k in range(max(1, len(words) - 1))])
        found += [(j, i) for j in index.query(hashed)]
        index.insert(i, hashed)
    return found


def by_semhash(threshold: float) -> Callable[[list[str]], Pairs]:
    def run(texts: list[str]) -> Pairs:
        from semhash import SemHash
        from sklearn.decomposition import TruncatedSVD

        dense = TruncatedSVD(256, random_state=0).fit_transform(tfidf(texts)).astype(np.float32)
        place = {text: i for i, text in enumerate(texts)}
        index = SemHash.from_embeddings(embeddings=dense, records=texts, model=None)
        result = index.self_deduplicate(threshold=threshold)
        return [(place[one.duplicate_of], place[one.record]) for one in result.filtered]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--strengths", default="0.05,0.1,0.2,0.3")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--json")
    asked = parser.parse_args()
    ways: dict[str, Callable[[list[str]], Pairs]] = {
        "phasescope, tfidf, 0.4": ours(tfidf, 0.4),
        "phasescope, shingles of 2, 0.5": ours(lambda texts: shingles(texts, words=2), 0.5),
    }
    if asked.peers:
        ways |= {"datasketch, MinHash, 0.5": by_datasketch, "semhash, our rows, 0.8": by_semhash(0.8)}
        ways["semhash, our rows, 0.9"] = by_semhash(0.9)
    rows = []
    for strength in map(float, asked.strengths.split(",")):
        texts, root = planted(asked.texts, strength, 0)
        for name, way in ways.items():
            begun = time.perf_counter()
            try:
                recall, precision = quality(way(texts), root)
            except ImportError as error:
                print(f"{name}: {error}")
                continue
            seconds = time.perf_counter() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            rows.append({"way": name, "texts": asked.texts, "strength": strength, "recall": recall,
                         "precision": precision, "seconds": seconds, "peak_gib": peak})  # fmt: skip
            said = told.pop() if told else ""
            print(
                f"{name:32}  {strength:4.2f}  recall {recall:.4f}  precision {precision:.4f}  {seconds:7.1f} s  "
                f"{peak:.2f} GiB  {said}",
                flush=True,
            )
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
