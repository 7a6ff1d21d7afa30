"""The numbers of ``grokking`` at each scale."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from phasescope.vocabulary import Positive, Settings

POLYNOMIALS = {
    "n + m": lambda n, m: n + m,
    "n^2 + m^2 + n m": lambda n, m: n**2 + m**2 + n * m,
    "n^3 + n m^2 + m": lambda n, m: n**3 + n * m**2 + m,
}
OPERATIONS = {"n m": lambda n, m: n * m, "n^3 + n m^2 + m": POLYNOMIALS["n^3 + n m^2 + m"]}

Share = Annotated[float, Field(gt=0, lt=1)]


class GrokkingSettings(Settings):
    """Sizes of the study. ``fractions`` of the table train; ``low`` lies below the critical one, ``high`` above.

    From ``memorized`` of the table even AdamW under the strongest weight decay only memorizes.
    """

    p: Annotated[int, Field(ge=5)] = 23
    width: Annotated[int, Field(ge=1)] = 200
    narrow: Annotated[int, Field(ge=1)] = 12
    seeds: Annotated[int, Field(ge=1)] = 12
    fractions: tuple[Share, ...] = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    low: Share = 0.4
    middle: Share = 0.5
    high: Share = 0.8
    memorized: Share = 0.2
    steps: Annotated[int, Field(ge=10)] = 2000
    adam_steps: Annotated[int, Field(ge=10)] = 400
    decays: tuple[float, ...] = (0.0, 0.3, 1.0, 5.0)
    batch_steps: Annotated[int, Field(ge=10)] = 1500
    records: Annotated[int, Field(ge=10)] = 120
    polynomial_width: Annotated[int, Field(ge=1)] = 500
    rate_factor: Positive = 1.0
    adam_rate: Positive = 0.01
    exact_p: Annotated[int, Field(ge=5)] = 97
    exact_width: Annotated[int, Field(ge=1)] = 500
    draws: Annotated[int, Field(ge=1)] = 32

    @property
    def rate(self) -> float:
        """Learning rate of gradient descent in the mean-field parametrization: its gradients go as 1 / (p^3 N)."""
        return self.rate_factor * 1e6 * (self.p / 97) ** 3 * (self.width / 500)


SCALES = {
    "pocket": GrokkingSettings(),
    "paper": GrokkingSettings(
        p=97,
        width=500,
        narrow=40,
        seeds=12,
        fractions=(0.2, 0.3, 0.4, 0.49, 0.6, 0.8),
        low=0.2,
        middle=0.3,
        high=0.49,
        memorized=0.1,
        steps=4000,
    ),
}
