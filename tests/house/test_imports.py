"""The rules of the house, over the syntax trees of ``src``: who imports whom, and who may touch what.

Each rule is a function of one module that returns its violations as sentences. Each is itself tested on wrong
modules, which it must reject, and on right ones.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "src" / "phasescope"
ROOMS = {"tasks", "learners", "ensemble", "theory", "instruments", "verdict", "store"}
NOUNS = {"errors", "checks", "directions", "notebooks", "vocabulary", "figures", "identity", "samples", "subjects"}
TOOLS = {"width", "evaluation", "data", "representation", "layers", "inspection"}
MAY_IMPORT = {
    "errors": set(),
    "door": {"errors"},
    "checks": {"errors"},
    "directions": set(),
    "notebooks": set(),
    "members": {"checks", "notebooks"},
    "recipe": {"checks", "notebooks"},
    "vocabulary": {"errors", "checks", "members", "recipe"},
    "identity": {"identity", "errors", "vocabulary"},
    "samples": {"checks", "errors", "vocabulary"},
    "subjects": set(),
    "figures": {"errors", "checks", "vocabulary"},
    **{room: {room, *NOUNS} for room in ROOMS},
    "losses": {"checks", "directions", "vocabulary"},
    "inspection": {"inspection", "losses", *ROOMS, *NOUNS},
    "layers": {"layers", "inspection", "losses", *ROOMS, *NOUNS},
    "representation": {"representation", "layers", "inspection", "losses", *ROOMS, *NOUNS},
    "data": {"data", "layers", "inspection", "losses", *ROOMS, *NOUNS},
    "width": {"width", "inspection", "losses", *ROOMS, *NOUNS},
    "evaluation": {"evaluation", "layers", "inspection", "losses", *ROOMS, *NOUNS},
    "lab": {"lab", "report", "representation", "layers", "inspection", "losses", *ROOMS, *NOUNS},
    "studies": {"studies", "lab", "losses", *(TOOLS - {"width"}), *ROOMS, *NOUNS},
    "report": {"report", *ROOMS, *NOUNS},
    "papers": {"papers", "lab", "losses", *TOOLS, *ROOMS, *NOUNS},
    "commands": {"commands", "door", "papers", "report", "lab", *TOOLS, *ROOMS, *NOUNS},
    "testing": {"testing", "report", "studies", "lab", *TOOLS, *ROOMS, *NOUNS},
    "__init__": {"papers", "report", "lab", "losses", *TOOLS, *ROOMS, *NOUNS},
    "__main__": {"commands", "door"},
}
STUDIES = {path.parent.name for path in (HOUSE / "studies").glob("*/__init__.py")}
MOST_LINES, MOST_BODY = 400, 60


@dataclass(frozen=True)
class Module:
    """One source file: its place below ``phasescope/`` with forward slashes, and its text."""

    path: str
    text: str

    @cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(ast.parse(self.text)))

    @property
    def room(self) -> str:
        return self.path.split("/")[0].removesuffix(".py")

    @cached_property
    def aliases(self) -> dict[str, str]:
        """What the module's names stand for, by its imports: ``np`` -> ``numpy``."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for a in node.names:
                    top = a.name.split(".")[0]
                    found[a.asname or top] = a.name if a.asname else top
            elif isinstance(node, ast.ImportFrom):
                found |= {a.asname or a.name: f"{self.origin(node)}.{a.name}" for a in node.names}
        return found

    def origin(self, node: ast.ImportFrom) -> str:
        """Return the absolute name of the module that an import names, also a relative one."""
        if not node.level:
            return node.module or ""
        package = ["phasescope", *self.path.split("/")[:-1]]
        return ".".join([*package[: len(package) - node.level + 1], *([node.module] if node.module else [])])

    def imports(self) -> Iterator[tuple[int, str]]:
        """Yield line and absolute dotted name of everything imported, also by ``import_module("...")``."""
        for node in self.nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, a.name) for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((node.lineno, f"{self.origin(node)}.{a.name}") for a in node.names)
        for call, name in self.calls():
            first = call.args[0] if call.args else None
            if name in ("importlib.import_module", "__import__") and isinstance(first, ast.Constant):
                yield call.lineno, str(first.value)

    def dotted(self, node: ast.AST) -> str:
        """Return the absolute name of ``a.b.c``; a base that is no plain name is left out: ``.b.c``."""
        if isinstance(node, ast.Name):
            return self.aliases.get(node.id, node.id)
        return f"{self.dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""

    def calls(self) -> Iterator[tuple[ast.Call, str]]:
        """Yield every call with the absolute name of what is called."""
        yield from ((node, self.dotted(node.func)) for node in self.nodes if isinstance(node, ast.Call))


# -- the rules -----------------------------------------------------------------------------------------------


def import_direction(m: Module) -> list[str]:
    """Imports go one way, and the seven rooms do not know each other: each can be replaced alone."""
    if m.room not in MAY_IMPORT:
        return [f"{m.path}: no place in the house; say in MAY_IMPORT what {m.room} may import"]
    found = []
    for line, name in m.imports():
        parts = name.split(".")
        if parts[0] != "phasescope":
            continue
        target = parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else "__init__"
        if target not in MAY_IMPORT[m.room]:
            found.append(f"{m.path}:{line}: {m.room} imports {name}")
    return found


def studies_stand_alone(m: Module) -> list[str]:
    """A study imports no other study: what two of them share is in ``lab``."""
    if m.room != "studies":
        return []
    named = [(line, name.split(".")) for line, name in m.imports()]
    return [
        f"{m.path}:{line}: imports the study {parts[2]}"
        for line, parts in named
        if parts[:2] == ["phasescope", "studies"] and len(parts) > 2 and parts[2] != m.path.split("/")[1]
    ]


#: Inside a study: what each part may import of the others. A part of its own, such as ``networks``, is imported by all
#: but the settings.
PARTS = {"settings": set(), "figures": {"settings", "claims"}, "claims": {"settings"}, "experiments": {"settings"}}


def parts_of_a_study_go_one_way(m: Module) -> list[str]:
    """``settings <- experiments, claims, figures <- __init__``: what is drawn or claimed changes no number."""
    _, study, part = [*m.path.removesuffix(".py").split("/"), "", ""][:3]
    if m.room != "studies" or part not in PARTS:
        return []
    home = f"phasescope.studies.{study}"
    others = {name.split(".")[3] for _, name in m.imports() if name.startswith(f"{home}.")}
    wrong = (others & {*PARTS, "__init__"}) - PARTS[part]
    return [f"{m.path}: {part} imports {name}" for name in sorted(wrong)]


DRAWS = "rand randn randint randperm rand_like randn_like randint_like normal bernoulli multinomial poisson"
TORCH_DRAWS = {f"torch.{name}" for name in DRAWS.split()}
TENSOR_DRAWS = {"normal_", "uniform_", "bernoulli_", "random_", "exponential_", "log_normal_", "cauchy_"}
RANDOM = ("numpy.random.", "torch.random.", "torch.default_generator.")
#: What gives a user's program its random states back, and tells the generators that a user's model holds.
GIVES_BACK = {f"random.{name}" for name in ("getstate", "setstate", "Random")} | {
    f"numpy.random.{name}" for name in ("get_state", "set_state", "Generator", "BitGenerator", "RandomState")
}


def one_source_of_randomness(m: Module) -> list[str]:
    """Only ``ensemble/streams.py`` makes generators: another draw could not be made again."""
    if m.path == "ensemble/streams.py":
        return []
    keeper = m.path == "instruments/given_back.py"
    banned = ("secrets",) if keeper else ("random", "secrets")
    found = [(line, name) for line, name in m.imports() if name.split(".")[0] in banned]
    inner = {id(node.value) for node in m.nodes if isinstance(node, ast.Attribute)}
    called = {id(call.func) for call, _ in m.calls()}
    for node in m.nodes:
        name = m.dotted(node) if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner else ""
        a_type = name == "numpy.random.Generator" and id(node) not in called
        gives_back = name == "torch.random.fork_rng" or (keeper and name in GIVES_BACK)
        if f"{name}.".startswith((*RANDOM, "random.") if keeper else RANDOM) and not a_type and not gives_back:
            found.append((node.lineno, name))
    for call, name in m.calls():
        keywords = {keyword.arg for keyword in call.keywords}
        last = name.split(".")[-1]
        if name in ("torch.Generator", "torch._C.Generator") or last == "manual_seed":
            found.append((call.lineno, name))
        elif (name in TORCH_DRAWS or last in TENSOR_DRAWS) and "generator" not in keywords:
            found.append((call.lineno, f"{name} without generator="))
        elif last == "rvs" and "random_state" not in keywords:
            found.append((call.lineno, f"{name} without random_state="))
    return [f"{m.path}:{line}: {name} makes random numbers of its own" for line, name in found]


GLOBAL_CALLS = {
    "torch.manual_seed", "torch.random.manual_seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all",
    "torch.seed", "torch.use_deterministic_algorithms", "numpy.random.seed", "numpy.seterr",
}  # fmt: skip


def global_state_is_left_alone(m: Module) -> list[str]:
    """Nobody changes torch's or numpy's global state: it belongs to the user's program."""
    found = [
        (call.lineno, name)
        for call, name in m.calls()
        if name in GLOBAL_CALLS or name.startswith(("torch.set_", "torch.random.set_"))
    ]
    for node in m.nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            found += [(node.lineno, m.dotted(t)) for t in targets if m.dotted(t).startswith("torch.backends.")]
    return [f"{m.path}:{line}: {name} changes global state" for line, name in found]


WRITES = {
    "numpy.save", "numpy.savez", "numpy.savez_compressed", "numpy.savetxt", "numpy.memmap", "torch.save",
    "json.dump", "safetensors.numpy.save_file", "safetensors.torch.save_file", "os.open", "os.fdopen",
    "os.replace", "os.rename", "os.remove", "os.unlink", "os.mkdir", "os.makedirs", "shutil.copy",
    "shutil.copyfile", "shutil.copytree", "shutil.move", "shutil.rmtree",
}  # fmt: skip
WRITING_METHODS = {
    "write_text", "write_bytes", "touch", "unlink", "tofile", "savefig", "to_csv", "to_parquet",
    "to_netcdf", "to_zarr", "symlink_to", "hardlink_to",
}  # fmt: skip


def _opens_for_writing(call: ast.Call, name: str) -> bool:
    named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    given = [*call.args[:2], *named]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    modes = [mode for mode in modes if 0 < len(mode) <= 4 and set(mode) <= set("rwaxbt+")]
    hidden = name == "open" and len(given) > 1 and not isinstance(given[1], ast.Constant)
    return hidden or any(set(mode) & set("wax+") for mode in modes)


def who_may_write(m: Module) -> list[str]:
    """Only ``store`` and ``report`` write files: what a run leaves behind is one folder, whole or absent."""
    # the laws of stores damage files; a worker of Slurm leaves its bytes where whoever asked picks them up
    if m.room in ("store", "report") or m.path in ("testing/stores.py", "ensemble/on_slurm.py"):
        return []
    found = []
    for call, name in m.calls():
        last = name.split(".")[-1]
        opens = last == "open" and _opens_for_writing(call, name)
        method = "." in name and last in WRITING_METHODS
        if opens or method or name in WRITES or name.startswith("tempfile."):
            found.append(f"{m.path}:{call.lineno}: {name} writes outside store and report")
    return found


PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
RUNS = {"eval", "exec", "builtins.eval", "builtins.exec", "torch.load"}


def nothing_runs_from_data(m: Module) -> list[str]:
    """No pickle, ``torch.load``, ``eval`` or ``exec``: opening someone's run must not run someone's code."""
    found = [(line, name) for line, name in m.imports() if name.split(".")[0] in PICKLES]
    for call, name in m.calls():
        pickled = any(k.arg == "allow_pickle" and getattr(k.value, "value", True) for k in call.keywords)
        if name in RUNS or name.endswith("_pickle") or pickled:
            found.append((call.lineno, name))
    return [f"{m.path}:{line}: {name}" for line, name in found]


def nothing_is_swallowed(m: Module) -> list[str]:
    """No ``except Exception: pass``: a fault that nobody hears of becomes a wrong number."""
    broad = {"Exception", "BaseException"}

    def wide(kind: ast.AST | None) -> bool:
        return kind is None or bool({m.dotted(k) for k in getattr(kind, "elts", [kind])} & broad)

    silent = (ast.Pass, ast.Continue, ast.Break)

    def empty(statement: ast.stmt) -> bool:
        said = statement.value if isinstance(statement, ast.Expr) else None
        return isinstance(statement, silent) or isinstance(said, ast.Constant)

    handlers = [node for node in m.nodes if isinstance(node, ast.ExceptHandler) and wide(node.type)]
    found = [handler.lineno for handler in handlers if all(empty(statement) for statement in handler.body)]
    for call, name in m.calls():
        if name == "contextlib.suppress" and any(wide(argument) for argument in call.args):
            found.append(call.lineno)
    return [f"{m.path}:{line}: every error is swallowed" for line in found]


def sense_of_proportion(m: Module) -> list[str]:
    """Files of at most 400 lines and function bodies of at most 60: past that, something is two things."""
    lines = len(m.text.splitlines())
    found = [f"{m.path}: {lines} lines"] if lines > MOST_LINES else []
    for node in m.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            size = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            if size > MOST_BODY:
                found.append(f"{m.path}:{node.lineno}: the body of {node.name} has {size} lines")
    return found


def no_leftovers(m: Module) -> list[str]:
    """No note of work undone (that is an issue), and no file whose name says nothing."""
    nameless = Path(m.path).stem in ("utils", "util", "helpers", "misc")
    notes = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    lines = [line for line, row in enumerate(m.text.splitlines(), 1) if notes.search(row)]
    found = [f"{m.path}: a name that says nothing"] if nameless else []
    return found + [f"{m.path}:{line}: a note of work undone" for line in lines]


Rule = Callable[[Module], list[str]]


def circles(modules: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules of which each imports, by way of others, itself."""
    reached = {name: set(found) for name, found in modules.items()}
    for middle in modules:
        for found in reached.values():
            if middle in found:
                found |= reached[middle]
    met = {name: sorted(other for other in found if name in reached.get(other, ())) for name, found in reached.items()}
    return sorted({tuple(group) for name, group in met.items() if name in reached[name]})  # type: ignore[arg-type]


RULES: tuple[Rule, ...] = (
    import_direction, studies_stand_alone, parts_of_a_study_go_one_way, one_source_of_randomness,
    global_state_is_left_alone,
    who_may_write, nothing_runs_from_data, nothing_is_swallowed, sense_of_proportion, no_leftovers,
)  # fmt: skip

# -- the rules are tested ------------------------------------------------------------------------------------

LONG = "def f():\n    '''Say.'''\n" + "    x = 1\n"
Examples = dict[Rule, list[tuple[str, str]]]
WRONG: Examples = {
    import_direction: [
        ("ensemble/a.py", "from phasescope.learners import PowerMLP"),
        ("ensemble/a.py", "def f():\n    import phasescope.learners.power_kernel"),
        ("theory/a.py", "from phasescope import tasks"),
        ("theory/a.py", "from phasescope import Grid"),
        ("theory/a.py", "from ..instruments import phases"),
        ("theory/a.py", "from .. import instruments"),
        ("store/a.py", "from phasescope.lab.study import Study"),
        ("vocabulary.py", "from phasescope.figures import Axis"),
        ("losses.py", "from phasescope.instruments import alignment"),
        ("figures.py", "from phasescope.report import draw"),
        ("lab/a.py", "from phasescope.studies.grokking import STUDY"),
        ("commands/a.py", "from phasescope.studies import grokking"),
        ("report/a.py", "from phasescope.lab import load"),
        ("lab/a.py", "from phasescope.papers import claims"),
        ("papers/a.py", "from phasescope.studies.grokking import STUDY"),
        ("studies/a.py", "from phasescope.report import write"),
        ("inspection/a.py", "from phasescope.lab import load"),
        ("ensemble/a.py", "from phasescope.inspection import inspect"),
        ("inspection/a.py", "from phasescope.layers import distances"),
        ("layers/a.py", "from phasescope.report import write_report"),
        ("tasks/a.py", "import importlib\nimportlib.import_module('phasescope.store')"),
        ("attic/a.py", ""),
    ],
    studies_stand_alone: [
        ("studies/other/claims.py", "from phasescope.studies.grokking.settings import SCALES"),
        ("studies/other/__init__.py", "from phasescope.studies import grokking"),
        ("studies/other/claims.py", "from ..grokking import STUDY"),
    ],
    parts_of_a_study_go_one_way: [
        ("studies/other/settings.py", "from phasescope.studies.other.claims import LEVELS"),
        ("studies/other/claims.py", "from phasescope.studies.other import experiments"),
        ("studies/other/experiments.py", "def f():\n    from .figures import LEVELS"),
    ],
    one_source_of_randomness: [
        ("tasks/a.py", "import numpy as np\nnp.random.default_rng(0)"),
        ("tasks/a.py", "import numpy as np\nnp.random.Generator(np.random.Philox(1))"),
        ("tasks/a.py", "from numpy.random import default_rng as d\nd(0)"),
        ("tasks/a.py", "from numpy import random\nr = random"),
        ("tasks/a.py", "import random"),
        ("instruments/given_back.py", "import random\nrandom.random()"),
        ("instruments/given_back.py", "import numpy as np\nnp.random.default_rng(0)"),
        ("learners/a.py", "import torch\ng = torch.Generator()"),
        ("learners/a.py", "def f(g):\n    g().manual_seed(1)"),
        ("learners/a.py", "import torch\ntorch.randn(3)"),
        ("learners/a.py", "def f(w):\n    w.normal_()"),
        ("theory/a.py", "from scipy import stats\nstats.norm.rvs(size=3)"),
    ],
    global_state_is_left_alone: [
        ("ensemble/streams.py", "import torch\ntorch.manual_seed(0)"),
        ("commands/cli.py", "import torch\ntorch.set_num_threads(1)"),
        ("commands/cli.py", "import torch as t\nt.use_deterministic_algorithms(True)"),
        ("commands/cli.py", "from torch import set_default_dtype\nset_default_dtype(None)"),
        ("commands/cli.py", "import torch\ntorch.backends.cudnn.deterministic = True"),
    ],
    who_may_write: [
        ("studies/a.py", "open('x', 'w')"),
        ("studies/a.py", "open('x', mode='rb+')"),
        ("studies/a.py", "def f(mode):\n    open('x', mode)"),
        ("studies/a.py", "from pathlib import Path\nPath('x').open('a')"),
        ("studies/a.py", "from pathlib import Path\nPath('x').write_text('y')"),
        ("studies/a.py", "import numpy as np\nnp.savez('x', a=1)"),
        ("studies/a.py", "import torch\ntorch.save(1, 'x')"),
        ("studies/a.py", "from safetensors.numpy import save_file\nsave_file({}, 'x')"),
        ("studies/a.py", "import json\ndef f(file):\n    json.dump(1, file)"),
    ],
    nothing_runs_from_data: [
        ("store/a.py", "import pickle"),
        ("store/a.py", "from cloudpickle import loads"),
        ("store/a.py", "import torch\ntorch.load('x')"),
        ("store/a.py", "import numpy as np\nnp.load('x', allow_pickle=True)"),
        ("store/a.py", "import pandas as pd\npd.read_pickle('x')"),
        ("commands/cli.py", "eval('1')"),
        ("commands/cli.py", "exec('1')"),
    ],
    nothing_is_swallowed: [
        ("commands/cli.py", "try:\n    f()\nexcept Exception:\n    pass"),
        ("commands/cli.py", "try:\n    f()\nexcept:\n    ..."),
        ("commands/cli.py", "for x in y:\n    try:\n        f()\n    except (OSError, Exception):\n        continue"),
        ("commands/cli.py", "import contextlib\nwith contextlib.suppress(Exception):\n    f()"),
    ],
    sense_of_proportion: [
        ("commands/cli.py", "x = 1\n" * (MOST_LINES + 1)),
        ("commands/cli.py", LONG + "    x = 1\n" * MOST_BODY),
    ],
    no_leftovers: [
        ("commands/cli.py", "x = 1  # TO" + "DO: mend"),
        ("ensemble/utils.py", ""),
    ],
}
RIGHT: Examples = {
    import_direction: [
        ("ensemble/a.py", "import torch\nfrom phasescope.ensemble import plan\nfrom . import jobs"),
        ("ensemble/a.py", "from phasescope.vocabulary import Grid\nfrom ..vocabulary import Law"),
        ("studies/a.py", "from phasescope import theory\nfrom phasescope.ensemble.jobs import TaskLike"),
        ("commands/a.py", "from phasescope.report import write\nfrom phasescope.lab import load"),
    ],
    studies_stand_alone: [
        ("studies/grokking/claims.py", "from phasescope.lab.study import part"),
        ("studies/grokking/claims.py", "from phasescope.studies.grokking.settings import SCALES"),
    ],
    parts_of_a_study_go_one_way: [
        ("studies/other/__init__.py", "from phasescope.studies.other import claims, experiments, figures, settings"),
        ("studies/other/claims.py", "from .settings import SCALES\nfrom phasescope.studies.other.networks import f"),
    ],
    one_source_of_randomness: [
        ("ensemble/streams.py", "import numpy as np\nnp.random.Generator(np.random.Philox(1))"),
        ("theory/a.py", "import numpy as np\ndef f(g: np.random.Generator): g.normal()"),
        ("learners/a.py", "import torch\ndef f(g): torch.randn(3, generator=g)"),
        ("instruments/given_back.py", "import random\nstate = random.getstate()\nrandom.setstate(state)"),
    ],
    global_state_is_left_alone: [
        ("ensemble/streams.py", "import torch\ntorch.Generator().manual_seed(1)"),
        ("commands/cli.py", "import torch\nn = torch.get_num_threads()\nx = torch.backends.cudnn.enabled"),
    ],
    who_may_write: [
        ("ensemble/plan.py", "with open('/proc/meminfo') as file:\n    pass"),
        ("store/a.py", "open('x', 'wb')"),
        ("report/a.py", "from pathlib import Path\nPath('x').write_bytes(b'')"),
        (
            "cli.py",
            "import webbrowser, json\nwebbrowser.open('page.html')\njson.dumps(1)\n'a'.replace('a', 'b')",
        ),
    ],
    nothing_runs_from_data: [
        ("ensemble/a.py", "def f(module):\n    module.eval()"),
    ],
    nothing_is_swallowed: [
        ("commands/cli.py", "try:\n    f()\nexcept OSError:\n    pass"),
        ("commands/cli.py", "try:\n    f()\nexcept Exception:\n    g()\n    raise"),
    ],
    sense_of_proportion: [
        ("commands/cli.py", LONG + "    x = 1\n" * (MOST_BODY - 1)),
    ],
    no_leftovers: [
        ("commands/cli.py", "x = 1  # in metres"),
    ],
}


def flat(examples: Examples) -> list[tuple[Rule, str, str]]:
    return [(rule, *example) for rule, found in examples.items() for example in found]


@pytest.mark.parametrize(("rule", "path", "text"), flat(WRONG))
def test_a_wrong_module_is_rejected(rule: Rule, path: str, text: str) -> None:
    assert rule(Module(path, text))


@pytest.mark.parametrize(("rule", "path", "text"), flat(RIGHT))
def test_a_right_module_is_accepted(rule: Rule, path: str, text: str) -> None:
    assert rule(Module(path, text)) == []


def test_every_rule_is_tested_both_ways() -> None:
    assert set(RULES) == set(WRONG) == set(RIGHT)


@cache
def house() -> tuple[Module, ...]:
    """Return all modules of the house, parsed once for all rules."""
    files = sorted(HOUSE.rglob("*.py"))
    return tuple(Module(file.relative_to(HOUSE).as_posix(), file.read_text("utf-8")) for file in files)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps_the_rule(rule: Rule) -> None:
    modules = house()
    assert len(modules) > 30, f"no house at {HOUSE}"
    found = [violation for module in modules for violation in rule(module)]
    assert not found, "\n".join([rule.__doc__ or "", *found])


def imported(modules: dict[str, Module]) -> dict[str, set[str]]:
    """Return which modules of the house each module imports, hidden imports too; a package is its ``__init__``."""
    found: dict[str, set[str]] = {name: set() for name in modules}
    for name, module in modules.items():
        for _, full in module.imports():
            target = full if full in modules else full.rpartition(".")[0]
            if target in modules and target != name:
                found[name].add(target)
    return found


def test_no_import_goes_in_a_circle() -> None:
    named = {
        f"phasescope.{module.path.removesuffix('.py').replace('/', '.')}".removesuffix(".__init__"): module
        for module in house()
    }
    assert circles(imported(named)) == []
    wrong = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}
    assert circles(wrong) == [("a", "b", "c")]
