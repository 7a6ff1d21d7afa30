"""
A tour of grokking
==================

Sixty-four networks learn addition modulo 23 side by side: a phase diagram, the curves of one of its cells, and what is
inside one of its networks.
"""

import matplotlib.pyplot as plt
import numpy as np

import phasescope as ps

# %%
# A whole phase diagram in one call
# ---------------------------------
#
# Each number of the recipe may be an axis of the grid; every cell has four seeds.

grid = ps.Grid({"weight_decay": [0.0, 0.3, 1.0, 3.0], "train_fraction": [0.3, 0.45, 0.6, 0.75]}, seeds=4)
watch = (*ps.instruments.LEARNING, ps.instruments.fourier.mean_participation)
data = ps.train(
    ps.learners.PowerMLP(23, 128),
    ps.tasks.addition(23),
    grid,
    ps.Recipe(steps=300, lr=0.01),
    watch=watch,
    at_end=(ps.instruments.fourier.participation,),
)
data

# %%
# Where do networks generalize? ``ps.last`` is each network's last reading, also when it left the batch early.

accuracy = ps.last(data.test_accuracy).median("seed")
figure, axes = plt.subplots(figsize=(5, 3.6))
image = axes.pcolormesh(accuracy.train_fraction, range(4), accuracy, vmin=0, vmax=1, shading="nearest")
axes.set(xlabel="train fraction", ylabel="weight decay", yticks=range(4), yticklabels=grid.axes["weight_decay"])
figure.colorbar(image, label="test accuracy, median of 4 seeds")
figure.tight_layout()

# %%
# Training accuracy comes first
# -----------------------------

cell = data.sel(weight_decay=1.0, train_fraction=0.6)
figure, axes = plt.subplots(figsize=(5, 3.2))
for name, label in (("train_accuracy", "training"), ("test_accuracy", "test")):
    axes.plot(cell.step, cell[name].T, color="C0" if name == "train_accuracy" else "C1", alpha=0.7)
    axes.plot([], [], color="C0" if name == "train_accuracy" else "C1", label=label)
axes.set(xscale="symlog", xlabel="step", ylabel="accuracy", title="weight decay 1, train fraction 0.6")
axes.legend()
figure.tight_layout()

# %%
# What it has learnt
# ------------------
#
# A neuron of a network that knows addition is a cosine: its weights have one Fourier frequency, and a participation
# ratio near 1. Before training, and in a network that only memorizes, they are spread over all frequencies.

weights = cell["final.embed"].isel(seed=0).values[0]  # (p, H): the first input's
ratio = cell["participation"].isel(seed=0).values
best, worst = np.nanargmax(ratio), np.nanargmin(ratio)
figure, panels = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for axes, neuron, title in zip(panels, (best, worst), ("most periodic", "least periodic"), strict=True):
    axes.plot(weights[:, neuron], marker="o", markersize=3)
    axes.set(xlabel="input n", title=f"{title}: {ratio[neuron]:.2f}")
panels[0].set_ylabel("weight")
figure.tight_layout()
