"""The fingerprints of a job's parts: what its network, its data and its readings are, for its identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from phasescope.ensemble.streams import initialized, streams
from phasescope.identity import Origin, fingerprint, origin_of, patches
from phasescope.samples import checked
from phasescope.vocabulary import BadInput, Draw, Drawn, Instrument, Member, Sampler, Task

#: Layers of torch of which ``reset_parameters`` draws weight and bias, both of them (law in ``test_identity.py``).
TORCHS_LAYERS = (
    nn.Linear, nn.Bilinear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm,
)  # fmt: skip


@dataclass(frozen=True)
class Marks:
    """What a job is made of, as hashes: its ``learner``, the ``shape`` of it that a tile shares, its ``task``.

    ``watch`` and ``at_end`` are the instruments' names and hashes, ``functions`` those of one's own in the recipe.
    """

    learner: str
    shape: str
    task: str
    watch: tuple[Any, ...]
    at_end: tuple[Any, ...]
    functions: tuple[tuple[str, str], ...] = ()


def of_the_house(thing: Any) -> bool:
    """Return whether a network or a table is one of ours, whose numbers all follow from its attributes."""
    return origin_of(type(thing)) is Origin.HOUSE and not isinstance(thing, Sampler)


def structure(module: nn.Module) -> str:
    """Return the hash of a network without the values of its parameters and buffers."""
    return fingerprint(module, weights=False)


def learner_marks(module: nn.Module, template: nn.Module, *, given: bool = True) -> tuple[str, str]:
    """Return the hash of a network with its first weights, and that of what it shares with others of its tile.

    ``template`` is the network before a member's own numbers were set. One of ours keeps these in buffers, or reads
    them only when it is initialized; of a user's it is not known, so that networks of other numbers are apart. Of one
    that is not ``given``, but made for its member, the weights are those that it has.
    """
    shape = structure(module)
    shared = structure(template) if of_the_house(template) and template is not module else shape
    first = _first_weights(module) if given else [*module.named_parameters(), *module.named_buffers()]
    return fingerprint(shape, first), shared


def _first_weights(module: nn.Module) -> list[tuple[str, Any]]:
    """Return what a network's weights and buffers are when training begins, as far as its streams do not say it.

    What is drawn anew is the same for one seed, whatever it was before; what is not is seen in its values.
    """
    parts = list(module.modules())
    if of_the_house(module) and isinstance(module, Drawn):
        anew = {id(p) for p in module.parameters() if p.requires_grad}
    elif not isinstance(module, Drawn) and all(_by_torch(part) for part in parts if hasattr(part, "reset_parameters")):
        # known without drawing, which would cost more than making the network
        drawn = [part for part in parts if hasattr(part, "reset_parameters")]
        anew = {id(p) for part in drawn for p in part.parameters(recurse=False) if p.requires_grad}
    else:
        module, anew = initialized(module, 0), set()
    return [(n, p) for n, p in module.named_parameters() if id(p) not in anew] + list(module.named_buffers())


def _by_torch(part: nn.Module) -> bool:
    """Return whether torch's own code draws all tensors of a layer anew, whatever stood in them before."""
    cls = type(part)
    torchs = cls in TORCHS_LAYERS and cls.reset_parameters.__module__ == cls.__module__
    changed = "reset_parameters" in vars(part) or part._buffers or part._forward_pre_hooks or patches(nn.init)
    return torchs and not changed and part._parameters.keys() <= {"weight", "bias"}


def reads_mark(instrument: Instrument) -> list[Any]:
    """Return an instrument's name and the hash of its code and of where it reads."""
    return [instrument.name, fingerprint(instrument.measure, tuple(instrument.dims), dict(instrument.coords))]


def task_mark(task: Task, arrays: dict[int, tuple[Any, bytes]]) -> str:
    """Return the hash of a task; ``arrays`` keeps those of its arrays. Knobs of ours stand in the member's identity."""
    if not of_the_house(task):
        return fingerprint(task, known=arrays)
    own = {name: value for name, value in sorted(vars(task).items()) if name not in task.knobs}
    return fingerprint(type(task), own, known=arrays)


def drawn_mark(mark: str, task: Task, member: Member, draw: Draw, arrays: dict[int, tuple[Any, bytes]]) -> str:
    """Return the hash of a user's task and of what it drew: files that it reads are seen in no code."""
    return fingerprint(mark, _drawn(task, member, draw), known=arrays)


def refuse_moods(task: Task, member: Member, draw: Draw) -> None:
    """Raise ``BadInput`` for a task that draws other data when it is asked again for the same member."""
    again = checked(task.draw(member, streams(member.seed)), task.classes, task.name)
    if fingerprint(_drawn(task, member, draw)) != fingerprint(_drawn(task, member, again)):
        raise BadInput(
            f"{task.name!r} draws other data when asked twice for one member: draw from generators(purpose) alone."
        )


def _drawn(task: Task, member: Member, draw: Draw) -> Mapping[str, Any]:
    found = dict(vars(draw))
    if isinstance(task, Sampler):
        found["batch"] = task.batch(member, streams(member.seed), 1, 2)
    return found
