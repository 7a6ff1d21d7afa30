"""``ps.layers.distances`` against the bare forward pass that returns hidden states: CPU seconds, wall seconds, memory.

    python benchmarks/layers.py [MODEL_DIR] [--samples 64] [--length 512] [--batch 4]

Without a folder, a random Llama of the shape of SmolLM2-135M. Each way runs in a process of its own; the bare pass
keeps the L + 1 hidden states of a batch, reads nothing from them, and makes no logits, as the distances. Peak memory is
the largest resident set of the process, libraries and weights included. Targets: throughput at least 0.9 of the bare
pass, 64 x 512 tokens of SmolLM2-135M in under 10 minutes on 2 cores and under 2.5 GiB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from typing import Any

WAYS = ("bare", "distances", "bare", "distances")
SHAPE: dict[str, Any] = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192, "tie_word_embeddings": True,
}  # fmt: skip


def measured(way: str, folder: str, samples: int, length: int, batch: int) -> dict[str, float]:
    """Carry out one way in this process and return wall and CPU seconds and peak resident bytes."""
    import torch
    import transformers

    import phasescope as ps
    from phasescope.ensemble import streams

    transformers.utils.logging.disable_progress_bar()
    if folder:
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).eval()
    ids = torch.from_numpy(streams(0)("tokens").integers(100, model.config.vocab_size, (samples, length)))

    def bare(part: torch.Tensor) -> None:
        with torch.inference_mode():
            model.base_model(part, use_cache=False, output_hidden_states=True)

    bare(ids[:1])
    wall, spent = time.perf_counter(), time.process_time()
    if way == "bare":
        for part in ids.split(batch):
            bare(part)
    else:
        ps.layers.distances(model, ids, batch=batch)
    seconds, cpu = time.perf_counter() - wall, time.process_time() - spent
    return {"seconds": seconds, "cpu": cpu, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="")
    for name, value in (("samples", 64), ("length", 512), ("batch", 4)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--way", choices=sorted(set(WAYS)))
    asked = parser.parse_args()
    sizes = (asked.samples, asked.length, asked.batch)
    if asked.way:
        print(json.dumps(measured(asked.way, asked.folder, *sizes)))
        return
    words = [asked.folder] * bool(asked.folder)
    words += [f"--samples={asked.samples}", f"--length={asked.length}", f"--batch={asked.batch}"]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    best: dict[str, dict[str, float]] = {}
    for way in WAYS:  # in turn, twice, and the better of each: other work on the machine comes and goes
        call = [sys.executable, __file__, *words, "--way", way]
        found = json.loads(subprocess.run(call, check=True, capture_output=True, text=True, env=env).stdout)
        print(f"{way:>10}  {found['cpu']:.1f} s CPU  {found['seconds']:.1f} s  {found['peak'] / 2**30:.2f} GiB")
        best[way] = found if way not in best else {k: min(v, best[way][k]) for k, v in found.items()}
    cpu, wall = (best["bare"][k] / best["distances"][k] for k in ("cpu", "seconds"))
    print(
        f"throughput of the distances over that of the bare pass: {cpu:.3f} by CPU seconds, {wall:.3f} by wall seconds"
    )


if __name__ == "__main__":
    main()
