"""``ps.inspect`` on models that nobody here wrote: are they read, as their authors see them, and given back?

    python benchmarks/foreign.py [--only timm,hf] [--exact] [--json FILE] [--docs]

Each model is made with random weights from its own class and a small config (``foreign_models.py``); where a package is
missing, the table says so. Each runs in a process of its own, so that none can disturb the next. A model counts as
read if at least half of its parameters are covered (tables of embeddings and the readout apart), its blocks are those
of its authors, and it comes back bit for bit; that is judged here by an inventory that shares no code with the package.
``--exact`` also computes chi_J of small blocks from the explicit Jacobian, and counts the intervals that hold it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import importlib
import json
import multiprocessing
import re
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOME = Path(__file__).parent
STORED = HOME / "foreign.json"
LIMIT = 240  # seconds for one model
SMALL = 700  # entries of a signal up to which the explicit Jacobian is computed
SOME = 6  # blocks of one model that are compared with it


def inventory(module: Any, batch: Any) -> dict[str, str]:
    """Return a digest of everything that a look from outside can tell apart, by name."""
    import random

    import numpy as np
    import torch

    found: dict[str, str] = {}

    def tell(name: str, value: Any, depth: int = 0) -> None:
        if isinstance(value, torch.Tensor):
            bits = value.detach().cpu().contiguous().flatten()
            raw = bits.view(torch.uint8).numpy().tobytes() if bits.numel() and not value.is_quantized else b""
            said = f"{value.dtype} {tuple(value.shape)} {value.requires_grad} {hashlib.sha1(raw).hexdigest()}"
            found[name] = said
        elif isinstance(value, np.ndarray):
            found[name] = hashlib.sha1(value.tobytes()).hexdigest()
        elif isinstance(value, dict) and depth < 4:
            found[name] = f"dict {[str(key) for key in value]}"
            for key, part in value.items():
                tell(f"{name}[{key}]", part, depth + 1)
        elif isinstance(value, list | tuple | set) and depth < 4:
            found[name] = f"{type(value).__name__} {len(value)}"
            for i, part in enumerate(value if not isinstance(value, set) else sorted(map(str, value))):
                tell(f"{name}[{i}]", part, depth + 1)
        elif isinstance(value, int | float | str | type(None)):
            found[name] = repr(value)
        else:
            found[name] = f"{type(value).__name__} at {id(value)}"

    for name, part in module.named_modules():
        found[f"{name} class"] = type(part).__name__
        for key, value in vars(part).items():
            if key != "_modules":
                tell(f"{name}.{key}", value)
        for key, parameter in part.named_parameters(recurse=False):
            tell(f"{name}.{key}.grad", parameter.grad)
    tell("batch", batch)
    state = np.random.get_state()  # noqa: NPY002
    found["torch"] = hashlib.sha1(torch.get_rng_state().numpy().tobytes()).hexdigest()
    found["numpy"] = repr(state[1:3])[-80:] + str(state[1][:3])
    found["python"] = str(hash(random.getstate()))
    return found


def pattern(names: Any) -> str:
    """Return the names of blocks, up to their numbers, with how many there are of each.

    >>> pattern(["layers.0", "layers.1", "head"])
    'layers.# 2 + head 1'
    """
    counts: dict[str, int] = {}
    for name in names:
        key = re.sub(r"\d+([a-z]\b)?", "#", re.sub(r"#\d+$", "", str(name)))
        counts[key] = counts.get(key, 0) + 1
    return " + ".join(f"{key} {count}" for key, count in counts.items())


def tried(key: str, exact: bool) -> dict[str, Any]:
    """Return what became of one model, in this process."""
    import warnings

    import torch

    import phasescope as ps
    from phasescope.vocabulary import BadInput

    sys.path.insert(0, str(Path(__file__).parent))
    from foreign_models import MODELS

    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    made, authors = MODELS[key]
    row: dict[str, Any] = {"model": key, "authors": authors}
    try:
        module, batch = made()
        module.train()
    except Exception as error:  # a package that is missing or other than expected says so in the table
        return row | {"state": "not built", "said": f"{type(error).__name__}: {str(error).strip()[:200]}"}
    before, begin = inventory(module, batch), time.perf_counter()
    try:
        found = ps.inspect(module, batch, probes=4)
        blocks = [pattern(part.blocks) for part in (found, *found.parts)]
        row |= {
            "state": "read",
            "covered": round(found.covered, 4),
            "blocks": " | ".join(blocks),
            "said": found.coverage,
        }
        row |= {"J": found.total.value, "verdict": found.verdict, "rows": len(found.rows)}
    except BadInput as error:
        row |= {"state": "refused", "said": str(error)}
    except Exception:  # the very thing that is looked for
        row |= {"state": "crashed", "said": traceback.format_exc()[-600:]}
    row["seconds"] = round(time.perf_counter() - begin, 2)
    after = inventory(module, batch)
    row["touched"] = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))[:8]
    row["right"] = row["state"] == "read" and row["covered"] >= 0.5 and row["blocks"] == authors and not row["touched"]
    if exact and row["state"] == "read":
        row["exact"] = compared(module, batch, found)
    return row


def compared(module: Any, batch: Any, found: Any) -> list[tuple[float, float, float]]:
    """Return (exact chi_J, low, high) of the first small blocks, by explicit Jacobians."""
    from phasescope.inspection.batches import fitted
    from phasescope.inspection.blocks import find
    from phasescope.instruments.forward_pass import passage
    from phasescope.instruments.partial_jacobian import exact_partial_norm

    batch, rows = fitted(batch, module), []
    for blocks, part in zip(find(module, batch).parts, (found, *found.parts), strict=True):
        with passage(module, batch, blocks) as again:
            for start, end in list(zip(part.rows, part.rows[1:], strict=False))[:SOME]:
                if again.values[end.name].numel() <= SMALL:
                    exact = exact_partial_norm(again, start.name, end.name)
                    rows.append((exact, end.chi.low, end.chi.high))
    return rows


def alone(key: str, look: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """Return what ``look`` says of one model, in a process of its own, which begins with all that is imported."""
    near, far = multiprocessing.get_context("fork").Pipe(duplex=False)

    def work() -> None:
        far.send(json.dumps(look(key)))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    far.close()
    lost = {"model": key, "state": "crashed", "said": f"no end in {LIMIT} s, or the process died", "right": False}
    try:
        return json.loads(near.recv()) if near.poll(LIMIT) else lost
    except EOFError:
        return lost
    finally:
        process.kill()
        process.join()


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown, and what they come to."""
    lines = ["| model | | covered | blocks | authors' blocks | given back | seconds |", "|" + " --- |" * 7]
    for row in rows:
        covered = f"{100 * row['covered']:.0f} %" if "covered" in row else ""
        blocks = row.get("blocks") or " ".join(row["said"].split())[:160]
        back = "" if "touched" not in row else "yes" if not row["touched"] else "NO: " + ", ".join(row["touched"][:3])
        own = row.get("authors", "") if row.get("authors") != row.get("blocks") else "the same"
        blocks, own = (words.replace("|", "\\|") for words in (blocks, own))  # between parts; a bare one ends the cell
        lines.append(
            f"| {row['model']} | {row['state']} | {covered} | {blocks} | {own} | {back} | {row.get('seconds', '')} |"
        )
    built = [row for row in rows if row["state"] != "not built"]
    states = {s: sum(row["state"] == s for row in built) for s in ("read", "refused", "crashed")}
    pairs = [pair for row in built for pair in row.get("exact", [])]
    held = sum(low <= exact <= high for exact, low, high in pairs)
    lines += [
        "",
        f"{len(built)} models built of {len(rows)}: {states['read']} read, {states['refused']} refused, "
        f"{states['crashed']} "
        f"crashed; {sum(bool(row.get('touched')) for row in built)} not given back; "
        f"{sum(bool(row.get('right')) for row in built)} read with half of their parameters and their authors' blocks, "
        "given back.",
    ]
    lines += [f"Exact chi_J inside its interval: {held} of {len(pairs)} blocks."] if pairs else []
    return "\n".join(lines)


def write(rows: list[dict[str, Any]], page: Path) -> None:
    """Write the table of ``rows`` between the marks in ``page``."""
    begin, end = (f"<!-- foreign: {word} -->" for word in ("begin", "end"))
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{table(rows)}\n{end}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="beginnings of models' names, with commas between")
    parser.add_argument("--exact", action="store_true", help="compare chi_J with explicit Jacobians")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--docs", action="store_true", help="write the stored run into docs/inspect.md, and run nothing"
    )
    asked = parser.parse_args()
    if asked.docs:
        write(json.loads(STORED.read_text()), HOME.parent / "docs" / "inspect.md")
        return
    sys.path.insert(0, str(Path(__file__).parent))
    from foreign_models import MODELS

    for name in ("transformers", "timm", "torchvision.models", "phasescope"):  # once, for all processes
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    wanted = tuple(word for word in asked.only.split(",") if word)
    rows = []
    for key in MODELS:
        if not wanted or key.startswith(wanted):
            rows.append(alone(key, functools.partial(tried, exact=asked.exact)))
            print(
                f"{key}: {rows[-1]['state']} {rows[-1].get('blocks', rows[-1]['said'])}"[:150],
                file=sys.stderr,
                flush=True,
            )
    print(table(rows))
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
