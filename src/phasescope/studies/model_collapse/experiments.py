"""The experiments of ``model-collapse``."""

from __future__ import annotations

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies.model_collapse import models, worlds
from phasescope.studies.model_collapse.settings import CollapseSettings
from phasescope.vocabulary import Grid

BOTH = ("replace", "accumulate")


def _quantities(unit: str, *names: str) -> tuple[Quantity, ...]:
    return tuple(Quantity(name, unit, "arXiv:2404.01413", ("fit",)) for name in names)


def experiments(s: CollapseSettings) -> dict[str, Simulation]:
    """Return the study's simulations by name."""
    return {**_exact(s), **_models(s)}


def _exact(s: CollapseSettings) -> dict[str, Simulation]:
    error = _quantities("squared distance", "error", "median_error")
    variance = _quantities("1", "variance", "typical")

    def spread(title: str, policies: tuple[str, ...], **fixed: float) -> Simulation:
        numbers = {"samples": s.samples, "square_bandwidth": 0.0, "fits": s.gaussian_fits, **fixed}
        grid, pools = Grid({"policy": policies}, seeds=s.seeds), 2 if "accumulate" in policies else 1
        work = numbers["chains"] * numbers["samples"] * numbers["fits"] ** pools
        return Simulation(title, worlds.gaussian, grid, variance, numbers, work)

    return {
        "linear": Simulation(
            "least squares fitted to its own labels",
            worlds.linear,
            Grid({"policy": BOTH, "design": ("same", "fresh")}, seeds=s.seeds),
            error,
            {"inputs": s.inputs, "samples": s.samples, "chains": s.chains, "fits": s.fits, "variance": 1.0},
            s.chains * s.fits * s.samples,
        ),
        "subsampled": Simulation(
            "least squares on a fixed number of points drawn from all",
            worlds.subsampled,
            Grid(seeds=s.seeds),
            error[:1],
            {"inputs": s.inputs, "samples": s.subsamples, "chains": s.subsample_chains, "fits": s.fits},
            s.subsample_chains * s.subsamples * s.fits**2,
        ),
        "gaussian": spread("Gaussians fitted to their own samples", ("replace",), chains=s.gaussian_chains),
        "pooled": spread("Gaussians fitted to all samples so far", ("accumulate",), chains=s.pooled_chains),
        "density": spread(
            "density estimators fed their own samples",
            BOTH,
            chains=s.pooled_chains,
            square_bandwidth=s.square_bandwidth,
            fits=s.fits,
        ),
    }


def _models(s: CollapseSettings) -> dict[str, Simulation]:
    deep = Grid({"policy": BOTH}, seeds=s.deep_seeds)
    return {
        "text": Simulation(
            "a trigram model of characters",
            models.trigrams,
            Grid({"policy": ("replace", "synthetic", "accumulate")}, seeds=s.seeds),
            _quantities("nats per character", "loss"),
            {"rows": s.text_rows, "path": s.text, "text": models.text_hash(s.text), "fits": s.text_fits},
            s.text_rows * s.text_fits**2,
            kind="trained",
        ),
        "images": Simulation(
            "a variational autoencoder on digits",
            models.autoencoder,
            deep,
            (
                *_quantities("nats", "loss"),
                *_quantities("1", "variance"),
                Quantity("shown", "1", "scikit-learn's digits", ("fit", "image", "y", "x")),
            ),
            {"steps": s.image_steps, "fits": s.image_fits},
            s.image_steps * s.image_fits,
            kind="trained",
        ),
        "diffusion": Simulation(
            "a diffusion model on digits",
            models.diffusion,
            deep,
            _quantities("1", "loss", "variance"),
            {"steps": s.diffusion_steps, "fits": s.diffusion_fits},
            s.diffusion_steps * s.diffusion_fits,
            kind="trained",
        ),
    }
