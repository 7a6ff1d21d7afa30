"""Claims are registered before they are judged, on seeds of their own; seeds are added until claims are decided."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import phasescope as ps
from phasescope import lab
from phasescope.commands.cli import app
from phasescope.lab import registration
from phasescope.lab.registration import described, judged, register, standing
from phasescope.lab.registry import study_named, study_points
from phasescope.lab.seeds import JUDGING, UNTIL, seeds_of
from phasescope.vocabulary import BadInput, Interrupted

SOURCE = '''
"""A study of coins."""
import numpy as np
import phasescope as ps
from phasescope.ensemble import Quantity, Simulation

CHANCE = {chance}


class CoinSettings(ps.Settings):
    seeds: int = 12
    size: float = 1.0


def toss(member, generators):
    """Return a number around the member's."""
    noise = generators("toss").normal()
    return {{"height": member["centre"] + member["size"] * noise, "seed_used": float(member.seed)}}


def experiments(s):
    quantities = [Quantity("height", "1", "here"), Quantity("seed_used", "1", "here")]
    def toss_at(title, centre):
        grid = ps.Grid({{"centre": (centre,)}}, seeds=s.seeds)
        return Simulation(title, toss, grid, quantities, {{"size": s.size}})
    return {{"high": toss_at("high", 9.0), "middle": toss_at("middle", 0.6), "low": toss_at("low", -9.0)}}


def claims(s):
    height, ours = ps.measures.value("height"), ps.Source(ours="it is a coin")
    low = ps.Control("low", ps.at("low"))
    return [
        ps.Claim("easy", "High is high", ours, height(ps.at("high")), ps.Expectation.at_least(CHANCE), low),
        ps.Claim("hard", "The middle is high", ours, height(ps.at("middle")), ps.Expectation.at_least(CHANCE), low),
    ]


def figures(data, s):
    return []


STUDY = ps.Study("coins", "Coins", "What do they show?", ps.Paper("A", 2026, "T", "", ""), {{"pocket": CoinSettings()}},
                 experiments, claims, figures)
'''


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHASESCOPE_STATE", str(tmp_path / "state"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def coins(home: Path, chance: float | str = 0.0) -> Any:
    """The study, written anew with this expectation."""
    package = home / "coins_of_mine"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(SOURCE.format(chance=chance))
    for name in [name for name in sys.modules if name.startswith("coins_of_mine")]:
        del sys.modules[name]
    sys.path_importer_cache.clear()
    __import__("coins_of_mine")
    return sys.modules["coins_of_mine"].STUDY


def test_unregistered_claims_and_changed_settings_have_development_seeds(home):
    study = coins(home)
    results = lab.run(study)
    assert results["high"].seed_used.max() < 12
    assert results.conduct() == ["Not registered; development seeds, from 0."]
    entry, _ = register(study)
    results = lab.run(study)
    assert results.conduct()[0].startswith(f"Registered {entry.date} as {entry.hash}, ")
    np.testing.assert_array_equal(results["high"].seed_used, [JUDGING + np.arange(12)])
    assert list(results["high"].seed.values) == list(range(JUDGING, JUDGING + 12))
    assert "unchanged since; judging seeds, from 1000" in results.conduct()[0]
    kept = lab.load(results.directory, study=study)
    assert kept.provenance["registration"]["hash"] == standing(study).registration.hash
    assert "easy: High is high" in kept.provenance["registration"]["text"]
    assert kept.experiments()["high"].grid.seed_values[0] == JUDGING
    assert kept.judged().verdicts == kept.verdicts
    changed = lab.run(study, size=0.9)
    assert changed["high"].seed_used.max() < 12
    assert "development seeds" in changed.conduct()[0]
    assert lab.run(study, seeds=11)["high"].seed_used.max() < 12
    with pytest.raises(BadInput, match="below 1000"):
        lab.run(study, seeds=1001)


def test_claims_that_change_are_told_and_are_registered_again_for_a_reason_only(home):
    study = coins(home)
    entry, file = register(study)
    assert file == home / "coins_of_mine" / "registered.jsonl"
    with pytest.raises(BadInput, match="registered as it is"):
        register(study)
    lab.run(study)
    assert [one["hash"] for one in judged("coins")] == [entry.hash]
    looser = coins(home, chance=-0.5)
    here = standing(looser)
    assert not here.unchanged and "changed since: pocket easy" in str(here)
    assert lab.run(looser)["high"].seed_used.max() < 12
    with pytest.raises(BadInput, match=r"judged before.*--again"):
        register(looser)
    second, _ = register(looser, again="a coin has two sides")
    assert second.judged_before and second.hash != entry.hash
    assert "registered again because: a coin has two sides" in lab.run(looser).conduct()[0]
    lines = file.read_text().splitlines()
    assert [json.loads(line)["hash"] for line in lines] == [entry.hash, second.hash]
    file.write_text("\n".join([lines[0], lines[1][:40]]))
    with pytest.raises(BadInput, match="is damaged"):
        standing(looser)


def test_what_the_experiments_are_made_of_is_registered_too(home):
    """Other experiments, a module beside, and claims that are judged again later by others are told."""
    study = coins(home)
    register(study)
    other = lab.Study(**{**study.__dict__, "experiments": lambda s: study.experiments(s)})
    assert not standing(other).unchanged
    (home / "coin_size.py").write_text("SIZE = 1\n")
    (home / "coin_study.py").write_text("import coin_size\n" + SOURCE.format(chance=0.0))
    __import__("coin_study")
    alone = sys.modules["coin_study"].STUDY
    register(alone)
    assert standing(alone).unchanged
    (home / "coin_size.py").write_text("SIZE = 2\n")
    assert standing(alone).changed == ("the study's code",)
    results = lab.run(study)
    looser = coins(home, chance=-5.0)
    again = lab.load(results.directory, study=looser).judged()
    assert "judged again by claims that are not those of the run (pocket easy" in again.conduct()[0].lower()


def test_damaged_files_and_odd_reasons_are_told_in_a_sentence(home):
    study = coins(home)
    _, file = register(study)
    line = file.read_text()
    file.write_text(line.rstrip("\n"))  # as an editor leaves it
    text = home / "coins_of_mine" / "__init__.py"
    text.write_text(text.read_text().replace("+ member", "+ 2 * member"))
    register(study)
    assert len(file.read_text().splitlines()) == 2 and standing(study).unchanged
    for damage in ('{"date": 3}', line.replace('"again": ""', '"again": 5'), "[" * 100_000, '"x"'):
        file.write_text(damage)
        with pytest.raises(BadInput, match="is damaged"):
            standing(study)
    file.unlink()
    ledger = home / "state" / "judged.jsonl"
    ledger.parent.mkdir(exist_ok=True)
    ledger.write_bytes(b'{"study": "coins"}\n\xff\n' + b"[" * 100_000 + b"\n3\n")
    assert [entry["hash"] for entry in judged("coins")] == ["?"]
    for reason in ("a\nb", "\x1b[31m", "x" * 501, 5):
        with pytest.raises(BadInput, match="on one line"):
            register(study, again=reason)
    (home / "coins_of_mine" / "draft.py").write_text("print 'old'\n")
    register(study, again="a draft lies beside it")
    assert standing(study).unchanged


def test_seeds_stay_in_their_ranges_and_what_is_no_experiment_is_refused(home):
    study = coins(home)

    def with_experiments(change):
        return lab.Study(**{**study.__dict__, "experiments": lambda s: change(study.experiments(s))})

    def replaced(e, **parts):
        return {**e, "high": type(e["high"])(**{**e["high"].__dict__, **parts})}

    late = with_experiments(lambda e: replaced(e, grid=ps.Grid({"centre": (9.0,)}, seeds=[5000, 5001])))
    with pytest.raises(BadInput, match=r"has the seed 5001: give a study seeds below 1000"):
        lab.run(late)
    with pytest.raises(BadInput, match=r"has no grid, kind"):
        lab.run(with_experiments(lambda e: {**e, "high": object()}))
    long = lab.Study(**{**study.__dict__, "looks": (16, 1100)})
    with pytest.raises(BadInput, match="last look is at 1100 seeds"):
        lab.run(long, until="decided")
    for looks in (None, 5, (), (32, 16), ("a",), (float("nan"),)):
        with pytest.raises(BadInput, match=r"look"):
            lab.Study(**{**study.__dict__, "looks": looks})
    for wrong in ({"budget": 5.0}, {"seeds": 12, "until": "decided"}):
        with pytest.raises(BadInput, match=r"until=.decided."):
            lab.run(study, **wrong)
    with pytest.raises(BadInput, match=r"return a list of ps\.Claim"):
        lab.run(lab.Study(**{**study.__dict__, "claims": lambda s: None}))


def test_layout_and_docstrings_are_no_change_and_code_is(home):
    study = coins(home)
    register(study)
    file = home / "coins_of_mine" / "__init__.py"
    file.write_text(file.read_text().replace('"""A study of coins."""', '"""Another sentence."""  # and a comment'))
    assert standing(study).unchanged
    file.write_text(file.read_text().replace("+ member", "+ 2 * member"))
    assert standing(study).changed == ("the study's code",)


def test_the_last_digits_of_a_bound_are_no_change(home, monkeypatch):
    """Theory's bounds differ in the last digits from machine to machine; entries that hashed all digits still count."""
    bound = "float(__import__('os').environ['BOUND'])"
    monkeypatch.setenv("BOUND", "0.123456789012345")
    study = coins(home, bound)
    entry, file = register(study)
    monkeypatch.setenv("BOUND", "0.123456789012349")
    assert standing(coins(home, bound)).unchanged
    monkeypatch.setenv("BOUND", "0.1234568")
    assert not standing(coins(home, bound)).unchanged
    whole, *_ = registration._now(coins(home, bound), exact=True)
    assert whole != entry.hash
    file.write_text(file.read_text().replace(entry.hash, whole))
    assert standing(coins(home, bound)).unchanged


def test_the_house_s_code_may_change_and_readers_are_told(home, monkeypatch):
    study = coins(home)
    register(study)
    from phasescope.lab import registration

    digests = registration.house_digests
    monkeypatch.setattr(
        registration, "house_digests", lambda *m: {**digests(*m), "verdict/judge.py": ("elsewhere", "0")}
    )
    here = standing(study)
    assert here.unchanged and here.code_changed == ("verdict/judge.py",)
    assert "the code that it uses has changed since: verdict/judge.py" in str(here)


def test_a_study_of_no_file_is_not_registered(home):
    study = coins(home)
    loose = lab.Study(**{**study.__dict__, "claims": eval("lambda s: []", {"__name__": "__main__"})})
    assert str(standing(loose)) == "not registered"
    with pytest.raises(BadInput, match="is in no file"):
        register(loose)
    assert "coins: What do they show?" in described(study)


def test_seeds_are_added_until_all_is_decided(home):
    study = coins(home)
    register(study)
    stages = []
    results = lab.run(study, until="decided", on_progress=lambda stage: stages.append(stage.look))
    verdicts = results.verdicts
    assert (verdicts["easy"].verdict, verdicts["easy"].n, verdicts["easy"].look) == ("holds", 16, 1)
    assert verdicts["hard"].verdict == "holds" and verdicts["hard"].look > 1 and verdicts["hard"].looks == 4
    n = verdicts["hard"].n
    assert {name: data.sizes["seed"] for name, data in results.data.items()} == {"high": 16, "middle": n, "low": n}
    assert list(results["middle"].seed.values) == list(range(UNTIL, UNTIL + n))
    assert {look.partition("; ")[2] for look in stages} == {"open: easy, hard", "open: hard"}
    assert f"Looked at {verdicts['hard'].look} times of 4" in results.summary()
    assert results.directory.name == "coins-pocket-decided" and results.command.endswith("--until decided")
    again = lab.load(results.directory, study=study)
    assert again.verdicts == verdicts and again.judged().verdicts == verdicts
    resumed = lab.run(study, until="decided")
    assert resumed.verdicts == verdicts and resumed["middle"].identical(results["middle"])


def test_a_budget_ends_the_looks_and_the_same_command_goes_on(home):
    study = coins(home, chance=0.6)  # the middle itself: it is not decided, or wrongly
    stopped = lab.run(study, until="decided", budget=1e-9)
    assert stopped.provenance["looks"]["taken"] == [16]
    assert "Stopped by the budget" in stopped.summary()
    on = lab.run(study, until="decided")
    assert on.provenance["looks"]["taken"] == [16, 32, 64, 128]
    assert on["high"].sizes["seed"] == 16
    np.testing.assert_array_equal(on["middle"].height[:, :16], stopped["middle"].height)


def test_looks_that_can_not_speak_are_refused(home):
    study = coins(home)
    early = lab.Study(**{**study.__dict__, "looks": (4, 8)})
    with pytest.raises(BadInput, match="first look is at 4 seeds, where nothing can be decided: 2 claims and 2 looks"):
        lab.run(early, until="decided")
    with pytest.raises(BadInput, match="until"):
        lab.run(study, until="tired")


def test_few_seeds_are_told_before_anything_is_run(home, caplog):
    with caplog.at_level(logging.WARNING, "phasescope"):
        lab.run(coins(home), seeds=5)
    assert "2 of 2 claims can not be decided (2 at 5 seeds)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "phasescope"):
        lab.run(coins(home), seeds=7)
    assert not caplog.text


def test_stopped_between_looks_it_resumes(home, monkeypatch):
    study = coins(home)

    def stop(stage):
        if "32 seeds" in stage.look:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        lab.run(study, until="decided", on_progress=stop)
    assert lab.run(study, until="decided").verdicts["hard"].verdict == "holds"


@pytest.mark.parametrize("bad", ["soon", "-1", "0", "10 years", "1e9"])
def test_a_budget_is_a_time(bad, home):
    found = CliRunner().invoke(app, ["run", "grokking", "--until", "decided", "--budget", bad])
    assert isinstance(found.exception, BadInput) and "90s, 10m or 2h" in str(found.exception)


def test_a_claim_has_as_many_seeds_as_its_control(home):
    study = coins(home)
    made, (easy, _) = study.experiments(study.scales["pocket"]), study.claims(study.scales["pocket"])
    for seeds, counted in ((range(5), 5), (range(20), 12), ([0], 12)):  # one seed is theory
        assert seeds_of(easy, {**made, "low": made["low"].with_seeds(list(seeds))}) == counted


def test_kinds_follow_from_the_experiments(home):
    verdicts = lab.run(coins(home)).verdicts
    assert {verdict.kind for verdict in verdicts} == {"simulation"}
    assert "simulations: " in verdicts.summary()
    assert ps.judge([], lab.run(coins(home))["high"]).summary() == "no claims"


@pytest.mark.parametrize("name", sorted(study_points()))
def test_the_house_s_own_studies_are_as_they_were_registered(name):
    """Else `phasescope run` would judge on development seeds."""
    assert standing(study_named(name)).unchanged
