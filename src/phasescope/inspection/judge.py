"""When a block, and a whole depth, count as critical, and what to do where they do not.

The thresholds are conventions; each says why it stands where it stands.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from phasescope.inspection.readings import DEPTH_TOLERANCE, BlockReading, Finding, Interval, Verdict

BLOCK_TOLERANCE = 0.25
"""|log chi| that one block may have: random blocks of width 100 to 500 scatter by 0.05 to 0.15 around criticality,
while ReLU under batch normalization, which no scale makes critical, has log 1.467 = 0.38."""
HALF_TOLERANCE = math.log(10) / 2
"""|log J| over the second half of the depth, where the whole is beyond its own: J may be a power of depth, as it is on
the critical line and in residual networks with normalization. Exponents up to 1.5 are known there (arXiv:2111.12143),
which give at most 1.5 log 2 = 1.04 for the second half; what grows exponentially has half of its growth there."""
POWER = 1.5
"""The largest exponent of such a power of depth."""
SKIP = 0.3
"""A mean diagonal of the Jacobian above this is a skip connection: without one it is 0 up to 1/sqrt(width)."""
NORMALIZED = 0.02
"""A block whose kernel responds by less than this to its input's is normalized: the scale of the weights cancels."""
DEAD, DEAD_SAMPLES = 0.5, 8
"""A share of dead units worth a word. A ReLU unit is off for one input in two, so inputs that are all alike make half
of them dead at initialization; and each unit must have been seen on so many inputs that chance explains few."""
ALIKE = 0.95
"""A mean cosine above this says that inputs (or tokens) are hardly told apart."""
SIGNAL = 100.0
"""A change of the kernel over the depth by more than this, tenfold in amplitude, in either direction."""
AUTO = "or let ps.autoinit find scales; then inspect again."


@dataclass(frozen=True)
class Depth:
    """The whole: J over all ``blocks`` and over the second ``half`` of them, and the verdict."""

    blocks: int
    total: Interval
    half: Interval

    @property
    def verdict(self) -> Verdict:
        """Critical within tenfold, or where J is no more than a power of depth."""
        whole = verdict_of(self.total, DEPTH_TOLERANCE)
        bends = whole in ("ordered", "chaotic") and verdict_of(self.half, HALF_TOLERANCE) == "critical"
        return "critical" if bends and self.blocks >= 4 else whole


def verdict_of(j: Interval, tolerance: float) -> Verdict:
    """Return where the interval of log J lies: inside +-tolerance, below, above, or across."""
    if math.isnan(j.value):
        return "-"
    _, low, high = j.log
    if -tolerance <= low and high <= tolerance:
        return "critical"
    return "ordered" if high < -tolerance else "chaotic" if low > tolerance else "undecided"


def scale_of(chi: float, skip: float, slope: float, depth: int) -> float:
    """Return the factor for weights that mends a block: NaN where no scale does.

    Without a skip chi goes with the squared scale of the weights (exactly for ReLU and linear): 1/sqrt(chi). With one,
    chi = skip^2 + branch, and the branch may add up to 1 over the depth: the root of (max(1 - skip^2, 0) + 1/depth)
    over what it is. Under a normalization without a skip the scale cancels.
    """
    if not chi > 0:
        return math.nan
    if math.isnan(skip) or abs(skip) < SKIP:
        return math.nan if abs(slope) < NORMALIZED else 1 / math.sqrt(chi)
    branch = chi - skip**2
    return math.sqrt((max(1 - skip**2, 0) + 1 / depth) / branch) if branch > 0 else math.nan


def findings_of(
    rows: Sequence[BlockReading], depth: Depth, *, batch_norm: bool, asleep: Sequence[str], samples: int
) -> tuple[Finding, ...]:
    """Return what is not normal, the gravest first.

    ``batch_norm``: whether the model normalizes by the batch; ``asleep``: batch normalizations in evaluation mode that
    have seen no batch; ``samples``: on how many inputs an activation unit was seen at least.
    """
    judged = [row for row in rows if row.verdict != "-"]
    dead = _dead(rows) if samples >= DEAD_SAMPLES else []
    return (*_sleeping(asleep), *_gradients(judged, depth, batch_norm), *_single(judged, depth), *dead, *_alike(rows),
            *_kernel(rows))  # fmt: skip


def _gradients(rows: Sequence[BlockReading], depth: Depth, batch_norm: bool) -> list[Finding]:
    if depth.verdict not in ("ordered", "chaotic"):
        return _early(rows, depth)
    if depth.total.value == 0:
        mend = "Look where it is cut off: detach, rounding, or dead units."
        return [Finding("No gradient gets from the last block to the first.", mend)]
    way = "shrink" if depth.verdict == "ordered" else "grow"
    factor = math.exp(abs(depth.total.log.value) / 2)
    what = f"Gradients {way} by a factor of {factor:.3g} on their way from the last block back to the first."
    return [Finding(what, _mend(rows, depth, batch_norm))]


def _early(rows: Sequence[BlockReading], depth: Depth) -> list[Finding]:
    """The first blocks amplify more than a power of depth explains: a small input beside branches of fixed size."""
    most = max(DEPTH_TOLERANCE, POWER * math.log(depth.blocks + 1))
    if depth.verdict != "critical" or depth.total.log.value <= most:
        return []
    worst = max(rows, key=lambda row: row.chi.value)
    grown = f"Squared gradients grow {depth.total.value:.3g}-fold, most in {worst.name} (chi_J {worst.chi.value:.3g})."
    return [Finding(grown, "What enters it is small beside what its branches add: scale the embedding up.")]


def _mend(rows: Sequence[BlockReading], depth: Depth, batch_norm: bool) -> str:
    skips = [row.skip for row in rows if not math.isnan(row.skip)]
    skip = median(skips) if skips else 0.0
    if skip >= SKIP and depth.verdict == "chaotic":
        scale = scale_of(median(row.chi.value for row in rows), skip, 1.0, depth.blocks)
        strong = f"The branches beside the skip connections are too strong for {depth.blocks} blocks"
        return f"{strong}: multiply each branch's output by {scale:.2f}, {AUTO}"
    if skip >= SKIP:  # the skip is weakened, as by a normalization after it
        kept = f"The skip connections keep {skip:.2f} of the signal per block"
        return f"{kept}: make that 1 (normalize inside the branch), {AUTO}"
    if fmean(abs(row.slope) < NORMALIZED for row in rows) > 0.5:
        by = "Batch normalization multiplies squared gradients by 1.2 to 1.5 per block" if batch_norm else "It is so"
        return f"{by} whatever the scale of the weights, which the normalization undoes: add skip connections."
    scale = math.exp(-depth.total.log.value / depth.blocks / 2)
    return f"Multiply the weights of each block by {scale:.3g} on average (each: see 'scale by'), {AUTO}"


def _single(rows: Sequence[BlockReading], depth: Depth) -> list[Finding]:
    """Blocks that differ from the verdict of the whole, but for the first beside skips, where chi - 1 goes as 1/l."""
    found = []
    whole = depth.verdict
    for kind in ("ordered", "chaotic"):
        expected = whole == "critical" and kind == "chaotic"
        off = [row for row in rows if row.verdict == kind != whole and not (expected and row.skip >= SKIP)]
        if off:
            chis = sorted(row.chi.value for row in off)
            named = ", ".join(row.name for row in off[:4]) + (", ..." if len(off) > 4 else "")
            span = f"{chis[0]:.3g}" if len(off) == 1 else f"{chis[0]:.3g} to {chis[-1]:.3g}"
            what = (
                f"{len(off)} of {len(rows)} blocks {'is' if len(off) == 1 else 'are'} {kind} (chi_J {span}): {named}."
            )
            mend = "At initialization, scale their weights by the factor in 'scale by', if there is one."
            found.append(Finding(what, mend))
    return found


def _sleeping(asleep: Sequence[str]) -> list[Finding]:
    if not asleep:
        return []
    what = f"{len(asleep)} batch normalizations ({asleep[0]}, ...) are in evaluation mode without having seen a batch."
    return [Finding(what, "They do nothing: call module.train() to read the network as it will be trained.")]


def _dead(rows: Sequence[BlockReading]) -> list[Finding]:
    off = [row for row in rows if row.dead > DEAD]
    if not off:
        return []
    worst = max(off, key=lambda row: row.dead)
    what = (
        f"Of {len(off)} blocks more than half of the units are dead on this batch ({worst.dead:.0%} in {worst.name})."
    )
    return [Finding(what, "Look at the biases and the learning rate, or use an activation with a slope on both sides.")]


def _alike(rows: Sequence[BlockReading]) -> list[Finding]:
    found = []
    for key, things, mend in (
        (
            "cosine",
            "different inputs",
            "Add skip connections, make biases small, or use activations with mean zero, such as tanh.",
        ),
        ("tokens", "the tokens of a sample", "Strengthen the skip connections, or weaken attention."),
    ):
        values = [(row.name, getattr(row, key)) for row in rows if not math.isnan(getattr(row, key))]
        if not values or values[0][1] > ALIKE or not values[-1][1] > ALIKE:
            continue
        first = next(name for name, value in values if value > ALIKE)
        what = f"The signals of {things} are all but the same from {first} on (cosine {values[-1][1]:.3f} at the end)."
        found.append(Finding(what, mend))
    return found


def _kernel(rows: Sequence[BlockReading]) -> list[Finding]:
    first, last = rows[0].kernel, rows[-1].kernel
    if not (first > 0 and last > 0) or 1 / SIGNAL <= last / first <= SIGNAL:
        return []
    times = math.sqrt(max(last / first, first / last))
    if last > first:
        return [
            Finding(
                f"The signal grows by a factor of {times:.3g} over the depth.",
                "Harmless where a normalization precedes the readout.",
            )
        ]
    return [
        Finding(f"The signal shrinks by a factor of {times:.3g} over the depth.", "Scale the weights up, or normalize.")
    ]
