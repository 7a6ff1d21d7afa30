"""Transfer in linear networks, exactly: scratch, linear transfer and fine-tuning from one known source.

Tahir, Ganguli and Rotskoff 2024, arXiv:2410.08194. Inputs x ~ N(0, I_d), labels y = beta_t . x + noise of deviation
``noise``; the source's beta_s and the target's beta_t are unit vectors at ``angle`` (radians, 0 to pi). ``gamma`` is
target samples per dimension. Risks are |beta_hat - beta_t|^2, the test error without noise. Transferability is the
scratch network's risk minus the transferred one's: positive where transfer wins.
"""

from __future__ import annotations

import math

from scipy.optimize import brentq

from phasescope.theory.domains import checked, count, not_negative, positive, radians, share, whole
from phasescope.vocabulary import BadInput

__all__ = [
    "balanced_fine_tuning",
    "break_even_angle",
    "feature_transfer_risk",
    "fine_tuning_transferability",
    "finite_source_break_even",
    "finite_source_transferability",
    "kept_share",
    "kept_share_limit",
    "linear_transfer_risk",
    "linear_transferability",
    "negative_transfer",
    "ridge_probe_risk",
    "scratch_risk",
    "scratch_risk_limit",
    "task_divergence",
]

layer_count = whole(2, 1000)  # the last layer can be told from the first


def _ratio(gamma: float) -> None:
    if gamma == 1:
        raise BadInput("gamma is 1: there the risk of the minimum-norm solution is infinite; the domain is gamma != 1.")


@checked(samples=count, dimension=count, noise=not_negative)
def scratch_risk(samples: int, dimension: int, noise: float = 0.0) -> float:
    """Return E|X^+ y - beta|^2 of the minimum-norm solution: what a scratch network of vanishing first weights learns.

    Exact at finite size (derived; its limit is Eq. 8): 1 - n/d + noise^2 n/(d-n-1) for n <= d - 2, and
    noise^2 d/(n-d-1) for n >= d + 2. Between them the mean is infinite, and ``BadInput`` is raised.
    """
    n, d = samples, dimension
    if d < 1 or n < 1 or abs(n - d) < 2:
        raise BadInput(
            f"{n} samples in {d} dimensions: the mean risk is finite for samples <= dimension - 2 or "
            "samples >= dimension + 2."
        )
    return (d - n) / d + noise**2 * n / (d - n - 1) if n < d else noise**2 * d / (n - d - 1)


@checked(gamma=positive, noise=not_negative)
def scratch_risk_limit(gamma: float, noise: float = 0.0) -> float:
    """Return the scratch risk for d -> infinity at samples n = gamma d (Eq. 8), for gamma != 1."""
    _ratio(gamma)
    return 1 - gamma + noise**2 * gamma / (1 - gamma) if gamma < 1 else noise**2 / (gamma - 1)


@checked(samples=count, angle=radians, noise=not_negative)
def linear_transfer_risk(samples: int, angle: float, noise: float = 0.0) -> float:
    """Return the mean risk of a probe on the source's one feature beta_s . x (Eq. 10), exact for samples >= 3."""
    return feature_transfer_risk(samples, 1, math.sin(angle) ** 2, noise)


@checked(samples=count, features=count, outside=share, noise=not_negative)
def feature_transfer_risk(samples: int, features: int, outside: float, noise: float = 0.0) -> float:
    """Return the mean risk of least squares on k orthonormal ``features``: rho + (noise^2 + rho) k / (n - k - 1).

    ``outside`` is rho, the squared length of beta_t outside their span, 0 to 1. Exact for samples >= features + 2,
    where the mean is finite (an extension of Eq. 10, derived: the part outside the span acts as noise).
    """
    if features < 1 or samples < features + 2:
        raise BadInput(f"{samples} samples for {features} features: the mean risk is finite for features + 2 or more.")
    return outside + (noise**2 + outside) * features / (samples - features - 1)


@checked(angle=radians, penalty=not_negative)
def ridge_probe_risk(angle: float, penalty: float) -> float:
    """Return the probe's risk with ridge ``penalty`` lambda >= 0 and endless data: 1 - (1+2l) cos^2 / (1+l)^2 (Eq. 13).

    The probe minimizes (1/n) sum (a z - y)^2 + lambda a^2.
    """
    # 1 - (1 + 2 l) / (1 + l)^2 = (l / (1 + l))^2; written so, nothing cancels at small angles and penalties
    return math.sin(angle) ** 2 + (penalty / (1 + penalty) * math.cos(angle)) ** 2


@checked(gamma=positive, angle=radians, noise=not_negative)
def linear_transferability(gamma: float, angle: float, noise: float = 0.0) -> float:
    """Return what a linear probe wins over scratch for d -> infinity (Eq. 11), for gamma != 1."""
    return scratch_risk_limit(gamma, noise) - math.sin(angle) ** 2


@checked(angle=radians, noise=not_negative)
def negative_transfer(angle: float, noise: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Return the open intervals of gamma in which the linear probe loses to scratch (zero contours of Eq. 11).

    Below 1: between the roots of gamma^2 - b gamma + cos^2(angle), b = 1 + cos^2(angle) - noise^2; none unless
    angle > arccos(1 - noise). Above 1: from 1 + noise^2 / sin^2(angle) on. The band around 1 between them is the
    anomalous positive transfer, which double descent makes. At angle 0 or pi nothing is lost.
    """
    cosine, sine = abs(math.cos(angle)), math.sin(angle)
    found = []
    gap = 2 * math.sin(min(angle, math.pi - angle) / 2) ** 2  # 1 - cosine
    if noise < gap:
        # b^2 - 4 cos^2 in its four factors, and the lower root as cos^2 over the upper one
        root = math.sqrt((gap - noise) * (gap + noise)) * math.sqrt((1 + cosine - noise) * (1 + cosine + noise))
        high = (1 + (cosine - noise) * (cosine + noise) + root) / 2
        found.append((cosine**2 / high, high))
    if sine**2 > 1e-30:
        found.append((1 + (noise / sine) ** 2, math.inf))
    return tuple(found)


@checked(gamma=positive, angle=radians)
def fine_tuning_transferability(gamma: float, angle: float) -> float:
    """Return (1 - gamma)(2 cos(angle) - 1) below gamma = 1 and 0 above: the printed Theorem 3.9 (Eq. 15).

    It takes the fine-tuned network to keep the source's part outside the data's span unchanged. This is exact without
    noise only; ``balanced_fine_tuning`` says what gradient descent does.
    """
    _ratio(gamma)
    return max(1 - gamma, 0.0) * (2 * math.cos(angle) - 1)


@checked(kept=not_negative, learnt=not_negative, source=positive, layers=layer_count)
def kept_share(kept: float, learnt: float, *, source: float = 1.0, layers: int = 2) -> float:
    """Return c: gradient flow fine-tunes a pretrained balanced network to X^+ y + c (I - P) beta_s.

    ``kept`` = |(I - P) beta_s|^2, ``learnt`` = |X^+ y|^2, ``source`` = |beta_s|^2 > 0. The balance of the layers makes
    c the one positive root of source c^(2L/(L-1)) - kept c^2 - learnt = 0 (derived; for two layers it is the
    correction that a reader of the paper found, c^4 - kept c^2 - learnt = 0). c is 1 where no noise is learnt.

    >>> round(kept_share(0.5, 1.5), 4)  # gamma = 1/2, noise 1
    1.2247
    """
    if kept > source * (1 + 1e-9):
        raise BadInput(f"source is {source:g}, kept is {kept:g}: a projection is no longer than its vector, above 0.")
    if learnt == 0:
        return float((kept / source) ** ((layers - 1) / 2))
    # in x = c^(2/(L-1)): source x^L - kept x^(L-1) - learnt, one change of sign, so one positive root; it lies between
    # the larger and the sum of the roots without ``learnt`` and without ``kept``
    top = (kept + learnt) / source + 1
    if layers * math.log10(top) + abs(math.log10(source)) > 300:
        raise BadInput(f"learnt is {learnt:g} with source {source:g} and {layers} layers: floats do not hold it.")
    roots = kept / source, (learnt / source) ** (1 / layers)
    low, high = max(roots) * (1 - 1e-14), sum(roots) * (1 + 1e-14)

    def excess(x: float) -> float:
        return (source * x - kept) * x ** (layers - 1) - learnt

    return float(brentq(excess, low, high, xtol=1e-300, rtol=1e-15) ** ((layers - 1) / 2))


@checked(gamma=positive, noise=not_negative, layers=layer_count)
def kept_share_limit(gamma: float, noise: float, *, layers: int = 2) -> float:
    """Return ``kept_share`` for d -> infinity and gamma < 1.

    There ``kept`` is 1 - gamma and ``learnt`` is gamma + noise^2 gamma / (1 - gamma).
    """
    _ratio(gamma)
    if gamma > 1:
        raise BadInput(f"gamma is {gamma:g}: above 1 nothing of the source is kept; the domain is 0 < gamma < 1.")
    return kept_share(1 - gamma, gamma + noise**2 * gamma / (1 - gamma), layers=layers)


@checked(gamma=positive, angle=radians, noise=not_negative, layers=layer_count)
def balanced_fine_tuning(gamma: float, angle: float, noise: float, *, layers: int = 2) -> float:
    """Return the transferability of gradient descent's fine-tuning for d -> infinity: (1-gamma)(2 c cos(angle) - c^2).

    c is ``kept_share_limit``; at noise 0 it is 1 and this is Eq. 15. It is 0 for gamma > 1 (derived).
    """
    _ratio(gamma)
    if gamma > 1:
        return 0.0
    c = kept_share_limit(gamma, noise, layers=layers)
    return (1 - gamma) * (2 * c * math.cos(angle) - c**2)


@checked(gamma=positive, noise=not_negative, layers=layer_count)
def break_even_angle(gamma: float, noise: float, *, layers: int = 2) -> float:
    """Return the angle (radians) at which gradient descent's fine-tuning neither wins nor loses: arccos(c / 2).

    60 degrees without noise, as printed; less with it. NaN where it loses at every angle (c > 2).
    """
    c = kept_share_limit(gamma, noise, layers=layers)
    return math.acos(c / 2) if c <= 2 else math.nan


@checked(source_gamma=positive, gamma=positive, angle=radians, source_noise=not_negative)
def finite_source_transferability(source_gamma: float, gamma: float, angle: float, source_noise: float = 0.0) -> float:
    """Return fine-tuning's transferability from a source that was itself learnt from finite data (Eqs. 22, 23).

    ``source_gamma`` != 1: source samples per dimension, labels with ``source_noise``. As in Eq. 15 the part outside
    the data's span is taken to stay unchanged.
    """
    _ratio(source_gamma)
    _ratio(gamma)
    known = min(source_gamma, 1.0)
    error = source_noise**2 * (known / (1 - source_gamma) if source_gamma < 1 else 1 / (source_gamma - 1))
    return max(1 - gamma, 0.0) * (known * (2 * math.cos(angle) - 1) - error)


@checked(source_gamma=positive, source_noise=not_negative)
def finite_source_break_even(source_gamma: float, source_noise: float) -> float:
    """Return the angle (radians) at which fine-tuning from a finite source breaks even; NaN where it always loses.

    cos = (1 + noise^2 / (1 - source_gamma)) / 2 below source_gamma = 1, (1 + noise^2 / (source_gamma - 1)) / 2 above.
    """
    _ratio(source_gamma)
    ratio = source_noise**2 / abs(1 - source_gamma)
    return 2 * math.asin(math.sqrt(1 - ratio) / 2) if ratio <= 1 else math.nan


@checked(angle=radians, noise=not_negative)
def task_divergence(angle: float, noise: float) -> float:
    """Return the Kullback-Leibler divergence of the laws of (x, y) in source and target: (1 - cos) / noise^2, in nats.

    Infinite without noise unless the angle is 0. It knows nothing of gamma, so it can not tell the sign of transfer.
    """
    half = math.sin(angle / 2)  # 1 - cos = 2 sin^2 of half the angle
    if noise == 0:
        return math.inf if angle > 0 else 0.0
    return 2 * (half / noise) * (half / noise)
