"""A language model in a GGUF file, written again as a folder that ``transformers`` and others load as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any


def hugging_face_folder(files: Sequence[Path], folder: Path) -> None:
    """Write the model of a GGUF file to the new ``folder``: config, tokenizer, bfloat16 safetensors.

    ``files`` are the file, or its parts in the order of their names. The quantized weights are multiplied out, and
    rounded to bfloat16. Needs the extra ``llm``.
    """
    import torch

    transformers: Any = import_module("transformers")  # an extra, whose types are known only where it is installed
    logging = import_module("transformers.utils.logging")
    file = files[0] if len(files) == 1 else joined(files, folder)
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    local = {"gguf_file": file.name, "local_files_only": True}
    read = transformers.AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **local)
    facts = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):  # a model known as quantized refuses to be saved
        facts.pop(name, None)
    model = type(read)(type(read.config)(**facts))
    model.load_state_dict(read.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(file.parent, **local).save_pretrained(folder)
    if bars:
        logging.enable_progress_bar()


def joined(parts: Sequence[Path], folder: Path) -> Path:
    """Write the parts of a file one after the other beside ``folder``; return the whole."""
    whole = folder.with_name("whole.gguf")
    with whole.open("wb") as file:
        for part in sorted(parts, key=lambda part: part.name):
            with part.open("rb") as opened:
                shutil.copyfileobj(opened, file)
    return whole
