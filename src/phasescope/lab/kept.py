"""The folder of ``ps.train`` and ``ps.simulate``: what runs there, and whether a call goes on with it.

Beside the records of the store lies ``run.json``: the ``description`` of the run, which is everything that all of its
members share, and the members of the dataset that is ``finished``. A call whose description is the same goes on, and
finds members by their identity, whatever the grid. Any other call is refused, with what differs; nothing is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr

from phasescope.checks import BadInput, shown
from phasescope.ensemble.jobs import plain
from phasescope.errors import resumable, told
from phasescope.store import Store, canonical
from phasescope.vocabulary import Grid, Keeper, Scatter

FILE, RESULTS = "run.json", "results.safetensors"
MEND = "name another folder; what is there stays as it is, and ps.load opens it."
SCHEDULE = ("steps", "records", "first_record", "spacing")
WORDS = {"watch": "instruments", "at_end": "instruments at the end", "keep": "weights kept at"}
Marks = Mapping[str, str]
"""The fingerprints of what may differ between members: of their "learner" and "task"."""


@contextmanager
def kept(
    out: Path | None,
    keeper: Keeper | None,
    description: Mapping[str, Any],
    members: Iterable[tuple[Any, int, Marks]] = (),
    again: Callable[[Any, int], Marks] | None = None,
) -> Iterator[Keeper | None]:
    """Give the keeper of a call: the store in the folder ``out``, locked, or ``keeper`` where there is none.

    ``members`` are knobs, seed and marks of each, and ``again`` gives the marks of any other. Raises ``BadInput`` for a
    folder that can not be used, and for one where another run is; ``Interrupted`` after Ctrl-C.
    """
    if out is None:
        yield keeper
        return
    here = {part: json.loads(canonical(value, part, nan=True)) for part, value in description.items()}
    with resumable(), Store(out) as store:
        records = [identity for identity, _ in store.records() if "seed" in identity]
        written = _written(store)
        if written is None and (records or store.path(RESULTS).exists()):
            raise BadInput(f"{store.root} holds a run that another call began, such as a study's: {MEND}")
        if written is not None and (records or store.path(RESULTS).exists()):
            differs = difference(written["description"], here) or _changed(records, members, again)
            if differs:
                raise BadInput(f"{store.root} holds {differs}, so that this call can not go on with it: {MEND}")
        if written is None or written["description"] != here:  # where nothing is finished, any run may begin
            _write(store, here, None)
        yield store


def finish(keeper: Keeper | None, data: xr.Dataset, grid: Grid | Scatter, facts: Mapping[str, Any]) -> None:
    """Keep the dataset of a call beside its records, unless one of more members is kept there already."""
    if not isinstance(keeper, Store) or (written := _written(keeper)) is None:
        return
    mine, known = _members(grid), written["finished"]
    more = known is not None and keeper.path(RESULTS).exists() and _among(mine, known)
    if not more:
        keeper.save_results(data, [], {**facts, "run": written["description"]["what"]})
        _write(keeper, written["description"], mine)


def refuse_own(store: Store) -> None:
    """Raise ``BadInput`` where the folder of a study's run, or of a map, is one of ``ps.train`` or ``ps.simulate``."""
    if (written := _written(store)) is not None:
        raise BadInput(f"{store.root} holds a {written['description']['what']} of a call in Python: {MEND}")


def refuse_unfinished(store: Store) -> None:
    """Raise ``BadInput`` where a call has not come to its end: there are members, and no dataset."""
    if _written(store) is not None and not store.path(RESULTS).exists():
        done = sum("seed" in identity for identity, _ in store.records())
        raise BadInput(f"the run in {store.root} is not finished ({done} members are): the same call goes on.")


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return which run the folder holds, as far as it is not that of the call, in words; or nothing."""
    for part, now in here.items():
        was = there.get(part)
        if was == now:
            continue
        if part in ("recipe", "numbers", "surroundings") and isinstance(was, dict):
            name = next(n for n in {**was, **now} if was.get(n) != now.get(n))
            why = " and reads networks at other steps" if name in SCHEDULE else ""
            return f"a run with {name} = {shown(was.get(name))}, where this call has {shown(now.get(name))}{why}"
        if part == "functions" and isinstance(was, dict):
            name = next(n for n in {**was, **now} if was.get(n) != now.get(n))
            return f"a run with another {name} of the name that this call has, whose code or numbers were others"
        if part == "what":
            return f"a {was}, where this call is a {now}"
        if part == "code":
            return "a run of other code of Phasescope"
        names, word = [_names(value) for value in (was, now)], WORDS.get(part, part)
        if names[0] == names[1]:
            return f"a run with another {word} of the name {names[0]}, whose code or numbers were others"
        return f"a run with the {word} {names[0]}, where this call has {names[1]}"
    return ""


def _names(value: Any) -> str:
    """Return what a part of a description is called: fingerprints are left out."""
    if isinstance(value, dict):
        return str(value.get("name"))
    if isinstance(value, list):
        return ", ".join(str(entry[0]) if isinstance(entry, list) else str(entry) for entry in value) or "none"
    return str(value)


def _changed(
    records: Sequence[Mapping[str, Any]],
    members: Iterable[tuple[Any, int, Marks]],
    again: Callable[[Any, int], Marks] | None,
) -> str:
    """Return which member was made otherwise when it was finished, by a function that has changed since; or nothing.

    Where no member of the call is finished, the first and the last of the finished ones are made ``again``.
    """
    known: dict[str, list[Mapping[str, Any]]] = {}
    for identity in records:
        known.setdefault(canonical([identity["knobs"], identity["seed"]]), []).append(identity)
    both = [member for member in members if canonical([member[0], member[1]]) in known]
    if not both and again is not None and records:
        ends = [(identity["knobs"], identity["seed"]) for identity in (records[0], records[-1])]
        both = [(knobs, seed, again(knobs, seed)) for knobs, seed in ends]
    for knobs, seed, marks in both:
        before = known.get(canonical([knobs, seed]), ())
        for part, mark in marks.items():
            if before and all(identity[part]["is"] != mark for identity in before):
                return f"the member {shown(knobs)}, seed {seed} of another {part}, for what makes it has changed"
    return ""


def _members(grid: Grid | Scatter) -> dict[str, Any]:
    """Return the members of a grid as plain data, by axes or one by one."""
    if isinstance(grid, Grid):
        return {"axes": {name: list(values) for name, values in grid.axes.items()}, "seeds": list(grid.seed_values)}
    return {"members": [[dict(member.knobs), member.seed] for member in grid]}


def _among(mine: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Return whether all of some members are among others, and fewer."""
    few, many = (_one_by_one(members) for members in (mine, known))
    return few < many


def _one_by_one(members: Mapping[str, Any]) -> set[str]:
    if "members" not in members:
        grid = Grid(members["axes"], members["seeds"])
        members = {"members": [[member.knobs, member.seed] for member in grid]}
    return {canonical([{name: plain(v) for name, v in knobs.items()}, seed]) for knobs, seed in members["members"]}


def _written(store: Store) -> dict[str, Any] | None:
    """Return what ``run.json`` says, or None where there is none. Raises ``BadInput`` for one that can not be read."""
    path = store.path(FILE)
    try:
        found = json.loads(path.read_bytes())
        return {"description": dict(found["description"]), "finished": found["finished"]}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(told(error, path)) from error
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"{path} is not what was written there: name another folder.") from error


def _write(store: Store, description: Mapping[str, Any], finished: Mapping[str, Any] | None) -> None:
    store.write(FILE, json.dumps({"description": description, "finished": finished}, indent=1) + "\n")
