"""When a block, and a whole depth, count as critical. The thresholds are conventions; each says why it stands there.

**One rule.** What is judged is growth times depth: log J over all blocks, with its interval, against +-log 100, where
the gradients of the first and the last block differ tenfold. In networks with normalization J itself depends on the
units in which the signal is measured: of a signal that grows from K_0 to K_L, J is larger by K_L/K_0, and nothing
is lost where what follows divides by sqrt(K_L). So where the output's scale no longer follows the input's, the
signal's own change of scale is taken out, J (K_0/K_L)^(1 - s) with s = d log K_L / d log K_0: s is 1 for ReLU chains,
where J is judged as it is, and near 0 where branches are normalized; there the sensitivity to relative
changes is judged. Without a normalization J is judged as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

from phasescope.inspection.readings import DEPTH_TOLERANCE, BlockReading, Finding, Interval, Verdict

BLOCK_TOLERANCE = 0.25
"""|log chi| that one block may have: random blocks of width 100 to 500 scatter by 0.05 to 0.15 around criticality,
while ReLU under batch normalization, which no scale makes critical, has log 1.467 = 0.38."""
SKIP = 0.3
"""A mean diagonal of the Jacobian above this is a skip connection: without one it is 0 up to 1/sqrt(width)."""
NORMALIZED = 0.02
"""A block whose kernel responds by less than this to its input's is normalized: the scale of the weights cancels."""
FEW = 32
"""Batch normalization on n independent values divides by a variance whose inverse is n/(n - 3) too large in the mean:
10 % at 32, a factor of 4 at 4, in every layer."""
DEAD, DEAD_SAMPLES = 0.5, 8
"""A share of dead units worth a word. A ReLU unit is off for one input in two, so inputs that are all alike make half
of them dead at initialization; and each unit must have been seen on so many inputs that chance explains few."""
ALIKE = 0.95
"""A mean cosine above this says that inputs (or tokens) are hardly told apart."""
SIGNAL = 100.0
"""A change of the kernel over the depth by more than this, tenfold in amplitude, in either direction."""


@dataclass(frozen=True)
class Depth:
    """The whole: J over all ``blocks``, the kernels at both ends, ``slope``: by which the last follows the first."""

    blocks: int
    total: Interval
    kernels: tuple[float, float] = (1.0, 1.0)
    slope: float = 1.0

    @property
    def log(self) -> Interval:
        """Log J with its interval, without the change of scale that normalizations undo."""
        return Interval(*(relative_log(x, *self.kernels, self.slope) for x in self.total.log))

    def verdict(self, inflation: float = 0.0) -> Verdict:
        """Return where log J lies, of which ``inflation`` may come from batch normalization on few values."""
        if math.isnan(self.total.value):
            return "-"
        found = _place(self.log, DEPTH_TOLERANCE)
        return "undecided" if found == "chaotic" and self.log.low - inflation <= DEPTH_TOLERANCE else found


def relative_log(log_j: float, first: float, last: float, slope: float) -> float:
    """Return log J - (1 - s) log(K_L/K_0): log J without the signal's own change of scale, where that is undone."""
    if not (first > 0 and last > 0) or math.isnan(slope):
        return log_j
    return log_j - (1 - min(max(slope, 0.0), 1.0)) * math.log(last / first)


def depth_of(rows: Sequence[BlockReading], start: str, slope: float = 1.0) -> Depth:
    """Return the whole from ``start`` to the last of ``rows``, whose kernel follows the first with ``slope``."""
    first = next(i for i, row in enumerate(rows) if row.name == start)
    return Depth(len(rows) - 1 - first, rows[first].to_end, (rows[first].kernel, rows[-1].kernel), slope)


def interval_of(value: float, error: float, probes: int) -> Interval:
    """Return the 95 % interval of a J from its mean over ``probes`` and the standard error, symmetric in log J.

    Probes of a Jacobian with few large singular values are skewed to the right, like a chi-squared variable, and so is
    their mean; its logarithm is nearly symmetric.
    """
    if not (value > 0 and error > 0):
        return Interval(value, value, value)
    half = float(stdtrit(probes - 1, 0.975)) * error / value
    return Interval(value, value * math.exp(-half), value * math.exp(min(half, 700.0)))


def verdict_of(j: Interval, tolerance: float) -> Verdict:
    """Return where the interval of log J lies: inside +-tolerance, below, above, or across."""
    return "-" if math.isnan(j.value) else _place(j.log, tolerance)


def _place(log: Interval, tolerance: float) -> Verdict:
    if -tolerance <= log.low and log.high <= tolerance:
        return "critical"
    return "ordered" if log.high < -tolerance else "chaotic" if log.low > tolerance else "undecided"


def target_of(skip: float, depth: int) -> float:
    """Return what chi of a block should be: 1, or where a skip alone gives 1 or more, that and 1/depth."""
    if math.isnan(skip) or abs(skip) < SKIP:
        return 1.0
    return max(1.0, skip**2) + 1 / depth


def scale_of(chi: float, skip: float, slope: float, depth: int) -> float:
    """Return a first factor for weights that could mend a block: NaN where no scale does.

    Without a skip chi goes with the squared scale of the weights (exactly for ReLU and linear): 1/sqrt(chi). With one,
    chi = skip^2 + branch, and the branch may add up to 1 over the depth: the root of (max(1 - skip^2, 0) + 1/depth)
    over what it is. Under a normalization without a skip the scale cancels.
    """
    if not chi > 0:
        return math.nan
    if math.isnan(skip) or abs(skip) < SKIP:
        return math.nan if abs(slope) < NORMALIZED else 1 / math.sqrt(chi)
    branch = chi - skip**2
    return math.sqrt((target_of(skip, depth) - skip**2) / branch) if branch > 0 else math.nan


def findings_of(
    rows: Sequence[BlockReading], *, asleep: Sequence[str], few: tuple[int, int, float], samples: int
) -> tuple[Finding, ...]:
    """Return what is not normal beside Jacobians, the gravest first.

    ``asleep``: batch normalizations in evaluation mode that have seen no batch; ``few``: how many normalize by fewer
    than 32 values per channel, the fewest, and by which factor that may raise J; ``samples``: on how many inputs an
    activation unit was seen at least.
    """
    dead = _dead(rows) if samples >= DEAD_SAMPLES else []
    return (*_sleeping(asleep), *_values(*few), *dead, *_alike(rows), *_kernel(rows))


def _sleeping(asleep: Sequence[str]) -> list[Finding]:
    if not asleep:
        return []
    what = f"{len(asleep)} batch normalizations ({asleep[0]}, ...) are in evaluation mode without having seen a batch."
    return [Finding(what, "They do nothing: call module.train() to read the network as it will be trained.")]


def _values(count: int, fewest: int, factor: float) -> list[Finding]:
    if not count:
        return []
    many = f"up to {factor:.2g}-fold" if factor < 1e6 else "by any factor"
    what = (
        f"{count} batch normalizations see fewer than {FEW} values per channel (the fewest: {fewest}), which raises J, "
        f"{many} over all of them."
    )
    return [Finding(what, "Give more samples, or larger inputs.")]


def _dead(rows: Sequence[BlockReading]) -> list[Finding]:
    off = [row for row in rows if row.dead > DEAD]
    if not off:
        return []
    worst = max(off, key=lambda row: row.dead)
    what = (
        f"Of {len(off)} blocks more than half of the units are dead on this batch ({worst.dead:.0%} in {worst.name})."
    )
    return [Finding(what, "Look at their biases, and in a trained network at the learning rate.")]


def _alike(rows: Sequence[BlockReading]) -> list[Finding]:
    found = []
    for key, things in (("cosine", "different inputs"), ("tokens", "the tokens of a sample")):
        values = [(row.name, getattr(row, key)) for row in rows if not math.isnan(getattr(row, key))]
        if not values or values[0][1] > ALIKE or not values[-1][1] > ALIKE:
            continue
        first = next(name for name, value in values if value > ALIKE)
        found.append(
            Finding(
                f"The signals of {things} are all but the same from {first} on (cosine {values[-1][1]:.3f} at the end)."
            )
        )
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
    return [Finding(f"The signal shrinks by a factor of {times:.3g} over the depth.")]
