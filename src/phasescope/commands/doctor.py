"""What ``phasescope doctor`` finds: versions, device, threads, matrix-multiply peak, and a store's health."""

from __future__ import annotations

import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from phasescope.ensemble.plan import cores, free_memory
from phasescope.lab.bench import LIBRARIES
from phasescope.store import Store

SIZE, REPEATS = 1536, 9


def matmul_peak(device: torch.device) -> float:
    """Return the best measured float32 rate of a 1536 x 1536 product on ``device``, in GFLOP/s, by torch."""
    a = torch.ones(SIZE, SIZE, device=device)
    seconds = []
    for _ in range(REPEATS):
        if device.type == "cuda":
            torch.cuda.synchronize()
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return float(2 * SIZE**3 / np.median(seconds[1:]) / 1e9)


def examined(directory: Path | None) -> Table:
    """Return the findings as a table; ``directory`` is a run's folder whose store is checked too."""
    table = Table(show_header=False, box=None)
    table.add_row("python", f"{platform.python_version()} at {sys.executable}")
    for name in LIBRARIES:
        try:
            table.add_row(name, version(name))
        except PackageNotFoundError:
            table.add_row(name, "missing: install it with the package")
    table.add_row("cores", str(cores()))
    table.add_row("torch threads", str(torch.get_num_threads()))
    devices = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
    for device in devices:
        label = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        table.add_row(f"matrix-multiply peak, {label}", f"{matmul_peak(device):,.0f} GFLOP/s (float32, torch)")
        table.add_row(f"free memory, {label}", f"{free_memory(device) / 2**30:,.1f} GiB")
    if directory is None:
        table.add_row("store", "none asked for: phasescope doctor DIR checks a run's folder")
        return table
    with Store(directory, read_only=True) as store:
        for key, value in store.health().items():
            table.add_row(f"store: {key}", str(value))
    return table
