"""``ps.profile`` on models that nobody here wrote: is each read, and given back bit for bit?

    python benchmarks/foreign_profiles.py [--only timm,hf] [--most 40] [--json FILE] [--docs]

The models are those of ``foreign.py``, each in a process of its own, with a batch of 24 samples made from its own small
one: floating numbers with a tenth of noise, whole numbers in other orders. A model counts if at least one place has
finite dimensions and isotropy and the inventory of ``foreign.py``, which shares no code with the package, finds nothing
changed. ``--docs`` writes the stored counts into docs/profile.md, and runs nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from foreign import alone, inventory

HOME = Path(__file__).parent
STORED = HOME / "foreign_profiles.json"
PAGE = HOME.parent / "docs" / "profile.md"
BLOCK = re.compile(r"(<!-- numbers: foreign_profiles -->\n).*?(<!-- end of numbers -->)", re.S)
SAMPLES = 24


def widened(batch: Any) -> Any:
    """Return ``batch`` with 24 samples: its own again and again, changed a little."""
    import torch

    generator = torch.Generator().manual_seed(7)
    parts = batch.values() if isinstance(batch, dict) else batch if isinstance(batch, tuple) else (batch,)
    first = next(part for part in parts if isinstance(part, torch.Tensor) and part.dim() > 0)
    times = -(-SAMPLES // len(first))

    def wide(part: Any) -> Any:
        if not isinstance(part, torch.Tensor) or part.dim() == 0 or len(part) != len(first):
            return part
        if part.is_floating_point():
            copies = [part + 0.1 * torch.randn(part.shape, generator=generator) for _ in range(times)]
        elif part.dtype == torch.bool:
            copies = [part] * times
        else:
            orders = [torch.randperm(part.numel(), generator=generator) for _ in range(times)]
            copies = [part.flatten()[order].view_as(part) for order in orders]
        return torch.cat(copies)

    if isinstance(batch, dict):
        return {name: wide(part) for name, part in batch.items()}
    return tuple(map(wide, batch)) if isinstance(batch, tuple) else wide(batch)


def profiled(key: str) -> dict[str, Any]:
    """Return what became of one model, in this process."""
    import warnings

    import numpy as np
    import torch

    import phasescope as ps
    from foreign_models import MODELS
    from phasescope.vocabulary import BadInput

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    row: dict[str, Any] = {"model": key}
    try:
        module, batch = MODELS[key][0]()
        module.train()
        batch = widened(batch)
    except Exception as error:  # a package that is missing or other than expected says so in the table
        return row | {"state": "not built", "said": f"{type(error).__name__}: {str(error).strip()[:200]}"}
    row["package"] = type(module).__module__.split(".")[0]
    before, begin = inventory(module, batch), time.perf_counter()
    try:
        found = ps.profile(module, batch)
        good = np.isfinite(found.data.participation.values) & np.isfinite(found.data.isoscore.values)
        row |= {"state": "read", "places": len(good), "good": int(good.sum()), "said": found.summary()}
    except BadInput as error:
        row |= {"state": "refused", "said": str(error)}
    except Exception:  # the very thing that is looked for
        row |= {"state": "crashed", "said": traceback.format_exc()[-600:]}
    row["seconds"] = round(time.perf_counter() - begin, 2)
    after = inventory(module, batch)
    row["touched"] = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))[:8]
    return row


def counts(rows: list[dict[str, Any]]) -> str:
    """Return in a sentence what became of the models."""
    built = [row for row in rows if row["state"] != "not built"]
    read = [row for row in built if row["state"] == "read" and row["good"]]
    back = [row for row in read if not row["touched"]]
    packages = sorted({row["package"] for row in read})
    places = sum(row["good"] for row in read)
    refused = [row for row in built if row["state"] == "refused"]
    crashed = [row for row in built if row["state"] == "crashed"]
    return (
        f"Of {len(built)} models of other packages, built small and with random weights by "
        f"`benchmarks/foreign_profiles.py`, "
        f"{len(read)} from {len(packages)} packages ({', '.join(packages)}) are profiled, {places} places in all, "
        f"{len(back)} of them given back bit for bit; {len(refused)} are refused with a sentence, {len(crashed)} crash."
    )


def main() -> None:
    """Profile the models and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="beginnings of models' names, with commas between")
    parser.add_argument("--most", type=int, default=40, help="how many are built at most, spread over packages")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--docs", action="store_true")
    asked = parser.parse_args()
    if asked.docs:
        rows = json.loads(STORED.read_text("utf-8"))
        text = PAGE.read_text("utf-8")
        PAGE.write_text(BLOCK.sub(lambda m: m[1] + counts(rows) + "\n" + m[2], text), "utf-8")
        return
    sys.path.insert(0, str(HOME))
    from foreign_models import MODELS

    for name in ("transformers", "timm", "torchvision.models", "phasescope", "xarray"):  # once, for all processes
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    wanted = tuple(word for word in asked.only.split(",") if word)
    names = [key for key in MODELS if not wanted or key.startswith(wanted)]
    rows: list[dict[str, Any]] = []
    for key in spread(names):
        if sum(row["state"] != "not built" for row in rows) >= asked.most:
            break
        rows.append(alone(key, profiled))
        last = rows[-1]
        back = "" if "touched" not in last else "given back" if not last["touched"] else f"TOUCHED {last['touched']}"
        if asked.json:
            asked.json.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        print(f"{key}: {last['state']} {back} {last.get('said', '')}"[:160], file=sys.stderr, flush=True)
    print(counts(rows))


def spread(names: list[str]) -> list[str]:
    """Return the names so that each package's first ones come first.

    >>> spread(["hf a", "hf b", "timm a"])
    ['hf a', 'timm a', 'hf b']
    """
    place: dict[str, int] = {}
    order = []
    for i, name in enumerate(names):
        package = name.split()[0]
        place[package] = place.get(package, -1) + 1
        order.append((place[package], i, name))
    return [name for _, _, name in sorted(order)]


if __name__ == "__main__":
    main()
