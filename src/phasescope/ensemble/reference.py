"""The slow literal loop: one network, ``torch.optim``, one Python step at a time.

Every fast path is tested against it.
"""

from __future__ import annotations

import numpy as np
import torch

from phasescope.ensemble.jobs import Job
from phasescope.ensemble.losses import loss_of
from phasescope.ensemble.reading import tensors
from phasescope.ensemble.streams import batch_order, dropout_keys, initialized, layer_key
from phasescope.vocabulary import Array, Recipe


def optimizer(parameters: list[torch.nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return torch's own optimizer for a recipe; decoupled weight decay of SGD is applied by ``train_reference``."""
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, recipe.lr, momentum=recipe.momentum)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    betas = (recipe.beta1, recipe.beta2)
    return kind(parameters, recipe.lr, betas=betas, eps=recipe.eps, weight_decay=recipe.weight_decay)


def train_reference(job: Job, steps: int) -> dict[str, Array]:
    """Train one member for ``steps`` steps; return its parameters and buffers as numpy arrays."""
    recipe, draw, seed = job.recipe, job.draw(), job.member.seed
    begun = initialized(job.module, seed) if job.make is None else job.make(job.member)
    module = begun.to(getattr(torch, recipe.dtype))
    data = tensors(draw, torch.device("cpu"), getattr(torch, recipe.dtype))
    rows = torch.from_numpy(draw.train).long()
    learnt = [p for p in module.parameters() if p.requires_grad]
    rule = optimizer(learnt, recipe)
    for step in range(1, steps + 1):
        if recipe.batch is not None and recipe.batch < len(draw.train):
            rows = torch.from_numpy(batch_order(seed, draw.train, recipe.batch, step, 1)[0]).long()
        keys = [buffer for name, buffer in module.named_buffers() if name.split(".")[-1] == "key"]
        for layer, buffer in enumerate(keys):
            buffer.fill_(layer_key(int(dropout_keys(seed, step, 1)[0]), layer))
        loss = loss_of(recipe).mean(module(data["inputs"][rows]), data["labels"][rows], data["weights"][rows])
        rule.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if recipe.optimizer == "sgd" and recipe.weight_decay:
            with torch.no_grad():
                for parameter in learnt:
                    parameter.mul_(1 - recipe.lr * recipe.weight_decay)
        rule.step()
    return {name: np.array(value.detach().numpy()) for name, value in module.state_dict().items()}
