"""The record that ``ps.inspect`` forecasts from: networks of development seeds, and the model that is fitted to them.

    python benchmarks/forecast.py measure [--seeds 12] [--first 0]   forecast_fit.csv, a seed at a time; goes on where it was
    python benchmarks/forecast.py fit                                the two files of coefficients, from that table alone
    python benchmarks/forecast.py record [FOLDER]                    what a judged run of the study says of them;
                                                                     without one, the table itself, families held out

``fit`` writes ``inspection/forecast.json``, which ``ps.inspect`` reads, and ``studies/initialization_forecast/held_out.json``,
the same models fitted without one family each, which the study judges on new seeds.
"""  # noqa: E501

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import torch

import phasescope as ps
from phasescope.lab import load
from phasescope.studies.initialization_forecast.experiments import experiments
from phasescope.studies.initialization_forecast.fitting import (
    COLUMNS,
    Columns,
    columns_of,
    fitted,
    held_out,
    log_rates,
    measured_columns,
    rows_of,
)
from phasescope.studies.initialization_forecast.scoring import Models, resampled, rich_accuracy, scored
from phasescope.studies.initialization_forecast.settings import RATES, ForecastSettings

HERE = Path(__file__).parent
TABLE = HERE / "forecast_fit.csv"
PACKAGE = Path(ps.__file__).parent
SHIPPED, HELD, RECORD = (
    PACKAGE / "inspection" / "forecast.json",
    PACKAGE / "studies" / "initialization_forecast" / "held_out.json",
    PACKAGE / "inspection" / "forecast_record.json",
)


def measure(seeds: int, first: int) -> None:
    """Train the networks of each seed that the table does not have yet."""
    known = {row["seed"] for row in table()} if TABLE.is_file() else set()
    if not known:
        TABLE.write_text(",".join(COLUMNS) + "\n")
    work = experiments(ForecastSettings())["networks"]
    for seed in range(first, first + seeds):
        if str(seed) in known:
            continue
        begun = time.perf_counter()
        mine = work.with_seeds([seed])
        data = mine.run(mine.plan(), None, workers=1)
        with TABLE.open("a", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows_of(data))
        print(f"seed {seed}: {len(mine.grid)} networks, {time.perf_counter() - begun:.0f} s", flush=True)


def table() -> list[dict[str, str]]:
    """Return the rows of the table."""
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def recorded(folder: str | None) -> dict[str, object]:
    """Return the record of the coefficients: on the networks of a judged run, or on those that they were fitted to."""
    if folder is None:
        columns = columns_of(table())
        seeds = sorted({int(seed) for seed in columns["seed"]})
        return {"judged": False, "seeds": [seeds[0], seeds[-1]], **scored(columns), **more(columns)}
    results = load(folder)
    data = results.data["networks"]
    seeds = sorted(int(seed) for seed in data.seed.values)
    verdicts = {one.id: str(one.verdict) for one in results.verdicts}
    return {
        "judged": seeds[0] >= 1000, "seeds": [seeds[0], seeds[-1]], "code": results.provenance["code"][:12],
        "verdicts": verdicts, **scored(measured_columns(data)), **more(measured_columns(data)),
    }  # fmt: skip


def more(columns: Columns, models: Models | None = None) -> dict[str, object]:
    """Return whether rich and lazy are told apart at all, and how far off one rate for all networks would be."""
    rich = resampled(columns, lambda c: rich_accuracy(c, "signs", models), 300)
    truth = log_rates(columns["accuracy"])
    truth = truth[np.isfinite(truth)]
    one = min(float(np.abs(truth - np.log2(rate)).mean()) for rate in RATES)
    return {"rich [95 %]": rich, "tells rich": rich[1] > 0.5, "octaves of the best one rate": float(f"{one:.4g}")}


def write(path: Path, document: object) -> None:
    """Write JSON with numbers of nine digits."""
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["measure", "fit", "record"])
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "measure":
        measure(asked.seeds, asked.first)
    elif asked.what == "fit":
        write(SHIPPED, fitted(table()))
        write(HELD, held_out(table()))
    else:
        write(RECORD, recorded(asked.folder))


if __name__ == "__main__":
    main()
