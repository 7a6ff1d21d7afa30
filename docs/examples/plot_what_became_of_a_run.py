"""
What became of a run
====================

Before the numbers of a run are believed: which networks understood and when, which of them stalled or diverged, and how
near their learning rate was to the edge of stability.
"""

import matplotlib.pyplot as plt

import phasescope as ps

# %%
# Stages of learning
# ------------------
#
# ``ps.stages`` says when training and when test accuracy reached a level of one's choice, the lag between, and from
# these the phase of Liu et al. 2022 (`arXiv:2205.10343 <https://arxiv.org/abs/2205.10343>`_): comprehension, grokking,
# memorization or confusion. Their levels, 0.9, and their lag, 1,000 steps, are the defaults; these are quicker.
# A lag is known to the distance of the records, which is the same everywhere with ``spacing="linear"``.

grid = ps.Grid({"weight_decay": [0.0, 0.3, 1.0, 3.0], "train_fraction": [0.3, 0.45, 0.6, 0.75]}, seeds=4)
recipe = ps.Recipe(steps=300, lr=0.01, records=100, first_record=3, spacing="linear")
data = ps.train(ps.learners.PowerMLP(23, 128), ps.tasks.addition(23), grid, recipe, watch=ps.instruments.LEARNING)
found = ps.stages(data, levels=(0.99, 0.9), lag=50)
for phase in ("confusion", "memorization", "grokking", "comprehension", "undecided"):
    print(f"{phase:>14}: {int((found.phase == phase).sum()):2} of {found.phase.size} networks")

# %%
# *Undecided* is a network whose lag is so near 50 that records three steps apart do not tell, or one that left before
# it had reached both levels. The fraction of each phase in each cell:

figure, panels = plt.subplots(1, 3, figsize=(7, 2.8), sharey=True)
for axes, phase in zip(panels, ("memorization", "grokking", "comprehension"), strict=True):
    share = (found.phase == phase).mean("seed")
    axes.pcolormesh(share.train_fraction, range(4), share, vmin=0, vmax=1, shading="nearest")
    axes.set(title=phase, xlabel="train fraction", yticks=range(4), yticklabels=grid.axes["weight_decay"])
panels[0].set_ylabel("weight decay")
figure.tight_layout()

# %%
# Softmax that stalls
# -------------------
#
# Without weight decay, cross-entropy drives logits apart until softmax in float32 absorbs all classes but the right
# one: the loss that is trained is then exactly 0 (Prieto et al. 2025,
# `arXiv:2501.04697 <https://arxiv.org/abs/2501.04697>`_). The loss that is read keeps its digits, ``softmax_collapse``
# is the fraction of samples that are absorbed, and ``ps.diagnosis`` says what stands out.

stalling = ps.Recipe(steps=2000, lr=0.01, loss="cross_entropy", records=50)
watch = (*ps.instruments.LEARNING, ps.instruments.logits.softmax_collapse)
task = ps.tasks.addition(23, train_fraction=0.5)
run = ps.train(ps.learners.PowerMLP(23, 128), task, ps.Grid(seeds=3), stalling, watch=watch)
print(ps.diagnosis(run, stalling))

# %%

figure, panels = plt.subplots(1, 2, figsize=(8, 3))
panels[0].plot(run.step, run.train_loss.T, color="C0")
panels[0].axhline(2**-24, color="0.6", linestyle="--")
panels[0].annotate("what float32 resolves beside 1", (1, 2**-24), xytext=(0, 3), textcoords="offset points", fontsize=8)
panels[0].set(xscale="symlog", yscale="log", xlim=(0, 2000), xlabel="step", ylabel="training loss")
panels[1].plot(run.step, run.softmax_collapse.T, color="C1")
panels[1].set(xscale="symlog", xlim=(0, 2000), xlabel="step", ylabel="fraction absorbed")
figure.tight_layout()

# %%
# The edge of stability
# ---------------------
#
# Full-batch gradient descent is stable while the sharpness, the largest eigenvalue of the loss's Hessian, is below 2
# over the learning rate. At the smaller rate these networks come to rest before that; at twice the rate they sharpen
# until they are at the edge, and stay there (Cohen et al. 2021,
# `arXiv:2103.00065 <https://arxiv.org/abs/2103.00065>`_).

descent = ps.Recipe(optimizer="sgd", steps=600, records=60, first_record=10, spacing="linear")
rates = ps.Grid({"lr": [8.0, 16.0]}, seeds=2)
watch = (*ps.instruments.LEARNING, ps.instruments.curvature.sharpness)
sharp = ps.train(ps.learners.PowerMLP(11, 64), ps.tasks.addition(11, train_fraction=0.6), rates, descent, watch=watch)
print(ps.diagnosis(sharp, descent))

# %%

figure, axes = plt.subplots(figsize=(5, 3))
for place, lr in enumerate(rates.axes["lr"]):
    axes.plot(sharp.step, lr * sharp.sharpness.sel(lr=lr).T / 2, color=f"C{place}")
    axes.plot([], [], color=f"C{place}", label=f"learning rate {lr:g}")
axes.axhline(1, color="0.6", linestyle="--")
axes.set(xlabel="step", ylabel="sharpness over 2 / lr", ylim=(0, 2))
axes.legend()
figure.tight_layout()
