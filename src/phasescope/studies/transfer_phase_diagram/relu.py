"""Transfer between ReLU teachers: a student of one hidden layer, with its population risk in closed form.

Sec. 4 of arXiv:2410.08194 at small size. The target teacher is (1/sqrt(k)) sum_j +-relu(v_j . x) with v_j on the unit
sphere; the source's is the same without a fraction mu of its neurons. The student is (1/m) sum_i c_i relu(w_i . x).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from phasescope.vocabulary import Array, Generators, Member

Student = tuple[Array, Array]  # w (m, D), c (m,)


def overlap(w: Array, v: Array) -> tuple[Array, Array, Array]:
    """Return E[relu(w . x) relu(v . x)] over x ~ N(0, I) for all rows of w (A, D) and v (B, D), and its slopes.

    (1/2pi) |w||v| (sin a + (pi - a) cos a), a the angle between them (Cho and Saul 2009). Its gradient in w is
    ``along`` w + ``across`` v: the three arrays are (A, B).
    """
    lengths = np.linalg.norm(w, axis=1)[:, None], np.linalg.norm(v, axis=1)[None]
    cosine = np.clip(w @ v.T / np.maximum(lengths[0] * lengths[1], 1e-300), -1, 1)
    sine, across = np.sqrt(1 - cosine**2), (np.pi - np.arccos(cosine)) / (2 * np.pi)
    value = lengths[0] * lengths[1] * (sine / (2 * np.pi) + across * cosine)
    return value, lengths[1] / np.maximum(lengths[0], 1e-300) * sine / (2 * np.pi), across


def population(student: Student, teacher: Student) -> tuple[float, Student]:
    """Return E(f - f*)^2 and its gradient, times m; ``teacher`` (rows, coefficients) has its factor in them."""
    w, c = student
    rows, coefficients = np.concatenate([w, teacher[0]]), np.concatenate([c / len(c), -teacher[1]])
    value, along, across = overlap(w, rows)
    inner = value @ coefficients  # E[relu(w_i x)(f - f*)]
    mutual = overlap(teacher[0], teacher[0])[0]
    cross = overlap(w, teacher[0])[0] @ teacher[1]
    risk = float(c @ (inner - cross) / len(c) + teacher[1] @ mutual @ teacher[1])
    slope_w = 2 * c[:, None] * ((along @ coefficients)[:, None] * w + (across * coefficients) @ rows)
    return risk, (slope_w, 2 * inner)


def sampled(student: Student, x: Array, y: Array) -> tuple[float, Student]:
    """Return the mean squared error on x (n, D), y (n,) and its gradient, times m."""
    w, c = student
    hidden = x @ w.T
    active = np.maximum(hidden, 0)
    error = active @ c / len(c) - y
    slope_w = 2 / len(y) * ((hidden > 0) * error[:, None]).T @ x * c[:, None]
    return float(np.mean(error**2)), (slope_w, 2 / len(y) * active.T @ error)


def learn(student: Student, steps: int, rate: float, *task: Array | Student, probe: bool = False) -> Student:
    """Return the student after gradient descent, on samples (x, y) or on a teacher; a ``probe`` learns c alone."""
    w, c = student
    for _ in range(steps):
        _, (slope_w, slope_c) = sampled((w, c), *task) if len(task) == 2 else population((w, c), *task)  # type: ignore[arg-type]
        w, c = w if probe else w - rate * slope_w, c - rate * slope_c
    return w, c


def relu_transfer(member: Member, generators: Generators) -> Mapping[str, Any]:
    """Return the risks, over that of the zero function, of ``scratch``, ``linear`` and ``tuned`` students.

    ``source``: the pretrained student's own risk on the source, over the same.
    """
    d, m, k, n = (int(member[name]) for name in ("dimension", "width", "teacher", "samples"))
    steps, rate = int(member["steps"]), float(member["rate"])
    teachers, first = generators("teacher"), generators("init")
    rows = teachers.standard_normal((k, d))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    signs = np.where(np.arange(k) % 2, -1.0, 1.0) / np.sqrt(k)
    left = k - round(float(member["removed"]) * k)
    target, source = (rows, signs), (rows[:left], signs[:left])
    fresh = float(member["scale"]) * first.standard_normal((m, d)), float(member["scale"]) * first.standard_normal(m)
    x = generators("data").standard_normal((n, d))
    y = np.maximum(x @ rows.T, 0) @ signs
    known = learn(fresh, steps, rate, source)
    zero = population((np.zeros((1, d)), np.zeros(1)), target)[0]
    found = {
        "scratch": learn(fresh, steps, rate, x, y),
        "linear": learn(known, steps, rate, x, y, probe=True),
        "tuned": learn(known, steps, rate, x, y),
    }
    risks = {name: population(student, target)[0] / zero for name, student in found.items()}
    return {**risks, "source": population(known, source)[0] / zero}
