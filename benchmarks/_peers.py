"""Other packages that measure representations, each loaded only if it is there, called as it documents."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Cloud = Any


def skdim(name: str, *, neighbours: int | None = None, **options: Any) -> Callable[[Cloud], float]:
    """Return an estimator of scikit-dimension as a function of points."""
    module = importlib.import_module("skdim")
    made = getattr(module.id, name)

    def read(points: Cloud) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = (
                made(**options).fit(points)
                if neighbours is None
                else made(**options).fit(points, n_neighbors=neighbours)
            )
        return float(fitted.dimension_)

    return read


def dadapy() -> Any:
    """Return dadapy's estimator of dimensions; where its compiled parts do not fit numpy, the Python part alone."""
    try:
        return importlib.import_module("dadapy.id_estimation").IdEstimation
    except ImportError:
        found = importlib.util.find_spec("dadapy")
        if found is None or not found.submodule_search_locations:
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "dadapy"]:
            del sys.modules[name]
        shell = types.ModuleType("dadapy")
        shell.__path__ = list(found.submodule_search_locations)
        sys.modules["dadapy"] = shell
        return importlib.import_module("dadapy.id_estimation").IdEstimation


def dadapy_two_nn(points: Cloud) -> tuple[float, float]:
    """Return dadapy's TwoNN and the error that it gives."""
    value, error, _ = dadapy()(points, n_jobs=1).compute_id_2NN()
    return float(value), float(error)


def dadapy_gride(points: Cloud, n1: int) -> tuple[float, float]:
    """Return dadapy's GRIDE at neighbours ``n1`` and 2 ``n1``, and its error."""
    values, errors, _ = dadapy()(points, n_jobs=1).return_id_scaling_gride(range_max=2 * n1)
    return float(values[-1]), float(errors[-1])


def rsatoolbox(first: Cloud, second: Cloud, method: str) -> float:
    """Return rsatoolbox's comparison of two Euclidean dissimilarity matrices."""
    rsa = importlib.import_module("rsatoolbox")
    matrices = [rsa.rdm.calc_rdm(rsa.data.Dataset(x), method="euclidean", descriptor=None) for x in (first, second)]
    return float(np.asarray(rsa.rdm.compare(matrices[0], matrices[1], method=method)).item())


def versions() -> dict[str, str]:
    """Return the versions of the peers that are installed."""
    from importlib import metadata

    found = {}
    for name in ("scikit-dimension", "dadapy", "rsatoolbox"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
    return found
