"""Reads polynomials from text: ``2*n1^4*n2 + n1^2*n2^2 + 3*n1*n2^3``, with parentheses and powers of them.

sum      product (("+" | "-") product)*
product  factor ("*" factor)*
factor   ("+" | "-") factor | atom [("^" | "**") whole number]
atom     whole number | "n" digits | "(" sum ")"
"""

from __future__ import annotations

import re
from typing import NoReturn

from phasescope.errors import shown
from phasescope.tasks.polynomial import MOST_DEGREE, Polynomial
from phasescope.vocabulary import BadInput

TOKEN = re.compile(r"\s*(?:([0-9]+)|([A-Za-z_]\w*)|(\*\*|[-+*^()]))")
MOST_CHARACTERS = 2_000
MOST_DIGITS = 1_234  # of a coefficient of MOST_BITS bits, so that what is written can be read
MOST_DEPTH = 40
PAIR = {"n": "n1", "m": "n2"}  # as papers write two variables


def parse(text: str) -> Polynomial:
    """Return the polynomial that ``text`` writes, expanded. ``str`` of it reads back as the same polynomial.

    Raises ``BadInput`` with the character at which the text stops making sense.

    >>> str(parse("(n1 - n2)**2 + 0*n1"))
    'n1^2 - 2*n1*n2 + n2^2'
    """
    if not isinstance(text, str):
        raise BadInput(f"the polynomial is {shown(text)}: give a text, such as 'n1^2 + n2'.")
    if len(text) > MOST_CHARACTERS:
        raise BadInput(f"the polynomial has {len(text):,} characters: at most {MOST_CHARACTERS:,} are allowed.")
    return _Reader(text).whole()


class _Reader:
    """Recursive descent over the tokens of one text; ``at`` is where the current token begins."""

    def __init__(self, text: str) -> None:
        self.text, self.end, self.depth = text, 0, 0
        self.advance()

    def advance(self) -> None:
        """Move to the next token: its kind is "number", "name", an operator, or "" at the end."""
        found = TOKEN.match(self.text, self.end)
        rest = self.text[self.end :]
        self.at = self.end + len(rest) - len(rest.lstrip())
        if found is None:
            self.kind = self.word = ""
            if rest.strip():
                self.refuse("only whole numbers, variables n1, n2, ..., and + - * ^ ( ) are known")
            return
        number, name, operator = found.groups()
        self.kind = "number" if number else "name" if name else operator
        self.word, self.at, self.end = number or name or operator, found.start(found.lastindex or 0), found.end()

    def refuse(self, mend: str) -> NoReturn:
        """Raise the sentence that points at the current character."""
        if not self.text.strip():
            raise BadInput(f"the polynomial {self.text!r} is empty: write, for example, 2*n1^4*n2 + n2.")
        before, after = self.text[: self.at].rstrip(), self.text[self.at :].strip()
        if not after:
            raise BadInput(f"the polynomial ends too early, after {self._shown(before, end=True)} ({mend}).")
        raise BadInput(
            f"the polynomial goes wrong at character {self.at + 1}, {self.text[self.at]!r}, here: "
            f"{f'{self._shown(before, end=True)} -->{self._shown(after)}'.lstrip()} ({mend})."
        )

    @staticmethod
    def _shown(part: str, *, end: bool = False) -> str:
        return part if len(part) <= 40 else ("..." + part[-37:] if end else part[:37] + "...")

    def whole(self) -> Polynomial:
        found = self.sum()
        if self.kind:
            self.refuse(
                "a closing parenthesis without an opening one"
                if self.kind == ")"
                else "write *, +, - or ^ between two parts, for example 2*n1"
            )
        return found

    def sum(self) -> Polynomial:
        found = self.product()
        while self.kind in ("+", "-"):
            minus = self.kind == "-"
            self.advance()
            part = self.product()
            found = found - part if minus else found + part
        return found

    def product(self) -> Polynomial:
        found = self.factor()
        while self.kind == "*":
            self.advance()
            found = found * self.factor()
        return found

    def factor(self) -> Polynomial:
        minus = False
        while self.kind in ("+", "-"):
            minus ^= self.kind == "-"
            self.advance()
        found = self.atom()
        if self.kind in ("^", "**"):
            self.advance()
            found = found ** self.exponent()
        return -found if minus else found

    def exponent(self) -> int:
        if self.kind != "number":
            self.refuse("an exponent must be a whole number >= 0")
        if len(self.word) > 9 or int(self.word) > MOST_DEGREE:
            self.refuse(f"an exponent may be at most {MOST_DEGREE:,}; modulo a prime p, take it modulo p - 1")
        value = int(self.word)
        self.advance()
        if self.kind in ("^", "**"):
            self.refuse("a power of a power needs parentheses")
        return value

    def atom(self) -> Polynomial:
        if self.kind == "number":
            if len(self.word) > MOST_DIGITS:
                self.refuse(f"a number may have at most {MOST_DIGITS:,} digits; take it modulo p")
            found = Polynomial.constant(int(self.word))
        elif self.kind == "name":
            found = self.variable()
        elif self.kind == "(":
            return self.parenthesis()
        else:
            self.refuse("expected a number, a variable such as n1, or an opening parenthesis")
        self.advance()
        return found

    def variable(self) -> Polynomial:
        name = PAIR.get(self.word, self.word)
        if not re.fullmatch(r"n[1-9]", name, re.ASCII):
            self.refuse("variables are called n1 to n9, or n and m")
        return Polynomial.variable(int(name[1]))

    def parenthesis(self) -> Polynomial:
        opened, self.depth = self.at, self.depth + 1
        if self.depth > MOST_DEPTH:
            self.refuse(f"at most {MOST_DEPTH} parentheses may be nested")
        self.advance()
        found = self.sum()
        if self.kind != ")":
            self.refuse(f"the parenthesis opened at character {opened + 1} is not closed")
        self.depth -= 1
        self.advance()
        return found
