"""Do claims and figures say of the stored results what they said before? Run on two commits:

    python docs/gallery/same.py --write before.json      # on the commit before a change that is to change no number
    python docs/gallery/same.py before.json              # after it

Every claim's effect and control (arrays, to 1e-12), its sentence, expectation and unit, and every leaf of every figure
of ``stored/`` are compared. What a stored result lacks is named: claims whose variables were not kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import phasescope as ps

HERE = Path(__file__).parent
CLOSE = 1e-12
NOT_STORED = "a variable was not stored"


def leaves(value: Any, place: str = "") -> dict[str, Any]:
    """Return what a nested value holds by place: numbers as lists, everything else as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, dict) or hasattr(value, "items"):
        parts = {f"{place}.{name}": part for name, part in value.items()}
    elif isinstance(value, list | tuple):
        parts = {f"{place}[{i}]": part for i, part in enumerate(value)}
    elif isinstance(value, np.ndarray) or hasattr(value, "dims"):
        found = np.asarray(value)
        return {place: found.astype(np.float64).tolist() if found.dtype.kind in "biuf" else found.astype(str).tolist()}
    else:
        return {place: value if isinstance(value, int | float | bool | type(None)) else str(value)}
    return {name: leaf for key, part in parts.items() for name, leaf in leaves(part, key).items()}


def samples(effect: Any, data: Any) -> Any:
    """Return what an effect makes of the data, or that a variable of it was not stored."""
    with np.errstate(all="ignore"):
        try:
            return np.asarray(effect(data), dtype=np.float64).tolist()
        except (KeyError, AttributeError):  # how xarray says that a variable is not there
            return NOT_STORED


def said(folder: Path) -> dict[str, Any]:
    """Return all that is said of one stored result."""
    results = ps.load(folder)
    found: dict[str, Any] = {}
    for figure in () if "looks" in results.provenance else results.figures():  # they are not stored for those
        found |= {f"figure {figure.id}{place}": leaf for place, leaf in leaves(figure).items()}
    if "map" not in results.provenance:
        for claim in results.study.claims(results.settings):
            found[f"claim {claim.id}: effect"] = samples(claim.effect, results.data)
            found[f"claim {claim.id}: control"] = samples(claim.control.effect, results.data)
            words = (claim.sentence, claim.control.sentence, claim.unit, claim.expected.low, claim.expected.high)
            found[f"claim {claim.id}: words"] = list(map(str, words))
    return found


def same(one: Any, other: Any) -> bool:
    """Return whether two leaves are equal: numbers to 1e-12, NaN equal to NaN."""
    try:
        a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    except (TypeError, ValueError):
        return bool(one == other)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=CLOSE, atol=0, equal_nan=True))


def main() -> int:
    """Write or compare; return 1 where something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="keep what is said now in the file")
    parser.add_argument("file", type=Path)
    asked = parser.parse_args()
    now = {folder.name: said(folder) for folder in sorted((HERE / "stored").iterdir())}
    if asked.write:
        asked.file.write_text(json.dumps(now))
        return 0
    before, different = json.loads(asked.file.read_text()), 0
    now = json.loads(json.dumps(now))
    for name in sorted({*before, *now}):
        old, new = before.get(name, {}), now.get(name, {})
        both = old.keys() & new.keys()
        wrong = [place for place in {**old, **new} if place not in both or not same(old[place], new[place])]
        claims = [place for place in new if place.endswith(": effect")]
        absent = [place for place in claims if new[place] == NOT_STORED]
        counts = f"{len(claims):3d} claims, {len(absent)} not stored, {len(wrong)} different"
        print(f"{name:24s} {len(new):6d} leaves, {counts}")
        for place in wrong[:8]:
            print(f"    {place}: {str(old.get(place))[:70]} -> {str(new.get(place))[:70]}")
        different += len(wrong)
    print("the same" if not different else f"{different} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
