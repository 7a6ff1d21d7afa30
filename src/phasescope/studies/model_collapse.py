"""Is model collapse inevitable? Gerstgrasser et al. 2024, arXiv:2404.01413.

A generative model is fitted to data, samples, and is fitted again. If its samples replace the data, its error grows
without bound; if they accumulate beside the data, it stays bounded. Linear models, Gaussians and density estimators are
compared with exact theory; a character model on real text, a variational autoencoder and a diffusion model on real
images are fed their own samples by the same loop, ``feedback_loop``, which takes any model.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.ensemble import Quantity, Simulation
from phasescope.studies import _model_collapse_models as models
from phasescope.studies import _model_collapse_worlds as worlds
from phasescope.studies._model_collapse_claims import claims
from phasescope.studies._model_collapse_figures import figures
from phasescope.studies._study import Paper, Study
from phasescope.vocabulary import Grid, Settings

Count = Annotated[int, Field(ge=1)]


class CollapseSettings(Settings):
    """Sizes of the study. ``samples`` T >= ``inputs`` + 2 per iteration; ``text`` is a file, or Python's own."""

    seeds: Count = 10
    inputs: Count = 10
    samples: Annotated[int, Field(ge=3)] = 50
    fits: Annotated[int, Field(ge=3)] = 20
    chains: Count = 2000
    subsamples: Annotated[int, Field(ge=3)] = 200
    subsample_chains: Count = 100
    gaussian_fits: Annotated[int, Field(ge=3)] = 50
    gaussian_chains: Count = 20_000
    pooled_chains: Count = 1000
    square_bandwidth: Annotated[float, Field(gt=0)] = 0.1
    text: str = ""
    text_rows: Count = 40
    text_fits: Annotated[int, Field(ge=2)] = 11
    deep_seeds: Count = 6
    image_fits: Annotated[int, Field(ge=2)] = 7
    image_steps: Count = 700
    diffusion_fits: Annotated[int, Field(ge=2)] = 3
    diffusion_steps: Count = 400


SCALES = {
    "pocket": CollapseSettings(),
    "paper": CollapseSettings(
        inputs=7, samples=89, fits=100, chains=10_000, subsample_chains=1000, gaussian_chains=100_000,
        pooled_chains=10_000, text_rows=300, deep_seeds=10, image_fits=10, image_steps=3000, diffusion_fits=10,
        diffusion_steps=5000,
    ),
}  # fmt: skip

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
            Grid({"policy": BOTH, "design": ("same", "fresh"), "variance": (1.0, 2.0, 4.0)}, seeds=s.seeds),
            error,
            {"inputs": s.inputs, "samples": s.samples, "chains": s.chains, "fits": s.fits},
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
        ),
        "diffusion": Simulation(
            "a diffusion model on digits",
            models.diffusion,
            deep,
            _quantities("1", "loss", "variance"),
            {"steps": s.diffusion_steps, "fits": s.diffusion_fits},
            s.diffusion_steps * s.diffusion_fits,
        ),
    }


STUDY = Study(
    name="model-collapse",
    title="Is model collapse inevitable?",
    question="When models are fitted to their own samples, does their error grow without bound?",
    paper=Paper(
        authors=(
            "Matthias Gerstgrasser, Rylan Schaeffer, Apratim Dey, Rafael Rafailov, Henry Sleight, John Hughes, "
            "Tomasz Korbak, Rajashree Agrawal, Dhruv Pai, Andrey Gromov, Daniel A. Roberts, Diyi Yang, "
            "David L. Donoho, Sanmi Koyejo"
        ),
        year=2024,
        title="Is Model Collapse Inevitable? Breaking the Curse of Recursion by Accumulating Real and Synthetic Data",
        link="https://arxiv.org/abs/2404.01413",
        bibtex=(
            "@article{gerstgrasser2024collapse,\n  title   = {Is Model Collapse Inevitable? Breaking the Curse of "
            "Recursion by Accumulating Real and Synthetic Data},\n  author  = {Gerstgrasser, Matthias and Schaeffer, "
            "Rylan and Dey, Apratim and Rafailov, Rafael and Sleight, Henry and Hughes, John and Korbak, Tomasz and "
            "Agrawal, Rajashree and Pai, Dhruv and Gromov, Andrey and Roberts, Daniel A. and Yang, Diyi and Donoho, "
            "David L. and Koyejo, Sanmi},\n  journal = {arXiv preprint arXiv:2404.01413},\n  year    = {2024}\n}"
        ),
    ),
    scales=SCALES,
    experiments=experiments,
    claims=claims,
    figures=figures,
    notes=(
        "The paper's models are language models on TinyStories, GeoDiff on molecules and a VAE on faces; here they are "
        "a trigram model on Python's language reference (or a text of yours), and a VAE and a diffusion model on "
        "scikit-learn's digits, all really trained. The paper's full text was not at hand: sources say what is derived."
    ),
)
