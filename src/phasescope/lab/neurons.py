"""What a page shows of the neurons inside a study's networks: spectra, phases, and the accuracies that pruning leaves.

The numbers are the instruments' own. Only the pruning is faster here: the logits of a network whose readout is its last
layer are sums over neurons, so all fractions of an order cost one forward pass. Tested equal to
``instruments.neuron_pruning.pruning``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from phasescope.ensemble.cores import threads
from phasescope.ensemble.jobs import Job, jobs
from phasescope.ensemble.plan import cores
from phasescope.ensemble.reading import read, subject, tensors
from phasescope.ensemble.streams import initialized
from phasescope.figures import Neurons, Opened
from phasescope.identity import fingerprint
from phasescope.instruments.fourier import dominant_frequency, participation, phases
from phasescope.instruments.logits import mean_over
from phasescope.instruments.neuron_pruning import SHARES
from phasescope.lab.study import Experiment, Inside
from phasescope.vocabulary import Array, Draw, Member, Recipe, Scatter, Subject

NETWORKS, SEEDS = 120, 2  # opened of an experiment, if every cell has one; opened of a cell
READOUT = "readout"
Answers = dict[str, Tensor]  # by order of pruning, (R, N)
Written = dict[tuple[str, bytes], tuple[Neurons, Answers]]  # the networks of theory by description and inputs


def opened(e: Experiment, data: xr.Dataset, inside: Inside) -> Sequence[Opened]:
    """Return the neurons of the first networks of every cell of ``e``, of those whose final weights ``data`` keeps."""
    if "final.embed" not in data or f"final.{READOUT}" not in data:
        return ()
    weights = {str(name).removeprefix("final."): data[name].values for name in data if str(name).startswith("final.")}
    exact = Written()

    def look(place: tuple[int, ...], job: Job) -> Opened | None:
        learnt = {name: torch.from_numpy(np.array(values[place])) for name, values in weights.items()}
        if not all(bool(torch.isfinite(value).all()) for value in learnt.values()):
            return None  # it diverged
        draw = job.draw()
        return Opened(place, neurons(job.module, learnt, draw, inside.order), _exact(inside, job, draw, exact))

    # each on one core: so small products lose by being split
    with threads(cores()) as pool:
        return [found for found in pool.map(look, *zip(*_chosen(e), strict=True)) if found is not None]


def _chosen(e: Experiment) -> Iterator[tuple[tuple[int, ...], Job]]:
    """Yield place and job of the networks to open: few seeds where there are many cells, a coarser grid of too many."""
    *lengths, seeds = e.grid.shape
    kept = list(lengths)
    while np.prod(kept) > NETWORKS:
        longest = int(np.argmax(kept))
        kept[longest] = (kept[longest] + 1) // 2
    count = max(1, min(SEEDS, seeds, NETWORKS // int(np.prod(kept))))
    cells = product(
        *(np.linspace(0, n - 1, k).round().astype(int).tolist() for n, k in zip(lengths, kept, strict=True))
    )
    places = [(*cell, seed) for cell in cells for seed in range(count)]
    for place, job in zip(places, jobs_at(e, places), strict=True):
        yield place, replace(job, module=copy.deepcopy(job.module))  # called with other weights, one thread each


def jobs_at(e: Experiment, places: Sequence[tuple[int, ...]]) -> list[Job]:
    """Return the jobs of the networks of ``e`` at ``places`` (*axes, seed), as indices."""
    axes = e.grid.axes.items()
    members = [
        Member({name: values[i] for (name, values), i in zip(axes, cell, strict=True)}, e.grid.seed_values[seed])
        for *cell, seed in places
    ]
    return list(jobs(e.learner, e.task, Scatter(members), e.recipe or Recipe()))


def _exact(inside: Inside, job: Job, draw: Draw, known: Written) -> Neurons | None:
    """Return the neurons of the network that theory writes down, with its accuracies on the member's own split."""
    module = inside.exact(job.member) if inside.exact else None
    if module is None:
        return None
    written = initialized(module, 0)
    seen = _seen(written, dict(written.named_parameters()), draw)
    key = (fingerprint(module), draw.inputs.tobytes())
    if key not in known:  # one and the same for all members, also where two threads read it at once
        known.setdefault(key, _read(seen, inside.order))
    found, answers = known[key]
    return replace(found, accuracies=_accuracies(seen, answers))


def neurons(module: nn.Module, weights: Mapping[str, Tensor], draw: Draw, order: Sequence[int] = ()) -> Neurons:
    """Return the neurons of ``module`` with ``weights`` (parameters and running statistics), sorted by participation.

    ``order`` are the residues in the order in which the function is periodic, all of them by default.
    """
    seen = _seen(module, weights, draw)
    found, answers = _read(seen, order)
    return replace(found, accuracies=_accuracies(seen, answers))


def _seen(module: nn.Module, weights: Mapping[str, Tensor], draw: Draw) -> Subject:
    stacked = {name: value.detach()[None] for name, value in weights.items()}
    own = {name: stacked[name] for name, _ in module.named_parameters()}
    state = {name: stacked.get(name, value[None]) for name, value in module.named_buffers()}
    data = {name: value[None] for name, value in tensors(draw, torch.device("cpu"), torch.float32).items()}
    return subject(module, own, state, data, "mse")


def _read(seen: Subject, order: Sequence[int]) -> tuple[Neurons, Answers]:
    """Return the neurons without accuracies, and what the pruned networks answer."""
    embed, readout = seen.parameters["embed"], seen.parameters[READOUT]
    index = list(order) or list(range(embed.shape[2]))
    waves = replace(seen, parameters={"embed": embed[:, :, index], READOUT: readout[:, index]})
    readings = {name: value[0] for name, value in read((participation, dominant_frequency, phases), waves).items()}
    rank = np.argsort(-np.nan_to_num(readings["participation"], nan=-np.inf), kind="stable")
    vectors = torch.cat([waves.parameters["embed"][0], waves.parameters[READOUT]])
    gone = np.array([round(share * len(rank)) for share in SHARES])
    found = Neurons(
        [*(f"input {s}" for s in range(1, len(vectors))), "output"],
        "discrete logarithm of the residue" if order else "residue",
        readings["participation"][rank],
        readings["dominant_frequency"][rank],
        readings["phases"][:, rank],
        np.arange(len(rank)),
        vectors.numpy()[..., rank],
        gone,
        {},
    )
    return found, _answers(seen, rank, gone)


def _answers(seen: Subject, rank: Array, gone: Array) -> Answers:
    """Return the answers (R, N) after taking out the last, and the first, ``gone`` of the neurons in order ``rank``."""
    readout = seen.parameters[READOUT][0].T.contiguous()
    alone = torch.eye(len(rank), dtype=readout.dtype)[None]
    hidden = seen.answers({**seen.parameters, READOUT: alone})[0].T.contiguous()  # what neurons give to the readout
    found = {}
    for order, first in (("lowest", rank), ("highest", rank[::-1])):
        # from nothing to the whole network: what stays longest comes first
        logits, kept, here = torch.zeros(hidden.shape[1], readout.shape[1], dtype=readout.dtype), 0, []
        for count in reversed(gone.tolist()):
            added = torch.from_numpy(first[kept : len(rank) - count].copy())
            logits.addmm_(hidden[added].T, readout[added])
            kept = len(rank) - count
            here.append(torch.from_numpy(logits.numpy().argmax(-1)))  # faster than torch's
        found[order] = torch.stack(here[::-1])
    return found


def _accuracies(seen: Subject, answers: Answers) -> dict[str, Array]:
    """Return training and test accuracy (2, R) of the answers, as ``instruments.logits`` reads them."""
    return {
        order: np.stack([mean_over(found == seen.labels, mask, seen.weights).value.numpy()
                         for mask in (seen.train, seen.test)])
        for order, found in answers.items()
    }  # fmt: skip
