"""The bridge to lm-evaluation-harness, where it is installed: its tasks as items here, our models as models there.

https://github.com/EleutherAI/lm-evaluation-harness, 0.4.12 or newer: ``pip install 'phasescope[evaluate]'``.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from phasescope.evaluation.items import Item
from phasescope.evaluation.likelihoods import likelihoods
from phasescope.evaluation.subject import Evaluated, prepared
from phasescope.layers.passes import device_of, reading
from phasescope.vocabulary import BadInput

TOKENS = 256  # that are generated at most where a task does not say


def _harness(what: str) -> Any:
    if importlib.util.find_spec("lm_eval") is None:
        raise BadInput(f"{what} needs lm-evaluation-harness: pip install 'phasescope[evaluate]'.")
    return importlib.import_module("lm_eval.tasks")


def harness_items(task: str) -> list[Item]:
    """Return the items of a multiple-choice task of lm-evaluation-harness: its name, or a .yaml file that describes it.

    Its data are read as the harness reads them, from its cache or from their public home. Raises ``BadInput`` without
    the package, for a task that it does not know or can not read, and for tasks that are no multiple choice.
    """
    tasks = _harness(f"the task {task!r}")
    path = Path(task)
    try:
        if path.suffix in (".yaml", ".yml"):
            manager = tasks.TaskManager(include_path=str(path.parent), include_defaults=False)
            names = [name for name in manager.all_tasks if name == path.stem] or manager.all_tasks[:1]
        else:
            manager, names = tasks.TaskManager(), [task]
        found = tasks.get_task_dict(names, manager)
        (one,) = found.values()
        docs = list(one.eval_docs)
    except (ValueError, KeyError, TypeError, OSError, ImportError, AttributeError, RuntimeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        raise BadInput(
            f"lm-evaluation-harness can not read the task {task!r} ({said}): see its `lm-eval ls tasks`."
        ) from error
    if getattr(one, "OUTPUT_TYPE", None) != "multiple_choice" or one.multiple_input or one.multiple_target:
        raise BadInput(
            f"the task {task!r} has no single right choice of several: give a multiple-choice task, or run it there "
            "with ps.evaluation.harness_model."
        )
    if one.config.target_delimiter != " ":
        raise BadInput(
            f"the task {task!r} puts {one.config.target_delimiter!r} between question and choice, where one space is "
            "read here: run it there with ps.evaluation.harness_model."
        )
    return [_item(one, doc) for doc in docs]


def _item(task: Any, doc: Any) -> Item:
    choices, target = [str(choice) for choice in task.doc_to_choice(doc)], task.doc_to_target(doc)
    answer = choices.index(target) if isinstance(target, str) and target in choices else int(target)
    return Item(str(task.doc_to_text(doc)), tuple(choices), answer)


def harness_model(model: Any, tokenizer: Any = None, *, batch: int | None = None, device: str = "auto") -> Any:
    """Return a model for ``lm_eval.simple_evaluate(model=...)``: a folder, or a module and its tokenizer.

    Its three methods, ``loglikelihood``, ``loglikelihood_rolling`` and ``generate_until``, run as ``ps.evaluate`` does.
    Raises ``BadInput`` without the package, and what ``ps.evaluate`` raises.
    """
    _harness("a model for it")
    base = importlib.import_module("lm_eval.api.model").LM
    subject = prepared("model", model if tokenizer is None else (model, tokenizer), device)

    class Harnessed(base):  # type: ignore[misc, valid-type]
        def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
            asked = [_continued(subject, *request.args) for request in requests]
            found = likelihoods(subject, asked, batch=batch)
            return [(float(v), bool(g)) for v, g in zip(found.value, found.greedy, strict=True)]

        def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
            asked = [subject.passage(request.args[0])[0] for request in requests]
            return [float(v) for v in likelihoods(subject, asked, batch=batch).value]

        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            return [_generated(subject, *request.args) for request in requests]

    return Harnessed()


def _continued(subject: Evaluated, context: str, continuation: str) -> Any:
    if context == "":
        return subject.passage(continuation)[0]
    bare = context.rstrip()
    head = subject.beginning(bare)
    ids = subject.beginning(context + continuation)
    return subject.fitting(ids, len(head), context)


def _generated(subject: Evaluated, context: str, options: dict[str, Any]) -> str:
    """Return what the model says after ``context``, greedily, up to the first of the texts that end an answer."""
    generate: Any = getattr(subject.model, "generate", None)
    if generate is None:
        raise BadInput(
            f"{type(subject.model).__name__} has no generate(): tasks that generate need one of transformers."
        )
    until = options.get("until") or []
    until = [until] if isinstance(until, str) else list(until)
    ids = torch.tensor([subject.beginning(context)], device=device_of(subject.model))
    most = int(options.get("max_gen_toks", TOKENS))
    with reading(subject.model):
        out = generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=most, do_sample=False, num_beams=1)
    said = str(subject.tokenizer.decode(out[0, ids.shape[1] :].tolist(), skip_special_tokens=True))
    for end in until:
        said = said.split(end)[0] if end else said
    return said
