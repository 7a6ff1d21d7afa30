"""The verdicts of ``ps.inspect`` on models that nobody here wrote, at sizes near their own, for docs/inspect.md.

    python benchmarks/foreign_verdicts.py [--only NAME;NAME]

Random weights from the classes' own defaults, 4 probes, batch normalization in training mode; transformers at reduced
width on 2 texts of 32 tokens drawn at random, ``timm``'s models whole on 4 pictures of noise. What is read is stored in
``foreign_verdicts.json`` after each model, and a second run goes on from there; ``quoted.py`` writes the table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import foreign_models  # noqa: F401  (makes torchvision's operators known, which timm asks for)
import phasescope as ps
from foreign import pattern

STORED = Path(__file__).with_suffix(".json")
TEXT = {"vocab_size": 99, "hidden_size": 256, "num_hidden_layers": 12, "num_attention_heads": 4}
WIDE = {**TEXT, "intermediate_size": 1024}


def hugging(name: str, **sizes: Any) -> Callable[[], Any]:
    def made() -> Any:
        home = importlib.import_module("transformers")
        config = "T5Config" if name.startswith("T5") else f"{name.removesuffix('Model')}Config"
        return getattr(home, name)(getattr(home, config)(**sizes))

    return made


def timm(name: str) -> Callable[[], Any]:
    return lambda: importlib.import_module("timm").create_model(name)


T5 = {"vocab_size": 99, "d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 6, "num_heads": 4}
GPT = {"vocab_size": 99, "n_embd": 256, "n_layer": 12, "n_head": 4}
SEEN = {"hidden_size": 192, "num_hidden_layers": 12, "num_attention_heads": 3, "intermediate_size": 768}
MODELS: dict[str, tuple[str, Callable[[], Any], int]] = {  # where from, how made, pixels or 0 for tokens
    "Llama, 12 x 256": ("transformers", hugging("LlamaModel", **WIDE), 0),
    "GPT-2, 12 x 256": ("transformers", hugging("GPT2Model", **GPT), 0),
    "BERT, 12 x 256": ("transformers", hugging("BertModel", **WIDE), 0),
    "GPT-NeoX, 12 x 256": ("transformers", hugging("GPTNeoXModel", **WIDE), 0),
    "Mamba, 8 x 128": ("transformers", hugging("MambaModel", vocab_size=99, hidden_size=128, num_hidden_layers=8), 0),
    "ALBERT, 12 x 256": ("transformers", hugging("AlbertModel", **WIDE), 0),
    "T5 encoder, 6 x 256": ("transformers", hugging("T5EncoderModel", **T5), 0),
    "ViT, 12 x 192": ("transformers", hugging("ViTModel", **SEEN, image_size=64, patch_size=8), 64),
    "ResNet-50": ("transformers", hugging("ResNetModel"), 64),
    **{
        name: ("timm", timm(name), size)
        for name, size in {
            "resnet18": 64, "vgg11": 64, "vit_tiny_patch16_224": 224, "mixer_s32_224": 224, "resmlp_12_224": 224,
            "convnext_atto": 64, "efficientnet_b0": 64, "swin_tiny_patch4_window7_224": 224, "densenet121": 64,
            "regnety_002": 64, "poolformer_s12": 64, "mobilenetv3_small_100": 224,
        }.items()
    },
}  # fmt: skip


def read(made: Callable[[], Any], pixels: int) -> dict[str, Any]:
    """Return what ``ps.inspect`` reads in one model, drawn with seed 0."""
    torch.manual_seed(0)
    module = made().train()
    if pixels:
        given: Any = torch.randn(4, 3, pixels, pixels)
    else:
        given = {"input_ids": torch.randint(1, 99, (2, 32))}
    try:
        found = ps.inspect(module, given, probes=4)
    except ps.BadInput as error:
        return {"refused": str(error)}
    judged = [row for row in found.rows if row.verdict != "-"]
    apart = max(judged, key=lambda row: abs(math.log(max(row.chi.value, 1e-30))))
    return {
        "blocks": pattern(found.blocks),
        "J": [found.total.value, found.total.low, found.total.high],
        "judged": found.relative,
        "verdict": found.verdict,
        "furthest": [apart.name, apart.chi.value],
        "covered": found.covered,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="names with semicolons between")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = json.loads(STORED.read_text()) if STORED.is_file() else {}
    for name, (home, made, pixels) in MODELS.items():
        if name not in rows and (not asked.only or name in asked.only.split(";")):
            rows[name] = {"from": home, **read(made, pixels)}
            print(name, rows[name], file=sys.stderr, flush=True)
            STORED.write_text(json.dumps({key: rows[key] for key in MODELS if key in rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
