"""Tokens per second of ``ps.evaluate`` beside the bare forward pass over the same rows: how much the rest costs.

    python benchmarks/evaluate_throughput.py [layers] [items]

A Llama of SmolLM2-135M's shape (``layers`` of its 30, random weights) answers sums with one example before each; then
the same rows go through the model in batches of equal length, once with the logits of all places, as a plain loop
has them, and once with those of the last place alone. Passes alternate, processor time of one thread, best of three.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
import transformers

from phasescope.evaluation.generated import arithmetic
from phasescope.evaluation.likelihoods import likelihoods
from phasescope.evaluation.subject import Evaluated
from phasescope.layers.passes import TOKENS


class Words:
    """A tokenizer whose tokens are letters, of a model that knows many more."""

    bos_token_id = None
    eos_token_id = 0

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main(layers: int = 6, items: int = 40) -> None:
    torch.set_num_threads(1)
    shape = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}
    config = transformers.LlamaConfig(
        **shape, num_key_value_heads=3, num_hidden_layers=layers, max_position_embeddings=2048, tie_word_embeddings=True
    )
    one = Evaluated("a model", transformers.LlamaForCausalLM(config).eval(), Words())
    asked = arithmetic(items + 1, 0)
    before = f"{asked[-1].question} {asked[-1].choices[asked[-1].answer]}\n\n"
    requests = [one.choice(before + item.question, choice) for item in asked[:items] for choice in item.choices]
    rows = sorted({request.ids[:-1] for request in requests}, key=len)
    tokens = sum(map(len, rows))

    def bare(**options: int) -> None:
        size = TOKENS // len(rows[-1])
        with torch.inference_mode():
            for begin in range(0, len(rows), size):
                part = rows[begin : begin + size]
                width = min(map(len, part))  # no padding: a little less than what is asked
                one.model(torch.tensor([row[:width] for row in part]), use_cache=False, **options)

    spent: dict[str, list[float]] = {"ps.evaluate": [], "bare, all logits": [], "bare, last logits": []}
    for _ in range(3):
        spent["ps.evaluate"].append(seconds(lambda: likelihoods(one, requests)))
        spent["bare, all logits"].append(seconds(bare))
        spent["bare, last logits"].append(seconds(lambda: bare(logits_to_keep=1)))
    best = {name: tokens / min(times) for name, times in spent.items()}
    for name, rate in best.items():
        print(f"{name:18}  {rate:8.0f} tokens/s  {best['ps.evaluate'] / rate:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
