"""Low-rank adapters on the MLP projections of a decoder, through ``peft``, on top of weights that stay as they are.

W x becomes W x + B A x (LoRA; Hu et al. 2021, arXiv:2106.09685; alpha equal to the rank, so that no factor is left).
A is drawn from a stream of our own and B is zero, so that the model begins as it was.
"""

from __future__ import annotations

import importlib.util
import math
from typing import Any

import torch
from torch import Tensor, nn

from phasescope.ensemble.streams import layer_key, streams
from phasescope.inspection.blocks import is_weight_layer
from phasescope.layers.stack import sharing, stack_of
from phasescope.learners.dropout import KeyedDropout
from phasescope.vocabulary import BadInput

ATTENTION = ("attn", "attention")
NAME = "healing"


def mlp_projections(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the linear maps in the layers of a decoder that are in no attention and no state-space mixer.

    A mixer is known by its convolution; its fused kernels read weights directly and would pass over an adapter. Raises
    ``BadInput`` where no map is left, as in Mamba and in mixtures of experts whose weights are one tensor.
    """
    chosen: list[str] = []
    places = {id(part): name for name, part in model.named_modules()}
    for layer in stack_of(model).layers:
        mixers = [name for name, part in layer.named_modules() if name and _mixes(part)]
        for name, part in layer.named_modules():
            inside = any(name == mixer or name.startswith(f"{mixer}.") for mixer in mixers)
            if is_weight_layer(part) and not inside and not any(word in name for word in ATTENTION):
                chosen.append(f"{places[id(layer)]}.{name}")
    if not chosen:
        raise BadInput(
            f"the layers of {type(model).__name__} have no linear maps outside attention and state-space mixers: "
            "nothing to adapt, so it can not be healed."
        )
    return tuple(chosen)


def _mixes(part: nn.Module) -> bool:
    return any(isinstance(inner, nn.modules.conv._ConvNd) for inner in part.modules())


def check_adapters(four_bit: bool) -> None:
    """Refuse what is not installed, or has no device: one sentence that says what to do."""
    if importlib.util.find_spec("peft") is None:
        raise BadInput("healing needs peft: pip install 'phasescope[llm]'.")
    if four_bit and not torch.cuda.is_available():
        raise BadInput("weights in 4 bits need a CUDA device, and there is none here: heal without --four-bit.")
    if four_bit and importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput("weights in 4 bits need bitsandbytes: pip install bitsandbytes, or heal without --four-bit.")


class Adapters:
    """``base`` is a copy of ``model`` over the same weights, with adapters; ``parameters`` are theirs, A before B.

    They are in float32, also where the model is in 16 bits, and in float64 where it is.
    """

    base: nn.Module
    parameters: list[nn.Parameter]

    def __init__(self, model: nn.Module, *, rank: int, dropout: float, seed: int, four_bit: bool = False) -> None:
        check_adapters(four_bit)
        from peft import LoraConfig, inject_adapter_in_model

        self.model, self.names = model, mlp_projections(model)
        base = _in_four_bits(sharing(model), self.names) if four_bit else sharing(model)
        transposed = type(model.get_submodule(self.names[0])).__name__ == "Conv1D"
        config = LoraConfig(
            r=rank, lora_alpha=rank, lora_dropout=dropout, target_modules=list(self.names), bias="none",
            fan_in_fan_out=transposed,
        )  # fmt: skip
        with torch.random.fork_rng(devices=[]):  # peft draws A, which is drawn again below
            try:
                self.base = inject_adapter_in_model(config, base, adapter_name=NAME)
            except ValueError as error:
                raise BadInput(f"peft can not adapt {type(model).__name__}: {str(error)[:200]}") from error
        self.base.eval()
        self.layers: list[Any] = [self.base.get_submodule(name) for name in self.names]
        self.dropouts: list[KeyedDropout] = []
        self.parameters = []
        for i, layer in enumerate(self.layers):
            a, b = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
            for part in (a, b):  # in 16 bits small steps would be lost, and Adam's squares be 0
                part.data = part.data.to(torch.promote_types(part.dtype, torch.float32))
            bound = 1 / math.sqrt(a.shape[1])  # as peft and nn.Linear
            drawn = streams(seed)("adapters", i).uniform(-bound, bound, tuple(a.shape))
            a.data.copy_(torch.from_numpy(drawn))
            b.data.zero_()
            self.parameters += [a, b]
            self.dropouts.append(KeyedDropout(dropout).to(a.device).train())
            layer.lora_dropout[NAME] = self.dropouts[-1]

    def set_key(self, key: int) -> None:
        """Set what the dropout masks of all layers follow from."""
        for i, part in enumerate(self.dropouts):
            part.key.fill_(layer_key(key, i))

    def merged(self) -> nn.Module:
        """Return the model with W + B A in place of W, in the type of W; all other weights are shared with it."""
        whole = sharing(self.model)
        for name, layer in zip(self.names, self.layers, strict=True):
            part: Any = whole.get_submodule(name)
            old: Tensor = part.weight.data
            change = layer.get_delta_weight(NAME).detach().to(old.device)
            part.weight = nn.Parameter((old.float() + change.float()).to(old.dtype), part.weight.requires_grad)
        return whole


def _in_four_bits(model: nn.Module, names: tuple[str, ...]) -> nn.Module:
    """Put the named linear maps of ``model`` into NF4 on the CUDA device (QLoRA; Dettmers et al. 2023)."""
    from bitsandbytes.nn import Linear4bit, Params4bit

    for name in names:
        path, _, last = name.rpartition(".")
        old: Any = model.get_submodule(name)
        if not isinstance(old, nn.Linear):
            raise BadInput(f"{name} is a {type(old).__name__}, which has no form in 4 bits: heal without --four-bit.")
        new = Linear4bit(
            old.in_features, old.out_features, old.bias is not None, quant_type="nf4", compute_dtype=torch.bfloat16
        )
        new.weight = Params4bit(old.weight.data.cpu(), requires_grad=False, quant_type="nf4")
        new.bias = old.bias
        setattr(model.get_submodule(path), last, new)
    return model.cuda()
