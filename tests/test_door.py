"""The door of the command line: signals at any moment, errors of the system, plain terminals, users' text."""

from __future__ import annotations

import ast
import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phasescope import door
from phasescope.commands import cli
from phasescope.errors import BadInput, Interrupted, shortened, shown, told

HOUSE = Path(cli.__file__).parent
COMMAND = [sys.executable, "-m", "phasescope"]
ENV = {**os.environ, "OMP_NUM_THREADS": "1"}

# a command whose work is one of the things that can go on when a signal comes
WORK = """
import sys
from phasescope import __main__ as command
from phasescope import door
import time
door.PATIENCE = 0.5
def ready():
    print("ready", flush=True)
def works():
    {work}
    return 0
sys.exit(door.finish(door.ended(works)))
"""
WORKS = {
    "in our own code": "ready()\n    while True: pass",
    "in somebody else's, which hears nothing": "ready(); time.sleep(60)",
    "where everything raised is swallowed": """ready()
    while True:
        try: time.sleep(60)
        except BaseException: pass""",
    "at a safe point": """door.safe_point(); ready()
    while True: time.sleep(0.01); door.safe_point()""",
    "at a safe point, told by the work itself": """door.safe_point(); ready()
    try:
        while True: time.sleep(0.01); door.safe_point()
    except KeyboardInterrupt: raise door.Interrupted("interrupted with 1 of 2 members finished") from None""",
    "after a safe point that is followed by none": "door.safe_point(); ready(); time.sleep(60)",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", WORKS)
def test_a_signal_is_3_and_a_sentence(work: str, number: signal.Signals) -> None:
    code = WORK.format(work=WORKS[work])
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, env=ENV) as process:
        assert process.stdout is not None
        process.stdout.readline()
        sent = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 3
    assert said.startswith("phasescope: interrupted") and said.count("\n") == 1
    assert ("1 of 2" in said) == ("told by the work" in work)
    assert time.monotonic() - sent < 5


def test_a_signal_at_the_end_changes_nothing() -> None:
    code = (
        WORK.format(work="ready()").replace("sys.exit(", "code = (")
        + "print('told', flush=True); time.sleep(1); sys.exit(code)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True, env=ENV) as process:
        assert process.stdout is not None
        process.stdout.readline(), process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.3, 0.6, 1.0, 2.0, 4.0, 7.0, 11.0])
def test_a_run_ends_at_any_moment(delay: float, number: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen([*COMMAND, "run", "grokking"], stdout=-1, stderr=-1, text=True, env=ENV, cwd=tmp_path) as run:
        time.sleep(delay)
        run.send_signal(number)
        _, said = run.communicate(timeout=30)
    assert run.returncode == 3
    assert "interrupted" in said.splitlines()[-1] and "Traceback" not in said


def test_importing_the_library_meets_no_signal() -> None:
    code = "import signal; before = signal.getsignal(2); import phasescope.commands.cli, phasescope.door\n"
    code += "assert signal.getsignal(2) is before and signal.getsignal(15) == signal.SIG_DFL"
    subprocess.run([sys.executable, "-c", code], check=True, env=ENV)


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (BadInput("p is 1: give a prime."), 2, "p is 1: give a prime."),
        (Interrupted("interrupted with 1 of 2"), 3, "interrupted with 1 of 2"),
        (KeyboardInterrupt(), 3, "the same command"),
        (MemoryError(), 2, "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 2, "too little memory"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/a/b"),
            2,
            "/a/b can not be used (No space left on device): free",
        ),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/a"), 2, "it is a folder where a file is needed"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), 2, "change its rights"),
    ],
)
def test_an_error_is_one_sentence(
    error: BaseException, code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert door.ended(work) == code
    said = capsys.readouterr().err
    assert said.startswith("phasescope: ") and said.count("\n") == 1 and sentence in said


def test_a_fault_of_ours_stays_one() -> None:
    def work() -> int:
        raise KeyError("gain")

    with pytest.raises(KeyError):
        door.ended(work)


def test_an_explained_error_is_not_explained_twice() -> None:
    error = OSError(errno.ENOSPC, "the disk has no room for /r/a: free some space", "/r/a")
    assert told(error) == "the disk has no room for /r/a: free some space."


def test_sentences_have_reading_length() -> None:
    long = BadInput(f"p is {'9' * 10_000}: choose a prime of at most 97.")
    assert len(str(long)) <= 400
    assert str(long).startswith("p is 999") and str(long).endswith("choose a prime of at most 97.")
    assert shortened("short") == "short"
    assert shown(10**5000) == "an integer of about 5000 digits"
    assert len(shown(list(range(10_000)))) <= 120
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert shown(nested) == "a list too large to write"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_plain_terminal_loses_no_work(encoding: str) -> None:
    code = "from phasescope import __main__\nprint('0.5 \\u00b1 0.1 \\u2265 \\u4e2d \\udcff')"
    env = {**ENV, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=env)
    sign = b"\xb1" if encoding == "latin-1" else b"+-"
    assert done.stdout == b"0.5 " + sign + b" 0.1 >= ? \xff\n"


def test_a_reader_who_leaves_stops_nothing() -> None:
    code = (
        "from phasescope import __main__\nimport sys\nfor i in range(100000): print(i)\nprint('done', file=sys.stderr)"
    )
    done = subprocess.run(
        f'"{sys.executable}" -c "{code}" | head -1', shell=True, capture_output=True, text=True, env=ENV
    )
    assert (done.stdout, done.stderr) == ("0\n", "done\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_an_output_that_is_full_is_a_sentence() -> None:
    with open("/dev/full", "w") as full:
        code = WORK.format(work="ready()")
        done = subprocess.run(
            [sys.executable, "-c", code.replace(", flush=True", "")], stdout=full, stderr=-1, text=True, env=ENV
        )
    assert done.returncode == 2
    assert done.stderr.startswith("phasescope: the output") and done.stderr.count("\n") == 1


# -- users' text is text -----------------------------------------------------------------------------------------------


def reads_markup(text: str) -> list[str]:
    """Return the calls that would read brackets in users' text as rich's markup."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        words = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
        if name in ("Console", "TextColumn") and words.get("markup") is not False:
            found.append(f"{name} at line {node.lineno}")
        if name == "from_markup":
            found.append(f"{name} at line {node.lineno}")
        if name == "status" and not (node.args and isinstance(node.args[0], ast.Constant)):
            found.append(f"status at line {node.lineno}")
        if "[bold]" in ast.unparse(node):
            found.append(f"markup at line {node.lineno}")
    return found


def test_users_text_is_never_markup() -> None:
    found = {str(file): reads_markup(file.read_text("utf-8")) for file in HOUSE.rglob("*.py")}
    assert not {file: calls for file, calls in found.items() if calls}


@pytest.mark.parametrize(
    "wrong",
    [
        "Console(stderr=True)",
        "TextColumn('{a}')",
        "Text.from_markup(title)",
        "console.print(f'[bold]{title}[/bold]')",
        "console.status(words)",
    ],
)
def test_markup_is_found(wrong: str) -> None:
    assert reads_markup(wrong)


@pytest.mark.parametrize("text", ["[/]x", "[red]a[/red]", "[link=http://a]b", ":smile:"])
def test_brackets_are_printed(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    cli.console().print(text)
    assert capsys.readouterr().out == f"{text}\n"
