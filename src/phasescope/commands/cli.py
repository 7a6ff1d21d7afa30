"""The command line: the same words as the Python API."""

from __future__ import annotations

import json
import os
import sys
import time
import webbrowser
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phasescope.commands.data_options import register as data_commands
from phasescope.commands.evaluate_options import register as evaluate_commands
from phasescope.commands.options import PAGE, AsJson, Open, Study, changes_of, names_of, place, seconds_of, workers_of
from phasescope.commands.options import register as layer_commands
from phasescope.commands.papers import register as paper_commands
from phasescope.commands.telling import QUIET, carry_out, console, report_of, tell
from phasescope.commands.width_options import register as width_commands
from phasescope.door import ended
from phasescope.errors import one_line

if TYPE_CHECKING:
    from phasescope.commands.inspect import Told

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="A laboratory for the science of deep learning: phase diagrams of small networks, exact theory, verdicts.",
)
CTRL_C = 130

Scale = Annotated[str, typer.Option(help="pocket: a minute or two on two cores; paper: the paper's own sizes.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, for example p=31; repeatable."),
]
Seeds = Annotated[int | None, typer.Option(help="Networks per cell.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Workers = Annotated[
    str | None,
    typer.Option(metavar="WHO", help="How many cores, or ray, ray://host:10001 or slurm; default all cores."),
]
Tolerance = Annotated[float, typer.Option(help="How finely the boundary is followed, in fractions of an axis.")]
Details = Annotated[bool, typer.Option("--details", help="Tell each claim in full: sentence, source, control, reason.")]
Estimate = Annotated[bool, typer.Option("--estimate", help="Time a network of each part; may take minutes.")]
Inputs = Annotated[Path | None, typer.Option(help="Inputs: .npy, .safetensors, or .txt if there is a tokenizer.")]
Places = Annotated[str | None, typer.Option(help="Names of modules, with commas; found by itself.")]
Out = Annotated[
    Path | None, typer.Option(parser=place, metavar="PATH", help="The run's folder; default runs/<study>-<scale>.")
]


def _common(
    scale: str, set_: list[str] | None, seeds: int | None, device: str, workers: str | None, out: Path | None
) -> dict[str, Any]:
    """Return what runs and maps take alike."""
    settings = changes_of(set_)
    return {"scale": scale, "seeds": seeds, "settings": settings, "device": device, "out": out, **workers_of(workers)}


def _version(asked: bool) -> None:
    if asked:
        print(f"phasescope {version('phasescope')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Show no progress; what went wrong is told all the same.")
    ] = False,
) -> None:
    if quiet:
        os.environ[QUIET] = "1"


@app.command()
def run(
    study: Study,
    scale: Scale = "pocket",
    set_: Changes = None,
    seeds: Seeds = None,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = None,
    until: Annotated[
        str | None, typer.Option(metavar="decided", help="Add seeds where a claim is undecided, at the study's looks.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="With --until: no look that would likely pass 90s, 10m or 2h.")
    ] = None,
    details: Details = False,
    as_json: AsJson = False,
    open_: Open = False,
) -> None:
    """Run a study: train its networks, judge its claims, draw its figures. The same command resumes a stopped run."""
    from phasescope import lab
    from phasescope.papers.claims import stored_cost

    common = _common(scale, set_, seeds, device, workers, out) | {"until": until, "budget": seconds_of(budget)}
    cost = "" if set_ or seeds or until else stored_cost(study, scale)
    say = f"as stored, this took {cost}" if cost else ""
    carry_out(lambda display: lab.run(study, on_progress=display, **common), as_json, open_, details=details, say=say)


@app.command("register")
def register_(
    study: Study,
    again: Annotated[
        str, typer.Option(metavar="REASON", help="Why claims are changed whose verdicts were seen; readers are told.")
    ] = "",
) -> None:
    """Register a study's claims, hashed and dated, before they are judged on seeds that nobody has looked at."""
    from phasescope.lab.registration import register
    from phasescope.lab.registry import study_named

    entry, file = register(study_named(study), again)
    print(entry.text)
    print(f"registered {study} {entry.date}, hash {entry.hash}, {len(entry.code)} files of code\n{file}")


@app.command("map")
def map_(
    study: Annotated[str, typer.Argument(help="A study that names an order parameter; see phasescope list.")],
    x: Annotated[str, typer.Option(help="The knob across: NAME=LOW:HIGH, with :log or :int at the end if wanted.")],
    y: Annotated[str, typer.Option(help="The knob upwards, likewise.")],
    by: Annotated[str | None, typer.Option(help="What tells phases apart; the study's first order parameter.")] = None,
    scale: Scale = "pocket",
    set_: Changes = None,
    tolerance: Tolerance = 1 / 32,
    cells: Annotated[int | None, typer.Option(help="Train at most so many places.")] = None,
    seeds: Annotated[int, typer.Option(help="Networks of a place at most; three where they agree.")] = 7,
    confidence: Annotated[float, typer.Option(help="How well a place's phase is to be known.")] = 0.9,
    device: Device = "auto",
    workers: Workers = None,
    out: Out = None,
    as_json: AsJson = False,
    open_: Open = False,
) -> None:
    """Draw a phase map: which phase reigns where over two knobs, with networks trained only where phases meet."""
    from phasescope import lab

    common = _common(scale, set_, seeds, device, workers, out)
    asked: dict[str, Any] = {"x": x, "y": y, "by": by, "tolerance": tolerance, "cells": cells, "confidence": confidence}
    carry_out(lambda display: lab.phase_map(study, on_progress=display, **asked, **common), as_json, open_)


@app.command("new")
def new_(
    name: Annotated[str, typer.Argument(help="The study's name: small letters, digits and hyphens.")],
    arxiv: Annotated[
        str, typer.Option(metavar="ID", help="The paper whose question it asks, such as 2301.02679.")
    ] = "",
) -> None:
    """Write a study of your own: a package that runs, in a folder of its name, for you to change."""
    from phasescope.commands.new import new

    print(new(name, arxiv)[1])


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the studies."""
    from phasescope.commands.show import document, listed
    from phasescope.lab.registry import study_points

    if as_json:
        print(json.dumps({"studies": [document(name) for name in study_points()]}))
        return
    print(listed())


@app.command()
def show(study: Study, estimate: Estimate = False, details: Details = False, as_json: AsJson = False) -> None:
    """Show a study: question, paper, settings of each scale, claims, and what it costs on this machine."""
    from phasescope.commands.show import document, shown

    if as_json:
        print(json.dumps(document(study)))
        return
    console().print(shown(study, estimate=estimate, details=details))


@app.command()
def explore(
    directory: Annotated[Path, typer.Argument(parser=place, metavar="DIRECTORY", help="A run's folder.")],
    out: Annotated[
        Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default report.html in the folder.")
    ] = None,
    open_: Open = False,
) -> None:
    """Make the page of a finished run again, one file that opens from disk, to explore and to send to others."""
    from phasescope.lab.folder import results_in
    from phasescope.report.writer import write_page

    results = results_in(directory)
    page = report_of(results)[1]["report"] if out is None else write_page(out, results.told())
    print(page)
    if open_:
        webbrowser.open(page.resolve().as_uri())


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(parser=place, metavar="DIRECTORY", help="A run's folder.")],
    details: Details = False,
    open_: Open = False,
) -> None:
    """Tell a finished run again from its store: the claims, the figures, the page. Nothing is trained."""
    from phasescope.lab.folder import results_in

    results = results_in(directory)
    readable = not os.access(directory, os.W_OK)  # an archive: its page stays as it is
    told, paths = (results.told(), {}) if readable else report_of(results)
    tell(results, told, paths, float(results.provenance["seconds"]), details=details)
    if readable:
        print(f"no page  {directory} can not be written: phasescope explore {directory} --out FILE makes one elsewhere")
    elif open_:
        webbrowser.open(Path(paths["report"]).resolve().as_uri())


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="A data set; without one, all are listed.")] = None,
) -> None:
    """Fetch a real data set into the cache, once, and check it; without a name, list the sets that are known."""
    from rich.table import Column, Table

    from phasescope.store.data import SETS, data_home, fetch

    if name is not None:
        print(fetch(name, console(stderr=True).print))
        return
    table = Table(Column("data set", no_wrap=True), "what", "licence", "in the cache", box=None)
    for known in SETS.values():
        table.add_row(known.name, known.about, known.licence, "yes" if (data_home() / known.name).is_dir() else "no")
    console().print(table)


@app.command()
def doctor(
    directory: Annotated[
        Path | None, typer.Argument(parser=place, metavar="[DIRECTORY]", help="A run's folder to check.")
    ] = None,
) -> None:
    """Check the installation: versions, device, threads, measured matrix-multiply peak, and a store's health."""
    from phasescope.commands.doctor import examined

    console().print(examined(directory))


@app.command("inspect")
def inspect_(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, or package.module:factory, whose code is run.")],
    batch: Inputs = None,
    blocks: Annotated[
        str | None, typer.Option(help="Names of modules, with commas, such as h.#.attn,h.#.mlp; found by itself.")
    ] = None,
    sublayers: Annotated[bool, typer.Option("--sublayers", help="A row for each attention and each MLP.")] = False,
    probes: Annotated[int, typer.Option(help="Random vectors per Jacobian.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the random vectors.")] = 0,
    out: Annotated[
        Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/inspect-<model>.")
    ] = None,
    as_json: AsJson = False,
    open_: Open = False,
) -> None:
    """Inspect a model of your own: signal and gradients block by block, what is not normal, and what to do."""
    from phasescope.commands.inspect import inspected

    names = names_of(blocks)
    _tell_of(lambda tell: inspected(model, batch, names, probes, seed, tell, sublayers=sublayers), out, as_json, open_)


@app.command("profile")
def profile_(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, or package.module:factory, whose code is run.")],
    batch: Inputs = None,
    places: Places = None,
    by: Annotated[str, typer.Option(help="sample or token: what the points of a layer are.")] = "sample",
    points: Annotated[int, typer.Option(help="Points that are read at most.")] = 2000,
    out: Annotated[
        Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/profile-<model>.")
    ] = None,
    as_json: AsJson = False,
    open_: Open = False,
) -> None:
    """Profile a model of your own: dimension and isotropy of each layer, with errors. Resumes where it was stopped."""
    from phasescope.commands.profile import folder_of, profiled

    names = names_of(places)
    folder = out if out is not None else folder_of(model)
    _tell_of(lambda tell: profiled(model, batch, names, by, points, folder, tell), folder, as_json, open_)


@app.command("compare")
def compare_(
    first: Annotated[str, typer.Argument(metavar="MODEL_A", help="A Hugging Face folder, or package.module:factory.")],
    second: Annotated[str, typer.Argument(metavar="MODEL_B", help="The other one; code of either is run.")],
    batch: Inputs = None,
    second_batch: Annotated[
        Path | None, typer.Option(help="The same samples as MODEL_B takes them, if not as MODEL_A does.")
    ] = None,
    places: Places = None,
    by: Annotated[str, typer.Option(help="sample or token: what the rows of a layer are.")] = "sample",
    points: Annotated[int, typer.Option(help="Rows that are compared at most.")] = 2000,
    draws: Annotated[int, typer.Option(help="Shuffles for the null that has no formula.")] = 200,
    seed: Annotated[int, typer.Option(help="Of these shuffles.")] = 0,
    out: Annotated[
        Path | None, typer.Option(parser=place, metavar="PATH", help=f"{PAGE}; default runs/compare-<a>-<b>.")
    ] = None,
    as_json: AsJson = False,
    open_: Open = False,
) -> None:
    """Compare two models of your own, layer by layer, beyond chance, in nine measures. Resumes where it was stopped."""
    from phasescope.commands.compare import Asked, compared, folder_of

    names = names_of(places)
    asked = Asked(first, second, batch, second_batch, names, by, points, draws, seed)
    folder = out if out is not None else folder_of(first, second)
    _tell_of(lambda tell: compared(asked, folder, tell), folder, as_json, open_)


def _tell_of(work: Callable[[Callable[[str], None]], Told], out: Path | None, as_json: bool, open_: bool) -> None:
    """Do work on a model of the user's, write its document and its page, and tell of it."""
    from rich.text import Text

    from phasescope.report.told import written

    started = time.monotonic()
    with console(stderr=True).status("loading") as status:
        told = work(lambda words: status.update(Text(words)))
    page, text = written(told, out, time.monotonic() - started, as_json)
    print("\n".join(map(one_line, text.split("\n"))))
    if open_:
        webbrowser.open(page.resolve().as_uri())


layer_commands(app, _tell_of)
data_commands(app, _tell_of)
width_commands(app, _tell_of)
evaluate_commands(app, _tell_of)
paper_commands(app)


@app.command(context_settings={"ignore_unknown_options": True})  # an expression may begin with a minus
def polynomial(
    text: Annotated[str, typer.Argument(metavar="EXPR", help="For example '(4*n1 + n2^2)^3 + n1*n2'.")],
    p: Annotated[int, typer.Option("--p", help="The modulus, a prime.")] = 23,
    train: Annotated[bool, typer.Option("--train", help="Train networks on half of the table, side by side.")] = False,
    seeds: Annotated[int, typer.Option(help="Draws of each network.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout.")] = False,
) -> None:
    """Examine a polynomial modulo a prime: its table, whether it can be learnt, the networks that compute it."""
    from phasescope.commands.polynomial import document, examined, shown

    facts = examined(text, p, train_too=train, seeds=seeds)
    if as_json:
        print(json.dumps(document(facts), allow_nan=False))
    else:
        console().print(shown(facts))


def called() -> int:
    """Do what the words of the command line say; return the exit code. Raises what the work raises."""
    words = sys.argv[1:]
    if "--quiet" in words:  # wherever it stands
        words = ["--quiet", *(word for word in words if word != "--quiet")]
    code = int(app(words, standalone_mode=False) or 0)
    if code == CTRL_C:  # typer keeps the KeyboardInterrupt to itself
        raise KeyboardInterrupt
    return code


def main() -> None:
    """Run the command line in this process, whose signals are left alone: ``phasescope.__main__`` meets them too."""
    sys.exit(ended(called))
