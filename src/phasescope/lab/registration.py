"""Claims that are fixed before they are judged: what is claimed, hashed and dated, in a file that is only added to.

Development uses the seeds below 1000, judging those from 1000 on. A study's claims are judged on judging seeds where
they are registered and unchanged, at the settings of one of its scales; otherwise on development seeds, and readers are
told. Claims that are looked at until they are decided have seeds of their own, from 10,000 on: a verdict that was given
at one look has spent its error, and its seeds can not be topped up.
"""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from phasescope.checks import BadInput, shown
from phasescope.errors import shortened, some
from phasescope.identity import house_digests, is_users
from phasescope.lab.conduct import AGAIN, CODE
from phasescope.lab.study import Study
from phasescope.store import append_line, make_folder
from phasescope.verdict import Claim, Measured

FILE = "registered.jsonl"
MOST_WORDS = 500  # characters of a reason
DIGITS = ".10g"  # of the bounds that are hashed
SKIPPED = ("type_params", "type_comment", "kind", "ctx")  # of syntax trees: they say nothing more, or are new
log = logging.getLogger("phasescope")


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
        said = f"registered {self.registration.date} as {self.registration.hash}, "
        said += "unchanged since" if self.unchanged else f"changed since: {some(self.changed)}"
        if self.unchanged and self.code_changed:
            said += f"; {CODE}: {some(self.code_changed)}"
        if self.count > 1:
            said += f"; {self.count} registrations"
        return "; ".join([said, *(f"{AGAIN}{reason}" for reason in self.reasons)])


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
        except (BadInput, OSError, LookupError, ValueError, ArithmeticError) as error:
            if settings is next(iter(study.scales.values())):
                raise
            yield f"{scale}: claims can not be told here ({_line(str(error))})"  # it needs a user's own data
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
    return " | ".join(map(_line, parts))


def _line(words: str) -> str:
    """Return words on one line, whatever kind of line they had."""
    return " ".join(words.splitlines())


def _measured(effect: Any) -> str:
    if isinstance(effect, Measured):
        return effect.words
    return str(getattr(effect, "__qualname__", type(effect).__qualname__))


def _home(study: Study) -> tuple[Path, list[Path]] | None:
    """Return the file for a study's registrations, and its source files; None where it is in no file.

    They are those of the package that its claims are written in, or of the folder of a module that is in none, and of
    the packages of its experiments and of what these import of the user's own.
    """
    place = _folder(_module(study.claims))
    if place is None:
        return None
    files: dict[Path, None] = {}
    waiting = [_module(study.claims), _module(study.experiments)]
    for name in waiting:
        for file in _folder(name)[1] if _folder(name) else ():  # type: ignore[index]
            if file not in files:
                files[file] = None
                waiting += [other for other in _imports(file) if other not in waiting and _is_own(other)]
    return place[0], sorted(files)


def _folder(name: str) -> tuple[Path, list[Path]] | None:
    """Return where a module's registrations would stand, and the source files of its package."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if module is None or file is None or name == "__main__" or not Path(file).is_file():
        return None
    top = sys.modules.get(module.__package__ or "")
    places = list(getattr(top, "__path__", []))
    if not places:
        return Path(file).with_suffix(f".{FILE}"), [Path(file)]
    return Path(places[0]) / FILE, sorted(path for path in Path(places[0]).rglob("*.py") if path.is_file())


def _imports(file: Path) -> list[str]:
    """Return the modules that a file imports by their whole names."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return []
    found = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    named = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return found + [str(node.module) for node in named]


def _is_own(name: str) -> bool:
    """Whether a module is the user's own: loaded from a file, and of no library and not of the house."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return file is not None and is_users(file)


def _module(function: Any) -> str:
    """Return the name of the module that a function is written in."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", ""))


def _meaning(file: Path) -> bytes:
    """Return a source file without its comments, docstrings and layout; as it is where Python can not read it."""
    source = file.read_bytes()
    try:
        return _plain(ast.parse(source)).encode()
    except (SyntaxError, ValueError, RecursionError):
        return source


def _plain(node: Any) -> str:
    """Return a syntax tree as text, the same under every version of Python: empty and new fields are left out."""
    if isinstance(node, list):
        return f"[{','.join(map(_plain, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = {name: value for name, value in ast.iter_fields(node) if value not in (None, []) and name not in SKIPPED}
    first = fields.get("body", [None])[0] if isinstance(fields.get("body"), list) else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        fields["body"] = fields["body"][1:]
    return f"{type(node).__name__}({','.join(f'{name}={_plain(value)}' for name, value in fields.items())})"


def _now(study: Study, *, exact: bool = False) -> tuple[str, str, dict[str, str]]:
    """Return the hash of what a study claims, its text, and the digests of the code that it uses.

    ``exact``: with every digit of the bounds, as it was at first: those that theory computes differ in the last ones
    from machine to machine.
    """
    words, home = described(study), _home(study)
    total = hashlib.blake2b(words.encode(), digest_size=8)
    first = next(iter(study.scales.values()))
    ends = [(claim.id, claim.expected.low, claim.expected.high) for claim in study.claims(first)]
    if not exact:
        ends = [(name, float(f"{low:{DIGITS}}"), float(f"{high:{DIGITS}}")) for name, low, high in ends]
    total.update(repr(ends).encode())
    for part in (study.claims, study.experiments):
        total.update(f"\0{_module(part)} {getattr(part, '__qualname__', '')}".encode())
    files = home[1] if home else []
    for file in files:
        total.update(b"\0" + file.name.encode() + b"\0" + _meaning(file))
    own = {str(file.resolve()) for file in files}
    return (
        total.hexdigest(),
        words,
        {name: digest for name, (place, digest) in _used(study).items() if place not in own},
    )


def _used(study: Study) -> dict[str, tuple[str, str]]:
    """Return the files of the house that a study's run imports: name -> place and digest."""
    return house_digests("phasescope.lab.bench", _module(study.claims), _module(study.experiments))


def code_of(study: Study) -> str:
    """Return a hash of the code of a study's run: of its own files, and of all of the house that it imports."""
    total, home = hashlib.blake2b(digest_size=16), _home(study)
    for name, (_, digest) in _used(study).items():
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
    found: list[Registration] = []
    for line in home[0].read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = Registration(**json.loads(line)) if line.strip() else None
            if entry is not None and not (
                all(isinstance(part, str) for part in (entry.date, entry.hash, entry.text, entry.again))
                and isinstance(entry.code, dict)
            ):
                raise ValueError("a field is no text")
        except (ValueError, TypeError, RecursionError) as error:
            raise BadInput(
                f"{home[0]} is damaged ({shortened(str(error), 80)}): it is only ever added to; take it from where "
                "it is kept."
            ) from None
        # a file may be that of several studies; two that register at once write one entry twice
        if entry is not None and entry.text.startswith(f"study {study.name}: ") and entry not in found:
            found.append(entry)
    return found


def standing(study: Study) -> Standing:
    """Return where a study stands: registered or not, and what has changed since."""
    found = registrations(study)
    if not found:
        return Standing(None, 0)
    here = _compared(found, *_now(study))
    return here if here.unchanged else _compared(found, *_now(study, exact=True))


def _compared(found: Sequence[Registration], now: str, words: str, code: Mapping[str, str]) -> Standing:
    """Return where a study with these registrations stands, that claims this now."""
    last = found[-1]
    reasons = tuple(entry.again for entry in found if entry.again)
    files = tuple(sorted(name for name in {**last.code, **code} if last.code.get(name) != code.get(name)))
    if now == last.hash:
        return Standing(last, len(found), (), files, reasons)
    return Standing(last, len(found), _different(last.text, words) or ("the study's code",), files, reasons)


def _different(before: str, after: str) -> tuple[str, ...]:
    """Return what differs between two texts of what is claimed: the settings and claims."""
    old, new = before.split("\n"), after.split("\n")
    lines = [line for line in [*new, *old] if (line in old) != (line in new)]
    return tuple(dict.fromkeys(" ".join(line.split(" = ")[0].split(": ")[:2]) for line in lines))


def register(study: Study, again: str = "") -> tuple[Registration, Path]:
    """Write what a study claims, with hash and date, into the file of its package; return the entry and the file.

    Raises ``BadInput`` where it is registered as it is; where its claims were judged before on judging seeds and they
    or the code that they use have changed, unless ``again`` says why, which readers of its verdicts are told; and for a
    study that has no file of its own, such as one of a notebook.
    """
    home = _home(study)
    if home is None:
        raise BadInput(f"the study {study.name!r} is in no file: write it into one (phasescope new), to register it.")
    if not isinstance(again, str) or not again.isprintable() or len(again) > MOST_WORDS:
        raise BadInput(f"--again is {shown(again)}: give the reason on one line, of at most {MOST_WORDS} characters.")
    found, (now, words, code) = registrations(study), _now(study)
    if found and found[-1].hash == now and found[-1].code == code:
        raise BadInput(f"{study.name} is registered as it is, on {found[-1].date}: it can be run.")
    before = [f"{entry['date']}, {entry['scale']}, hash {entry['hash']}" for entry in judged(study.name)]
    if before and not again.strip():
        raise BadInput(
            f"{study.name} has been judged before ({some(before, 2)}): whoever has seen verdicts and then changes "
            "claims, or the code that they use, must say why, --again 'REASON', and readers are told."
        )
    entry = Registration(_date(), now, words, code, before, again.strip())
    try:
        ended = not home[0].is_file() or home[0].read_bytes()[-1:] in (b"", b"\n")  # an editor may leave it open
        append_line(home[0], (b"" if ended else b"\n") + json.dumps(asdict(entry)).encode())
    except OSError as error:
        raise BadInput(f"the registration is not written: {error.strerror or error}") from error
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
        lines = _ledger().read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except (ValueError, RecursionError):
            continue  # a line that a full disk has cut off
    kept = [entry for entry in entries if isinstance(entry, dict) and entry.get("study") == study]
    return [
        {name: str(entry.get(name, "?")) for name in ("study", "scale", "hash", "first_seed", "date")} for entry in kept
    ]


def note_judged(study: str, scale: str, digest: str, first: int) -> None:
    """Keep that a study's claims are judged now on judging seeds: once for each hash, scale and first seed."""
    entry = {"study": study, "scale": scale, "hash": digest, "first_seed": str(first)}
    if any(entry.items() <= known.items() for known in judged(study)):
        return
    try:
        make_folder(_ledger().parent)
        append_line(_ledger(), json.dumps({**entry, "date": _date()}).encode())
    except OSError as error:  # the run itself must not fail for it
        log.warning(f"that {study} is judged now is not noted in {_ledger()} ({error.strerror or error}).")


def told(here: Standing, first: int, unmoved: Sequence[str] = ()) -> dict[str, Any]:
    """Return what is kept with a run of a study that stands ``here``, on the seeds from ``first`` on."""
    kept: dict[str, Any] = {"standing": str(here), "first_seed": first}
    if here.registration is not None and first:
        last = here.registration
        kept |= {"hash": last.hash, "date": last.date, "text": last.text, "judged_before": list(last.judged_before)}
    kept["seeds"] = "judging" if first else "development"
    if first and unmoved:
        kept["seeds"] += f" (but for {some(unmoved)}, whose seeds are their own)"
    return kept


def judged_again(kept: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """Return what is told of a run that is judged again by the claims of today: whether they are those registered."""
    text = str(kept.get("text", ""))
    now = described(study) if text else ""
    if text == now:
        return dict(kept)
    changed = f"judged again by claims that are not those of the run ({some(_different(text, now))})"
    return {**kept, "standing": changed, "text": ""}
