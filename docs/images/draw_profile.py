"""Draw profile.png and print its table: six layers of 64 ReLU units on digits, before and after training.

python docs/images/draw_profile.py
"""

from __future__ import annotations

from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn

import phasescope as ps


def network() -> nn.Module:
    """Return the perceptron as it begins."""
    torch.manual_seed(0)
    parts = [part for i in range(6) for part in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*parts, nn.Linear(64, 10))


def main() -> None:
    """Train on 1,000 digits and profile the 797 others."""
    digits = load_digits()
    images = torch.from_numpy(digits.data).float() / 16
    labels = torch.from_numpy(digits.target)
    net = network()
    before = ps.profile(net, images[1000:], name="before training")
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for _ in range(300):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images[:1000]), labels[:1000]).backward()
        optimizer.step()
    after = ps.profile(net, images[1000:], name="six layers on digits")
    right = float((net(images[1000:]).argmax(1) == labels[1000:]).float().mean())
    print(f"{right:.3f} of the others right\n\n{before}\n\n{after}")
    Path(__file__).with_name("profile.png").write_bytes(ps.report.png(after.figure()))


if __name__ == "__main__":
    main()
