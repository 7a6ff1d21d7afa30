"""The store: round trips, identity, crashes, damage, locks, results; wrong stores that the laws reject."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasescope.store import FORMAT, Store, address, atomic, canonical, journal
from phasescope.store.atomic import SUFFIX, new_folder
from phasescope.store.sealed import Damaged, seal, unseal
from phasescope.store.shelf import Shelf
from phasescope.testing import stores as laws
from phasescope.vocabulary import Array, BadInput

quick = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "run") as opened:
        yield opened


def the_record(store: Store) -> Path:
    return next((store.root / "records").rglob("*.safetensors"))


# laws, and the stores they must reject


def everything_listed_loads(store: Store) -> None:
    identities = [identity for identity, _ in store.records()]
    assert len(identities) == len(set(map(canonical, identities))) == store.health()["records"]
    for identity, facts in store.records():
        found = store.load(identity)
        assert found is not None
        assert found[1] == facts
    written = store.root / "journal.jsonl"  # a writer killed in its first milliseconds has none yet
    assert all(json.loads(line) for line in written.read_bytes().splitlines()) if written.exists() else not identities
    assert not list(store.root.rglob("*.phasescope-tmp"))
    assert store.health()["corrupt_records"] == 0


quiet_laws = [law for law in laws.STORE_LAWS if law is not laws.law_survives_kill]  # that one is the next test


@pytest.mark.parametrize("law", quiet_laws, ids=lambda law: law.__name__)
def test_law(law: Any, tmp_path: Path) -> None:
    law(Store, tmp_path / "run")


def test_killed_at_twenty_moments_leaves_a_sound_store(tmp_path: Path) -> None:
    laws.law_survives_kill(Store, tmp_path / "run", moments=20, check=everything_listed_loads)


class InPlaceShelf(Shelf):
    def put(self, identity: Mapping[str, Any], arrays: Mapping[str, Array], facts: Mapping[str, Any]) -> None:
        path = self.path(address(identity))
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(seal(identity, arrays, facts))


class WritesInPlace(Store):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._records.__class__ = self._checkpoints.__class__ = InPlaceShelf


class TrustingShelf(Shelf):
    def read(self, key: str) -> Any:
        import safetensors.numpy

        try:
            blob = self.path(key).read_bytes()
            arrays = safetensors.numpy.load(blob)
            header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])
            document = json.loads(header["__metadata__"]["phasescope"])
        except FileNotFoundError:
            return None
        except Exception as error:
            raise Damaged from error
        return document.get("identity"), arrays, document.get("facts")


class IgnoresChecksum(Store):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._records.__class__ = TrustingShelf


class Renaming(Store):
    """A store under identities that ``rename`` gets wrong."""

    def rename(self, identity: Any) -> Any:
        return identity

    def load(self, identity: Any) -> Any:
        return super().load(self.rename(identity))

    def save(self, identity: Any, arrays: Any, facts: Any) -> None:
        super().save(self.rename(identity), arrays, facts)


class MindsTheOrder(Renaming):
    def rename(self, identity: Any) -> Any:
        return {"text": repr(identity)}


class RoundsNumbers(Renaming):
    def rename(self, identity: Any) -> Any:
        if isinstance(identity, dict):
            return {key: self.rename(item) for key, item in identity.items()}
        if isinstance(identity, list | tuple):
            return [self.rename(item) for item in identity]
        return float(f"{identity:.6g}") if isinstance(identity, float) else identity


class Single(Store):
    def save(self, identity: Any, arrays: Any, facts: Any) -> None:
        single = {k: a.astype(np.float32) if a.dtype == np.float64 else a for k, a in arrays.items()}
        super().save(identity, single, facts)


class OneShelf(Store):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._checkpoints = self._records


class Lazy(Store):
    """Says that it has saved before it has."""

    def save(self, identity: Any, arrays: Any, facts: Any) -> None:
        self.__dict__.setdefault("pending", []).append((identity, arrays, facts))
        if len(self.__dict__["pending"]) > 2:
            self.flush()

    def flush(self) -> None:
        for pending in self.__dict__.pop("pending", []):
            super().save(*pending)

    def load(self, identity: Any) -> Any:
        self.flush()
        return super().load(identity)

    def close(self) -> None:
        self.flush()
        super().close()


SABOTEURS = [
    (WritesInPlace, laws.law_failed_write),
    (IgnoresChecksum, laws.law_damage_is_seen),
    (MindsTheOrder, laws.law_order_of_keys),
    (RoundsNumbers, laws.law_every_leaf),
    (Single, laws.law_same_bits),
    (Lazy, laws.law_own_copies),
    (Lazy, laws.law_survives_kill),
    (OneShelf, laws.law_checkpoints),
]


@pytest.mark.parametrize(("wrong", "law"), SABOTEURS, ids=lambda x: x.__name__)
def test_saboteur_is_rejected(wrong: Any, law: Any, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        law(wrong, tmp_path / "run")


# identity

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
plain_data = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
identities = st.dictionaries(st.text(max_size=4), plain_data, max_size=4)


def shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shuffled(item) for key, item in reversed(value.items())}
    return tuple(map(shuffled, value)) if isinstance(value, list) else value


@given(identities)
@quick
def test_identity_ignores_order_and_kind_of_sequence(identity: dict[str, Any]) -> None:
    assert address(identity) == address(shuffled(identity))


@given(identities)
@quick
def test_identity_notices_every_leaf(identity: dict[str, Any]) -> None:
    assert address(identity) not in {address(other) for other in laws.neighbours(identity)}


def test_numbers_of_different_kinds_are_different_and_numpy_is_the_same() -> None:
    hashes = {address({"x": x}) for x in (1, 1.0, True, "1", None, 0.0, -0.0, float("inf"), [1], {"1": 1})}
    assert len(hashes) == 10
    assert address({"x": np.float64(0.1), "y": np.int8(3)}) == address({"x": 0.1, "y": 3})
    assert address({"x": np.bool_(True)}) == address({"x": True})


@pytest.mark.parametrize(
    "identity",
    [
        {"x": float("nan")},
        {"x": {1: 2}},
        {"x": b"1"},
        {"x": {1, 2}},
        {"$float": "inf"},
        {"x": 1j},
        {"x": [np.nan]},
    ],
)
def test_what_is_no_identity_is_refused(store: Store, identity: Any) -> None:
    with pytest.raises(BadInput, match="identity"):
        store.save(identity, {}, {})
    assert store.records() == []


# round trips

arrays = st.dictionaries(
    st.text(max_size=5).filter(lambda name: name != "__metadata__"),
    hnp.arrays(
        st.sampled_from(["f4", "f8", "f2", "i1", "i8", "u2", "?", ">f8", ">i4"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    max_size=3,
)
facts_data = st.dictionaries(st.text(max_size=4), plain_data, max_size=4)


@given(identities, arrays, facts_data)
@quick
def test_any_record_comes_back(store: Store, identity: Any, arrays: Any, facts: Any) -> None:
    native = {name: array.astype(array.dtype.newbyteorder("=")) for name, array in arrays.items()}
    store.save(identity, arrays, facts)
    assert laws.differences(store.load(identity), native, facts) == ""
    assert seal(identity, arrays, facts) == seal(shuffled(identity), native, shuffled(facts))


def test_facts_may_be_nan(store: Store) -> None:
    store.save({}, {}, {"loss": float("nan"), "top": -np.inf, "pair": (1, np.float32(0.5))})
    found = store.load({})
    assert found is not None
    assert np.isnan(found[1].pop("loss"))
    assert found[1] == {"top": -np.inf, "pair": [1, 0.5]}


@pytest.mark.parametrize(
    "bad",
    [
        {"x": np.array(["a"])}, {"x": np.zeros(2, complex)}, {"x": np.array([None])}, {1: np.zeros(1)},
        {"__metadata__": np.zeros(1)}, {"\ud800": np.zeros(1)},
    ],
)  # fmt: skip
def test_arrays_that_can_not_be_kept_are_refused(store: Store, bad: Any) -> None:
    with pytest.raises(BadInput, match="array"):
        store.save({}, bad, {})
    assert store.load({}) is None


def test_records_and_table(store: Store) -> None:
    for seed in range(3):
        store.save({"knobs": {"lr": 0.1}, "seed": seed}, {}, {"fate": "memorized", "step": seed * 10})
    assert [identity["seed"] for identity, _ in store.records()] == [0, 1, 2]
    table = store.table()
    assert table["facts.step"].tolist() == [0, 10, 20]
    assert table["identity.knobs.lr"].tolist() == [0.1] * 3
    assert table.index[1] == address({"knobs": {"lr": 0.1}, "seed": 1})
    assert len(Store(store.root, read_only=True).table()) == 3


def test_threads_may_save_together(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store.save({"n": n}, {"x": np.full(99, n)}, {"f": n}), range(40)))
    assert sorted(facts["f"] for _, facts in store.records()) == list(range(40))
    assert len(journal.read(store.root / "journal.jsonl")[0]) == 40


# crashes and damage


@pytest.mark.parametrize("place", ["replace", "fsync", "open"])
def test_a_failing_disk_leaves_the_old_content(store: Store, monkeypatch: Any, place: str) -> None:
    store.save({}, {"x": np.zeros(2)}, {"n": 1})
    store.write("page.html", "old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((atomic, "_write_through") if place == "open" else (os, place)), full)
        for save in (lambda: store.save({}, {}, {"n": 2}), lambda: store.write("page.html", "new")):
            with pytest.raises(OSError, match=r"no room .* free some space .* intact") as caught:
                save()
            assert caught.value.errno == errno.ENOSPC
    assert laws.differences(store.load({}), {"x": np.zeros(2)}, {"n": 1}) == ""
    assert store.records() == [({}, {"n": 1})]
    assert store.path("page.html").read_text() == "old"
    assert not list(store.root.rglob("*tmp"))


def test_a_short_append_is_taken_back(store: Store, monkeypatch: Any) -> None:
    store.save({"n": 1}, {}, {})
    before, write = (store.root / "journal.jsonl").read_bytes(), os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
        with pytest.raises(OSError, match="no room"):
            store.save({"n": 2}, {}, {})
    assert (store.root / "journal.jsonl").read_bytes() == before
    assert [identity["n"] for identity, _ in store.records()] == [1, 2]  # the record itself was whole


@pytest.mark.parametrize("tail", [b'{"crc":"', b'{"crc":"00000000","hash":"', b"\x00\x00\x00\n", b'{"a": 1}\n'])
def test_torn_journal_lines_are_ignored_and_mended(tmp_path: Path, tail: bytes) -> None:
    with Store(tmp_path) as store:
        store.save({"n": 1}, {}, {"f": 1})
        store.save({"n": 2}, {}, {"f": 2})
    path = tmp_path / "journal.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    for content in (
        first + second + tail,
        first + tail,
        second.replace(b'"f":2', b'"f":3') + tail,
        second[:-1],
        b"",
    ):
        path.write_bytes(content)
        reader = Store(tmp_path, read_only=True)
        assert sorted(facts["f"] for _, facts in reader.records()) == [1, 2]
        assert path.read_bytes() == content
        torn = reader.health()["torn_journal_lines"]
        with Store(tmp_path) as store:
            assert sorted(facts["f"] for _, facts in store.records()) == [1, 2]
            assert store.health()["torn_journal_lines"] == torn
            assert journal.read(path)[1] == 0
            store.save({"n": 2}, {}, {"f": 2})
        assert len(journal.read(path)[0]) == 2


def test_a_crash_between_record_and_line_is_mended(store: Store, monkeypatch: Any) -> None:
    store.save({"n": 1}, {}, {"f": 1})

    def put_and_die(*given: Any) -> None:
        Shelf.put(store._records, *given)
        raise KeyboardInterrupt

    monkeypatch.setattr(store._records, "put", put_and_die)
    with pytest.raises(KeyboardInterrupt):
        store.save({"n": 1}, {}, {"f": 2})
    store.close()
    assert Store(store.root, read_only=True).records() == [({"n": 1}, {"f": 2})]
    with Store(store.root) as again:
        assert again.records() == [({"n": 1}, {"f": 2})]


@pytest.mark.parametrize("damage", ["cut", "bit", "swap", "nothing left"])
def test_a_damaged_record_is_absent_and_reported(store: Store, damage: str) -> None:
    store.save({"n": 1}, {"x": np.arange(9.0)}, {})
    path = the_record(store)
    blob = path.read_bytes()
    other = seal({"n": 2}, {"x": np.arange(9.0)}, {})
    bit = blob[:-5] + bytes([blob[-5] ^ 4]) + blob[-4:]
    path.write_bytes({"cut": blob[:-9], "bit": bit, "swap": other, "nothing left": b""}[damage])
    reader = Store(store.root, read_only=True)
    assert reader.load({"n": 1}) is None
    assert path.exists()
    assert reader.health()["corrupt_records"] == 1
    assert reader.health()["records"] == 0
    assert store.load({"n": 1}) is None
    assert not path.exists()
    assert store.records() == []
    assert store.health()["corrupt_records"] == 1
    store.save({"n": 1}, {"x": np.arange(9.0)}, {})
    assert store.load({"n": 1}) is not None
    assert (store.health()["records"], store.health()["corrupt_records"]) == (1, 1)


def test_a_damaged_checkpoint_is_absent_and_reported(store: Store) -> None:
    store.save_checkpoint({}, {"x": np.arange(9.0)}, {})
    next((store.root / "checkpoints").iterdir()).write_bytes(b"torn")
    assert store.health()["corrupt_records"] == 1
    assert store.load_checkpoint({}) is None
    assert store.health()["corrupt_records"] == 1


def test_repair_rebuilds_the_journal_from_the_records(store: Store) -> None:
    for n in range(4):
        store.save({"n": n}, {}, {"f": n})
    (store.root / "journal.jsonl").unlink()
    the_record(store).write_bytes(b"torn")
    health = store.repair()
    assert (health["records"], health["corrupt_records"], health["torn_journal_lines"]) == (3, 1, 0)
    assert len(journal.read(store.root / "journal.jsonl")[0]) == len(store.records()) == 3


def test_stale_temporary_files_go_at_the_next_open(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.save({}, {}, {})
        stale = [the_record(store).parent / ".1-2.phasescope-tmp", tmp_path / ".1-3.phasescope-tmp"]
    for path in stale:
        path.write_bytes(b"half")
    Store(tmp_path, read_only=True)
    assert all(path.exists() for path in stale)
    with Store(tmp_path):
        assert not any(path.exists() for path in stale)


@given(st.binary(max_size=300))
@quick
def test_no_bytes_pass_for_a_record(blob: bytes) -> None:
    with pytest.raises(Damaged):
        unseal(blob)


# opening


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(json.dumps({"format": FORMAT + 1}))
    for read_only in (True, False):
        with pytest.raises(BadInput, match=f"format {FORMAT + 1}, newer than {FORMAT}: upgrade"):
            Store(tmp_path, read_only=read_only)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": "1"}', '{"format": 0}', '{"format": true}'])
def test_an_unreadable_description_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(BadInput, match=r"store\.json"):
        Store(tmp_path)
    with pytest.raises(BadInput, match=r"store\.json"):
        Store(tmp_path)  # and the lock was given back


def test_a_file_a_path_below_it_and_a_foreign_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(BadInput, match=r"file is a file: name a folder"):
            Store(path)
    with pytest.raises(BadInput, match="no store but holds 'file'"):
        Store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that not even root can write")
def test_an_unwritable_folder_is_refused() -> None:
    with pytest.raises(BadInput, match="/proc/phasescope can not be written"):
        Store("/proc/phasescope")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="can not be written"):
        Store(tmp_path)


def test_what_a_killed_first_open_left_is_no_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "store.lock").touch()
    (tmp_path / ".9-0.phasescope-tmp").write_text("{")
    with Store(tmp_path) as store:
        assert sorted(path.name for path in store.root.iterdir()) == ["store.json", "store.lock"]


def test_a_second_process_is_refused_and_a_reader_is_not(store: Store) -> None:
    code = "import sys; from phasescope.store import Store as S; S(sys.argv[1], read_only=True); S(sys.argv[1])"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    second = subprocess.run(
        [sys.executable, "-c", code, store.root],
        capture_output=True,
        text=True,
        env=surroundings,
        check=False,
    )
    assert f"BadInput: {store.root} is in use by the process {os.getpid()}" in second.stderr
    with pytest.raises(BadInput, match="already open in this process"):
        Store(store.root)
    store.close()
    assert subprocess.run([sys.executable, "-c", code, store.root], env=surroundings, check=False).returncode == 0


def test_a_forgotten_store_gives_its_lock_back(tmp_path: Path) -> None:
    Store(tmp_path)
    with Store(tmp_path):
        pass


def test_read_only_creates_nothing_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no store"):
        Store(tmp_path / "run", read_only=True)
    assert not (tmp_path / "run").exists()
    with Store(tmp_path) as store:
        store.save({}, {}, {})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with Store(tmp_path, read_only=True) as reader:
        assert reader.load({}) == ({}, {})
        assert reader.load_checkpoint({}) is None
        assert reader.health()["records"] == len(reader.records()) == 1
        for write in (lambda: reader.save({}, {}, {}), lambda: reader.write("a", ""), reader.repair):
            with pytest.raises(BadInput, match="read-only"):
                write()
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_a_closed_store_reads_but_does_not_write(store: Store) -> None:
    store.save({}, {}, {})
    store.close()
    assert store.load({}) == ({}, {})
    with pytest.raises(BadInput, match="closed"):
        store.drop_checkpoint({})


# files of the report


def test_write_makes_folders_and_replaces(store: Store) -> None:
    assert store.write("report/figures/a.png", b"\x89").read_bytes() == b"\x89"
    assert store.write("report/figures/a.png", "é") == store.path("report/figures/a.png")
    assert store.path("report/figures/a.png").read_text(encoding="utf-8") == "é"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "/etc/passwd", "a/../../x", "link/x", "a\0b"])
def test_a_name_that_leads_out_is_refused(store: Store, name: str) -> None:
    (store.root / "link").symlink_to(store.root.parent)
    with pytest.raises(BadInput, match="relative path"):
        store.write(name, "x")


@pytest.mark.parametrize("name", ["store.json", "./Journal.jsonl", "records/ab/x", "results.json", "corrupt/x"])
def test_the_stores_own_files_are_not_the_reports(store: Store, name: str) -> None:
    with pytest.raises(BadInput, match="belongs to the store"):
        store.write(name, "x")


# results


def some_results() -> xr.Dataset:
    generator = np.random.default_rng(0)
    loss = generator.normal(size=(3, 2, 4))
    loss[0, 0, 0], loss[1, 1, 1], loss[2, 0, 3] = np.nan, np.inf, -np.inf
    data = xr.Dataset(
        {
            "loss": (("optimizer", "seed", "step"), loss, {"unit": "", "range": (0, np.inf), "null": np.nan}),
            "single": (("seed",), np.array([0.1, 0.2], dtype=np.float32)),
            "done": (("optimizer", "seed"), np.array([[True, False]] * 3)),
            "count": ((), np.int64(7)),
            "fate": (("optimizer", "seed"), np.array([["memorized", "é"], ["", "x"], ["y", "z"]])),
            "names": (("seed",), np.array(["a", "long"], dtype=object)),
            "new": (("seed",), np.array(["a", "long"], dtype=np.dtypes.StringDType())),
            "nothing": (("none", "step"), np.zeros((0, 4))),
        },
        coords={
            "optimizer": ["gd", "adamw", "momentum"],
            "seed": ("seed", [0, 1], {"long_name": "seed of the member"}),
            "time": (("optimizer", "step"), generator.normal(size=(3, 4))),
            "label": ("optimizer", ["a", "b", "c"]),
            "origin": 3.5,
            "width": ("step", np.array([8, 16, 32, 64], dtype=np.uint16)),
        },
        attrs={"title": "grokking", "papers": ["2301.02679"], "p": np.int64(23), "nested": {"a": [1, None]}},
    )
    return data.transpose("step", "seed", "optimizer", "none")


def test_results_come_back_identical(store: Store) -> None:
    data = some_results()
    verdicts = [{"id": "1.1", "measured": 0.5, "interval": [0.1, float("inf")], "verdict": "holds"}]
    provenance = {"torch": "2.13.0", "settings": {"z": 1, "a": 2}}
    store.save_results(data, verdicts, provenance)
    loaded, told, source = Store(store.root, read_only=True).load_results()
    xr.testing.assert_identical(loaded, data)
    assert (told, source) == (verdicts, provenance)
    for name in data.variables:
        assert (loaded[name].dtype, loaded[name].dims) == (data[name].dtype, data[name].dims)
    assert set(loaded.xindexes) == set(data.xindexes)
    read = json.loads((store.root / "results.json").read_text(encoding="utf-8"))
    assert read["verdicts"][0]["interval"] == [0.1, None]
    assert list(read["provenance"]["settings"]) == ["z", "a"]


def test_results_replace_results_and_may_be_empty_or_unindexed(store: Store) -> None:
    store.save_results(some_results(), [], {})
    for data in (xr.Dataset(), xr.Dataset(coords={"x": [1, 2]}).drop_indexes("x"), xr.Dataset({"x": 1})):
        store.save_results(data, [], {})
        loaded = store.load_results()[0]
        xr.testing.assert_identical(loaded, data)
        assert set(loaded.xindexes) == set(data.xindexes)


def test_results_that_can_not_be_kept_exactly_are_refused(store: Store) -> None:
    pair = xr.Dataset(coords={"x": ("i", [1, 2]), "y": ("i", [3, 4])})
    bad = [
        pair.set_index(i=["x", "y"]), pair.set_xindex("x"), xr.Dataset({"a": ("x", np.array([1j]))}),
        xr.Dataset({"a": ("x", np.array(["a", 1.5], dtype=object))}), xr.Dataset({1: 2}),
        xr.Dataset({"a": ("x", np.array(["2020-01-01"], dtype="datetime64[ns]"))}),
        xr.Dataset(attrs={"a": object()}), xr.Dataset({"a": 1}, attrs={"a": {1: 2}}),
    ]  # fmt: skip
    for data in bad:
        with pytest.raises(BadInput):
            store.save_results(data, [], {})
    assert not (store.root / "results.safetensors").exists()


def test_absent_and_damaged_results_are_told(store: Store) -> None:
    with pytest.raises(BadInput, match="holds no results"):
        store.load_results()
    store.save_results(some_results(), [], {})
    path = store.root / "results.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadInput, match="damaged"):
        store.load_results()


def test_the_store_imports_neither_torch_nor_xarray_nor_pandas() -> None:
    code = "import sys, phasescope.store; print(sorted({'torch', 'xarray', 'pandas'} & set(sys.modules)))"
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings, check=True)
    assert told.stdout.strip() == "[]"


class TestWhatLiesInTheWay:
    """A folder, a foreign file, or one that may not be read, where a file of the store is expected."""

    def test_a_record_in_place_of_the_results(self, tmp_path: Path) -> None:
        with Store(tmp_path / "run") as store:
            store.save({"a": 1}, {"x": np.zeros(2)}, {})
            (record,) = (tmp_path / "run").glob("records/*/*")
            shutil.copy(record, tmp_path / "run" / "results.safetensors")
            with pytest.raises(BadInput, match="a file of another kind"):
                store.load_results()

    def test_a_folder_in_place_of_the_results(self, tmp_path: Path) -> None:
        with Store(tmp_path / "run") as store:
            (tmp_path / "run" / "results.safetensors").mkdir()
            with pytest.raises(BadInput, match="it is a folder"):
                store.load_results()

    @pytest.mark.parametrize("instead", ["folder", "link"])
    @pytest.mark.parametrize("kept", ["record", "checkpoint"])
    def test_a_folder_or_a_circle_in_place_of_a_record_is_no_record(
        self, tmp_path: Path, kept: str, instead: str
    ) -> None:
        """A reader leaves it, a writer moves it aside, also at the opening, and keeps the record anew."""
        root = tmp_path / "run"
        with Store(root) as store:
            save, load = getattr(store, SAVES[kept]), getattr(store, LOADS[kept])
            save({"a": 1}, {"x": np.zeros(2)}, {})
            (path,) = root.glob("records/*/*" if kept == "record" else "checkpoints/*")
            path.unlink()
            path.mkdir() if instead == "folder" else path.symlink_to(path.name)
            assert getattr(Store(root, read_only=True), LOADS[kept])({"a": 1}) is None
        (root / "journal.jsonl").unlink(missing_ok=True)
        with Store(root) as store:
            save, load = getattr(store, SAVES[kept]), getattr(store, LOADS[kept])
            assert load({"a": 1}) is None and not os.path.lexists(path)
            save({"a": 1}, {"x": np.ones(2)}, {})
            assert load({"a": 1})[0]["x"].tolist() == [1, 1]

    def test_a_folder_in_place_of_the_journal(self, tmp_path: Path) -> None:
        with Store(tmp_path / "run") as store:
            store.save({"a": 1}, {}, {})
        (tmp_path / "run" / "journal.jsonl").unlink()
        (tmp_path / "run" / "journal.jsonl").mkdir()
        with pytest.raises(BadInput, match=r"journal\.jsonl.*folder.*made of the records"):
            Store(tmp_path / "run")

    def test_what_may_not_be_read_is_not_absent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither a record, which would be made again, nor a folder of records, in which none would be counted."""
        root = tmp_path / "run"
        with Store(root) as store:
            store.save({"a": 1}, {}, {})

        def forbidden(self: Path) -> Any:
            raise PermissionError(13, "Permission denied", str(self))

        for method in ("read_bytes", "iterdir"):
            with monkeypatch.context() as patched:
                store = Store(root, read_only=True)
                patched.setattr(Path, method, forbidden)
                with pytest.raises(BadInput, match=r"Permission denied.*change its rights"):
                    store.health()

    def test_arrays_come_in_one_order(self, tmp_path: Path) -> None:
        """safetensors gives them in another one in each process."""
        names = [f"{letter}{number}" for letter in "qwerty" for number in range(6)]
        with Store(tmp_path / "run") as store:
            store.save({"a": 1}, {name: np.zeros(1) for name in names}, {})
            assert list(store.load({"a": 1})[0]) == sorted(names)

    def test_a_disk_that_is_full_is_told_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*paths: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(BadInput) as error:
            Store(tmp_path / "run")
        assert str(error.value).count("no room") == 1 and "written" not in str(error.value)

    def test_a_folder_that_a_dead_writer_left_is_removed(self, tmp_path: Path) -> None:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        for process in (dead.pid, os.getppid()):
            (tmp_path / f".out-{process}-0{SUFFIX}").mkdir()
        with new_folder(tmp_path / "out"):
            pass
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f".out-{os.getppid()}-0{SUFFIX}", "out"])


SAVES = {"record": "save", "checkpoint": "save_checkpoint"}
LOADS = {"record": "load", "checkpoint": "load_checkpoint"}
