"""Deliberately wrong versions. Each must be rejected by the law that it is named with.

A saboteur either changes the implementation while its law runs (``change`` patches a module), or hands the law a wrong
one. A law that a saboteur passes is no law.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

import test_ensemble as ensemble_laws
import test_streams as stream_laws
import test_tasks as task_laws
import test_theory as theory_laws
from laws import instrument_laws
from phasescope import instruments, theory
from phasescope.ensemble import batch_order, fused, jobs, optimizers, stacked, streams  # type: ignore[attr-defined]
from phasescope.ensemble import train as train_module
from phasescope.vocabulary import Instrument, Reading
