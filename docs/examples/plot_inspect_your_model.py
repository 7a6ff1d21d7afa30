"""
Inspect a model of your own
===========================

A deep network of plain torch modules: what its first weights do to signal and gradients, which of its blocks are to
blame, how AutoInit mends them, and whether that helps it to learn.
"""

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import phasescope as ps

# %%
# A network that will not learn
# -----------------------------
#
# Sixteen linear layers with ReLU between, as torch initializes them, and the digits of scikit-learn. Nothing in it
# knows of Phasescope: any ``nn.Module`` will do, and it is given back as it was.

digits = ps.tasks.digits()
inputs, labels = torch.from_numpy(digits.inputs), torch.from_numpy(digits.labels).long()
train, test = np.split(np.random.default_rng(0).permutation(len(inputs)), [1400])

torch.manual_seed(0)
layers = [nn.Linear(64, 64)]
for _ in range(15):
    layers += [nn.ReLU(), nn.Linear(64, 64)]
net = nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, 10))

# %%
# One forward and a few backward passes read it, block by block. ``chi_J`` is the factor by which the squared gradient
# changes from one block to the next: it should be 1. ``cosine`` is how alike two different digits have become.

found = ps.inspect(net, inputs[:32])
found

# %%
for sentence in found.findings:
    print("-", sentence)

# %%
# The readings are an ``xarray.Dataset`` along the blocks.

read = found.to_dataset().isel(block=slice(1, None))
figure, panels = plt.subplots(1, 2, figsize=(7.5, 3))
panels[0].errorbar(read.block, read.chi, (read.chi - read.chi_low, read.chi_high - read.chi), fmt="o")
panels[0].axhline(1, color="0.6", linestyle=":")
panels[0].set(xlabel="block", ylabel="chi_J", ylim=(0, 1.1))
panels[1].plot(read.block, read.cosine, marker="o")
panels[1].set(xlabel="block", ylabel="cosine of two digits", ylim=(0, 1.05))
for axes in panels:
    axes.set_xticks(range(0, read.sizes["block"], 4))
figure.tight_layout()

# %%
# Mend it
# -------
#
# AutoInit multiplies each layer's weights by one number, so that every chi_J becomes 1. It changes the network that
# it is given; here a copy.

mended = copy.deepcopy(net)
print(ps.autoinit(mended, inputs[:32]))

# %%
# Does it help?
# -------------
#
# Both networks learn the same digits in the same order with the same rate.


def learn(module: nn.Module, steps: int = 250) -> list[float]:
    """Return the losses of plain gradient descent on batches of 64 digits."""
    chosen = np.random.default_rng(0).choice(train, (steps, 64))
    optimizer, losses = torch.optim.SGD(module.parameters(), lr=0.02), []
    for rows in torch.from_numpy(chosen):
        loss = nn.functional.cross_entropy(module(inputs[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


figure, axes = plt.subplots(figsize=(5.5, 3.4))
for module, label in ((copy.deepcopy(net), "as torch initializes it"), (mended, "after AutoInit")):
    losses = learn(module)
    axes.plot(np.convolve(losses, np.ones(15) / 15, "valid"), label=label)
    with torch.no_grad():
        right = (module(inputs[test]).argmax(1) == labels[test]).float().mean()
    print(f"{label}: test accuracy {right:.2f}")
axes.axhline(np.log(10), color="0.6", linestyle=":", label="chance")
axes.set(xlabel="step", ylabel="training loss", ylim=(0, None))
axes.legend()
figure.tight_layout()
