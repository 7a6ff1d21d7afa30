"""Claims that are fixed before they are judged: what is claimed, hashed and dated, in a file that is only added to.

Development uses the seeds below 1000, judging those from 1000 on. A study's claims are judged on judging seeds where
they are registered and unchanged, at the settings of one of its scales; otherwise on development seeds, and readers are
told. Claims that are looked at until they are decided have seeds of their own, from 10,000 on: a verdict that was given
at one look has spent its error, and its seeds can not be topped up.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from phasescope.checks import BadInput, text
from phasescope.identity import house_digests
from phasescope.lab.study import Study
from phasescope.store import append_line, make_folder
from phasescope.verdict import Claim, Measured

JUDGING, UNTIL = 1000, 10_000
"""The first of the seeds that claims are judged on at one look, and of those that are added until they are decided."""
FILE = "registered.jsonl"


@dataclass(frozen=True)
class Registration:
    """One entry of a study's file: its ``date``, the ``hash`` of what is claimed, and that as ``text``.

    ``code`` has the digest of every file of the house that the study imports. ``judged_before`` tells of verdicts that
    had been given on judging seeds under other hashes, and ``again`` why the claims were changed all the same.
    """

    date: str
    hash: str
    text: str
    code: Mapping[str, str] = field(default_factory=dict)
    judged_before: Sequence[str] = ()
    again: str = ""


@dataclass(frozen=True)
class Standing:
    """Where a study stands: its last registration, how many there were, and what has changed since."""

    registration: Registration | None
    count: int
    changed: tuple[str, ...] = ()
    code_changed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        """Whether the claims, the settings and the study's own code are as they were registered."""
        return self.registration is not None and not self.changed

    def __str__(self) -> str:
        if self.registration is None:
            return "not registered"
        said = f"registered {self.registration.date}, "
        said += "unchanged since" if self.unchanged else f"changed since: {_some(self.changed)}"
        if self.unchanged and self.code_changed:
            said += f"; the code that it uses has changed since: {_some(self.code_changed)}"
        if self.count > 1:
            said += f"; {self.count} registrations"
        return "; ".join([said, *(f"registered again: {reason}" for reason in self.reasons)])


def _some(words: Sequence[str], most: int = 3) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


# -- what is claimed --------------------------------------------------------------------------------------------------


def described(study: Study) -> str:
    """Return what a study claims, as text: its settings and claims at each scale, and the looks, a line for each."""
    return "\n".join(_lines(study))


def _lines(study: Study) -> Iterator[str]:
    yield f"study {study.name}: {study.question}"
    yield f"looks, until decided: {', '.join(map(str, study.looks))} seeds"
    for scale, settings in study.scales.items():
        for name, value in settings.model_dump(mode="json").items():
            yield f"{scale}: {name} = {json.dumps(value)}"
        try:
            claims = study.claims(settings)
        except BadInput as error:  # a scale that needs a user's own data
            yield f"{scale}: claims can not be told here ({error})"
            continue
        yield from (f"{scale}: {_told(claim)}" for claim in claims)


def _told(claim: Claim) -> str:
    parts = [
        f"{claim.id}: {claim.sentence}",
        f"{claim.statistic} of {_measured(claim.effect)}",
        f"expected {claim.expected}",
        f"control: {claim.control.sentence}, {_measured(claim.control.effect)}",
        f"source: {claim.source}",
    ]
    more = {name: getattr(claim, name) for name in ("unit", "kind", "range", "deterministic", "counts")}
    parts += [
        f"{name} {value}" for name, value in {**more, "control deterministic": claim.control.deterministic}.items()
    ]
    return " | ".join(part.replace("\n", " ") for part in parts)


def _measured(effect: Any) -> str:
    if isinstance(effect, Measured):
        return effect.words
    return str(getattr(effect, "__qualname__", type(effect).__qualname__))


def _home(study: Study) -> tuple[Path, list[Path]] | None:
    """Return the file for a study's registrations and the source files of its package; None without a file."""
    module = sys.modules.get(_module(study))
    file = getattr(module, "__file__", None)
    if module is None or file is None or module.__name__ == "__main__":
        return None
    package = getattr(sys.modules.get(module.__package__ or ""), "__file__", None)
    if package is None:
        return Path(file).with_suffix(f".{FILE}"), [Path(file)]
    folder = Path(package).parent
    return folder / FILE, sorted(folder.rglob("*.py"))


def _module(study: Study) -> str:
    """Return the name of the module that a study's claims are written in."""
    claims: Any = study.claims
    while isinstance(claims, partial):
        claims = claims.func
    return str(getattr(claims, "__module__", ""))


def _meaning(file: Path) -> str:
    """Return a source file without its comments, docstrings and layout."""
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


def _now(study: Study) -> tuple[str, str, dict[str, str]]:
    """Return the hash of what a study claims, its text, and the digests of the code that it uses."""
    words, home = described(study), _home(study)
    total = hashlib.blake2b(words.encode(), digest_size=8)
    files = home[1] if home else []
    for file in files:
        total.update(b"\0" + file.name.encode() + b"\0" + _meaning(file).encode())
    own = {str(file.resolve()) for file in files}
    modules = ["phasescope.lab.bench", _module(study)]
    code = {name: digest for name, (place, digest) in house_digests(*modules).items() if place not in own}
    return total.hexdigest(), words, code


def code_of(study: Study) -> str:
    """Return a hash of the code of a study's run: of its own package, and of all of the house that it imports."""
    total, home = hashlib.blake2b(digest_size=16), _home(study)
    for name, (_, digest) in house_digests("phasescope.lab.bench", _module(study)).items():
        total.update(f"{name} {digest}\n".encode())
    for file in home[1] if home else []:
        total.update(file.name.encode() + b"\0" + file.read_bytes())
    return total.hexdigest()


# -- the file ---------------------------------------------------------------------------------------------------------


def registrations(study: Study) -> list[Registration]:
    """Return a study's registrations, the first first. Raises ``BadInput`` where the file is damaged."""
    home = _home(study)
    if home is None or not home[0].is_file():
        return []
    try:
        lines = home[0].read_text(encoding="utf-8").splitlines()
        return [Registration(**json.loads(line)) for line in lines if line.strip()]
    except (ValueError, TypeError) as error:
        raise BadInput(
            f"{home[0]} is damaged ({error}): it is only ever added to; take it from where it is kept."
        ) from None


def standing(study: Study) -> Standing:
    """Return where a study stands: registered or not, and what has changed since."""
    found = registrations(study)
    if not found:
        return Standing(None, 0)
    last = found[-1]
    now, words, code = _now(study)
    reasons = tuple(entry.again for entry in found if entry.again)
    files = tuple(sorted(name for name in {**last.code, **code} if last.code.get(name) != code.get(name)))
    if now == last.hash:
        return Standing(last, len(found), (), files, reasons)
    before, after = last.text.splitlines(), words.splitlines()
    lines = [line for line in [*after, *before] if (line in before) != (line in after)]
    what = dict.fromkeys(" ".join(line.split(" = ")[0].split(": ")[:2]) for line in lines)
    return Standing(last, len(found), tuple(what) or ("the study's code",), files, reasons)


def register(study: Study, again: str = "") -> tuple[Registration, Path]:
    """Write what a study claims, with hash and date, into the file of its package; return the entry and the file.

    Raises ``BadInput`` where it is registered as it is; where its claims were judged on judging seeds under another
    hash, unless ``again`` says why they are changed now, which readers of its verdicts are told; and for a study that
    has no file of its own, such as one of a notebook.
    """
    home = _home(study)
    if home is None:
        raise BadInput(f"the study {study.name!r} is in no file: write it into one (phasescope new), to register it.")
    if again:
        text("again", again)
    here = standing(study)
    now, words, code = _now(study)
    if here.registration is not None and here.registration.hash == now and here.registration.code == code:
        raise BadInput(f"{study.name} is registered as it is, on {here.registration.date}: it can be run.")
    other = [entry for entry in judged(study.name) if entry["hash"] != now]
    before = [f"{entry['date']}, {entry['scale']}, hash {entry['hash']}" for entry in other]
    if before and not again:
        raise BadInput(
            f"{study.name} has been judged under another hash ({_some(before, 2)}): whoever has seen verdicts and then "
            "changes claims must say why, --again 'REASON', and readers are told."
        )
    entry = Registration(_date(), now, words, code, before, again)
    try:
        append_line(home[0], json.dumps(asdict(entry)).encode())
    except OSError as error:
        raise BadInput(f"{home[0]} can not be written ({error.strerror}): register from a checkout.") from error
    return entry, home[0]


def _date() -> str:
    return datetime.now(UTC).date().isoformat()


# -- what has been judged on this machine -----------------------------------------------------------------------------


def _ledger() -> Path:
    state = os.environ.get("PHASESCOPE_STATE") or Path.home() / ".local" / "state" / "phasescope"
    return Path(state) / "judged.jsonl"


def judged(study: str) -> list[dict[str, str]]:
    """Return when a study's claims were judged on judging seeds on this machine, and under which hash."""
    try:
        lines = _ledger().read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue  # a line that a full disk has cut off
    return [entry for entry in entries if isinstance(entry, dict) and entry.get("study") == study]


def note_judged(study: str, scale: str, digest: str, first: int) -> None:
    """Keep that a study's claims are judged now on judging seeds: once for each hash, scale and first seed."""
    entry = {"study": study, "scale": scale, "hash": digest, "first_seed": str(first)}
    if any(entry.items() <= known.items() for known in judged(study)):
        return
    with contextlib.suppress(OSError):  # a home that can not be written: the run itself must not fail for it
        make_folder(_ledger().parent)
        append_line(_ledger(), json.dumps({**entry, "date": _date()}).encode())


def told(here: Standing, first: int) -> dict[str, Any]:
    """Return what is kept with a run of a study that stands ``here``, on the seeds from ``first`` on."""
    kept: dict[str, Any] = {"standing": str(here), "first_seed": first}
    if here.registration is not None and first:
        last = here.registration
        kept |= {"hash": last.hash, "date": last.date, "text": last.text, "judged_before": list(last.judged_before)}
    kept["seeds"] = "judging" if first else "development"
    return kept
