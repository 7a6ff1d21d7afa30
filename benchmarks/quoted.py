"""Write what the stored measurements say into the pages that quote them: ``python benchmarks/quoted.py``.

``autoinit_harm.json`` into docs/autoinit.md, ``inspect_verdicts.json`` and ``foreign_verdicts.json`` into
docs/inspect.md, ``evaluation_smollm2.json`` and ``evaluation_gemma3.json`` (what ``phasescope evaluate`` leaves) into
docs/evaluate.md,
``inspection/forecast_record.json`` into docs/forecast.md, each between markers
``<!-- numbers: <name> -->`` and ``<!-- end of numbers -->``. Nothing is measured here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "phasescope" / "inspection"
BLOCK = re.compile(r"(<!-- numbers: (\w+) -->\n).*?(<!-- end of numbers -->)", re.S)


def harm(kept: dict[str, Any]) -> str:
    """Return the table of accuracies before and after autoinit, and the counts above it."""
    rows = kept["rows"]
    ends = {name: row["difference"] for name, row in rows.items()}
    worse = [name for name, (_, _, high) in ends.items() if high < 0]
    better = [name for name, (_, low, _) in ends.items() if low > 0]
    bad = [name for name, row in rows.items() if row["bad"]]
    same = sum(row["scales"] == [1.0, 1.0] for row in rows.values())
    named = f" ({'; '.join(worse)})" if worse else ""
    open_ = kept["listed"] - len(rows)
    said = (
        f"Measured by `benchmarks/autoinit_harm.py`: {len(rows)} architectures on scikit-learn's digits, "
        f"{kept['steps']} steps of batches of 64 from the same weights before and after, {kept['seeds']} paired "
        "seeds, held-out accuracy at the best of the same three rates. Worse by more than the 95 % interval of the "
        f"difference: {len(worse)}{named}. Better: {len(better)}, among them {len(set(better) & set(bad))} of the "
        f"{len(bad)} whose weights are bad as they begin. Left as they were: {same}."
        + (f" **{open_} of the {kept['listed']} that are listed are not measured yet.**" if open_ else "")
        + (f" {kept['note']}" if "note" in kept else "")
    )
    head = "| architecture | before | after | difference [95 %] | scales | converged |"
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        before, after = (sum(row[key]) / len(row[key]) for key in ("before", "after"))
        mean, low, high = row["difference"]
        low_scale, high_scale = row["scales"]
        lines.append(
            f"| {name}{' (bad)' if row['bad'] else ''} | {before:.3f} | {after:.3f} | "
            f"{mean:+.3f} [{low:+.3f}, {high:+.3f}] | "
            f"{low_scale:.2g} to {high_scale:.2g} | {sum(row['converged'])} of {len(row['converged'])} |"
        )
    return "\n".join([said, "", *lines])


def verdicts(kept: dict[str, Any]) -> str:
    """Return the error rates of verdicts and the coverage of intervals."""
    lines = []
    for kind, wrong in (("good", ("ordered", "chaotic")), ("bad", ("critical",))):
        rows = {name: row for name, row in kept["verdicts"].items() if row["kind"] == kind}
        count, off, open_, refused, missed = 0, 0, 0, 0, []
        for name, row in rows.items():
            dead = iter(row["dead"])
            for verdict in row["verdicts"]:
                if verdict.startswith("refused"):
                    refused += 1
                    continue
                flagged = next(dead)
                count += 1
                failed = (verdict in wrong or flagged) if kind == "good" else (verdict in wrong and not flagged)
                off += failed
                open_ += verdict == "undecided" and not flagged
                if failed and name not in missed:
                    missed.append(name)
        lines.append(f"| {len(rows)} {kind} | {count} | {off} | {open_} | {refused} | {'; '.join(missed)} |")
    return "\n".join(
        [
            "Measured by `benchmarks/inspect_verdicts.py`: networks that are known to train well as their authors",
            "begin them, and networks known to be bad, three draws of each; both lists, in `benchmarks/_known.py`,",
            "were fixed before the first measurement, and the rule was not changed after it. Wrong is a good network",
            "that is called ordered or chaotic or is said to have dead units, and a bad one that is called critical",
            "without a word of dead units.",
            "",
            "| networks | read | wrong | undecided | refused | wrong in at least one draw |",
            "| --- | --- | --- | --- | --- | --- |",
            *lines,
            "",
            _covered(list(kept.get("intervals", {}).values())),
        ]
    )


def _covered(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "How often the intervals hold the exact numbers is **not measured yet**."
    blocks = [inside for row in rows for inside in row["blocks"]]
    depth, of = (sum(row[key] for row in rows) for key in ("depth", "of"))
    return (
        f"Explicit Jacobians of {len(rows)} small networks: chi_J lies inside its 95 % interval for {sum(blocks)} of "
        f"{len(blocks)} blocks ({sum(blocks) / len(blocks):.1%}), J over the depth for {depth} of {of} intervals "
        f"({depth / of:.1%})."
    )


def foreign(rows: dict[str, Any]) -> str:
    """Return the table of verdicts on models that nobody here wrote."""
    head = "| model | from | blocks found | J over the depth [95 %] | judged: log J | verdict | furthest from 1 |"
    lines = [head, "|" + " --- |" * 7]
    for name, row in rows.items():
        if "refused" in row:
            lines.append(f"| {name} | {row['from']} | refused: {row['refused']} | | | | |")
            continue
        (j, low, high), (block, chi) = row["J"], row["furthest"]
        blocks = ", ".join(
            f"{count} `{key}`" for key, count in (part.split(" ") for part in row["blocks"].split(" + "))
        )
        lines.append(
            f"| {name} | {row['from']} | {blocks} | {j:.3g} [{low:.3g}, {high:.3g}] | {row['judged']:.2f} | "
            f"{row['verdict']} | chi_J {chi:.2g} in `{block}` |"
        )
    return "\n".join(lines)


def forecasts(kept: dict[str, Any]) -> str:
    """Return what a record of forecasts says: accuracies beside rivals, calibration, and where it errs."""
    low, high = kept["seeds"]
    count = kept["networks"]
    where = (
        f"Judged: {count} networks of {high - low + 1} judging seeds ({low} to {high}), code `{kept['code']}`."
        if kept["judged"]
        else f"**Not judged yet**: these are the {count} networks of the development seeds, families held out."
    )
    ended = ", ".join(f"{n} {name.replace('trains', 'train').replace('does not train', 'do not train')}"
                      for name, n in kept["outcomes"].items())  # fmt: skip
    lines = [
        f"{where} {ended}. Unreadable, because a signal is not finite: {kept['unreadable']}.",
        "",
        "| forecast from | balanced accuracy [95 %] | the signs' lead over it [95 %] | rate: octaves off | "
        "rich or lazy |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in kept["balanced accuracy"].items():
        lead = _interval(kept["lead"][name], "+") if name in kept["lead"] else ""
        lines.append(
            f"| {name} | {_interval(found)} | {lead} | {kept['octaves'][name]:.2f} | {kept['rich'][name]:.2f} |"
        )
    lines += [f"| the commonest outcome | {kept['majority']:.3f} | | | |", ""]
    better = "the signs beat J alone, and `ps.inspect` forecasts from them"
    worse = "the signs do not beat J alone, and `ps.inspect` forecasts from J alone"
    lines += [
        f"So {better if kept['better than J alone'] else worse}. Of the signs, the likeliest outcome comes true in "
        f"{_interval(kept['right'])}; expected calibration error {_interval(kept['calibration error'])}, mean chance "
        f"less share that came true {kept['oversure']:+.3f}. {_calibrated(kept['reliability'])}",
        "",
        "| family | networks | signs | J alone | gradient norm alone | architecture alone |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for family, row in kept["families"].items():
        numbers = " | ".join("" if row[n] is None else f"{row[n]:.2f}" for n in kept["balanced accuracy"])
        lines.append(f"| {family} | {row['networks']} | {numbers} |")
    head = "| what came of them | called: trains | only small rates or warm-up | does not |"
    lines += ["", head, "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(kept["outcomes"], kept["confusion"],
                                                                                 strict=True)]  # fmt: skip
    return "\n".join(lines)


def _calibrated(bins: dict[str, Any]) -> str:
    """Return what calibration error forecasts would have by chance, if each bin came true as often as it said."""
    counts, chances = (np.array([v or 0.0 for v in bins[name]]) for name in ("networks", "said"))
    came = np.random.default_rng(0).binomial(counts.astype(int), chances, (100_000, len(counts)))
    errors = np.abs(came - counts * chances).sum(1) / counts.sum()
    return (
        f"That error is above 0 in any finite sample: had each network, by itself, come true with the chance said, it "
        f"would be {errors.mean():.3f} on average, and above {np.quantile(errors, 0.95):.3f} in one record of twenty. "
        "Its interval, of networks drawn again, is moved up as well, and can not hold 0."
    )


SMOLLM2 = {"smollm2": "whole", "pruned": "without 13-18", "random": "without 21-26", "healed": "without 13-18, healed"}
GEMMA3 = {"gemma3-270m": "whole", "pruned": "without 14-17", "random": "without 10-13"}
METRICS = {"accuracy": "accuracy", "robustness": "worst case", "ece": "calibration error", "selective": "selective"}


def evaluation(names: dict[str, str], kept: dict[str, Any]) -> str:
    """Return the tables of models by their ``names`` on the same items: by scenario, and each less the whole one."""
    cells: dict[tuple[str, str], dict[str, Any]] = {(one["scenario"], one["model"]): one for one in kept["cells"]}
    models = list(dict.fromkeys(model for _, model in cells))
    scenarios = list(dict.fromkeys(scenario for scenario, _ in cells))
    head = ["| scenario | metric | chance | " + " | ".join(names[model] for model in models) + " |"]
    head.append("| --- " * (3 + len(models)) + "|")
    lines, texts = [], []
    for scenario in scenarios:
        whole = cells[scenario, models[0]]
        found = {name: [cells[scenario, model]["metrics"][name] for model in models] for name in METRICS}
        if whole["metrics"]["accuracy"][0] is None:
            bits = " | ".join(_with_error(cells[scenario, model]["metrics"]["bits_per_byte"]) for model in models)
            texts.append(f"| {scenario} | bits per byte | | {bits} |")
            continue
        for name, told in METRICS.items():
            if all(value is None for value, _ in found[name]):
                continue
            if name != "accuracy" and not whole["above_chance"]:
                continue  # what is said of a scenario at chance is its accuracy
            chance = f"{whole['chance']:.3f}" if name == "accuracy" else ""
            first = f"{scenario}{'' if whole['above_chance'] else ' (at chance)'}" if name == "accuracy" else ""
            lines.append(f"| {first} | {told} | {chance} | {' | '.join(map(_with_error, found[name]))} |")
    paired = ["| less the whole | scenario | difference [95 %] | items that disagree, or passages | items for 0.05 |"]
    paired.append("| --- | --- | --- | --- | --- |")
    for one in kept["compared"]:
        if one["second"] != models[0]:
            continue
        for scenario, row in one["scenarios"].items():
            if not row["counts"]:
                continue
            words = row["words"]
            split = re.search(r"disagree on (\d+)", words)
            need = re.search(r"power of [\d.]+, ([\d,]+) items", words)
            paired.append(
                f"| {names[one['first']]} | {scenario}, {one['metric'].replace('_', ' ')} | "
                f"{_interval([row['difference'], row['low'], row['high']], '+')} | "
                f"{split[1] + ' of ' if split else ''}{row['items']} | {need[1] if need else ''} |"
            )
    return "\n".join([*head, *lines, *texts, "", *paired])


def _with_error(found: list[float | None]) -> str:
    value, error = found
    return "-" if value is None else f"{value:.3f}" + ("" if error is None else f" ± {error:.3f}")


def _interval(found: list[float], sign: str = "") -> str:
    value, low, high = (f"{x:{sign}.3f}" for x in found)
    return f"{value} [{low}, {high}]"


QUOTES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "autoinit_harm": ("autoinit.md", harm),
    "inspect_verdicts": ("inspect.md", verdicts),
    "foreign_verdicts": ("inspect.md", foreign),
    "forecast_record": ("forecast.md", forecasts),
    "evaluation_smollm2": ("evaluate.md", partial(evaluation, SMOLLM2)),
    "evaluation_gemma3": ("evaluate.md", partial(evaluation, GEMMA3)),
}


def quoted(page: str) -> str:
    """Return the text of a page with what is stored between its markers."""

    def told(match: re.Match[str]) -> str:
        stored = (PACKAGE if match[2] == "forecast_record" else HERE) / f"{match[2]}.json"
        return f"{match[1]}{QUOTES[match[2]][1](json.loads(stored.read_text()))}\n{match[3]}"

    return BLOCK.sub(told, page)


def main() -> None:
    for page, _ in QUOTES.values():
        path = HERE.parent / "docs" / page
        path.write_text(quoted(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
