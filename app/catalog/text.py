"""How names are made comparable, for what is stored to be found and for what is asked."""

import re
import unicodedata
from collections.abc import Iterable

from app.fields import CONTROL

CODES = "\x1f"  # stands between the words of the names and the codes; a blank to str.split, so no word can hold it
_PIECES = re.compile(r"[^\W_]+")


def is_clean(text: str) -> bool:
    """Whether a database can hold it and a screen show it."""
    return not CONTROL.search(text)


def words(text: str) -> list[str]:
    """The words of a name or of a query: whatever the case or the form of Unicode, one spelling."""
    return unicodedata.normalize("NFKC", text).casefold().split()


def search_words(name: str) -> list[str]:
    """What a name is found by: its words as written and, where punctuation joins several, each of those."""
    found: dict[str, None] = {}
    for word in words(name):
        found[word] = None
        found.update(dict.fromkeys(_PIECES.findall(word)))
    return list(found)


def escaped(word: str) -> str:
    """For a LIKE pattern with ESCAPE '!': every character means itself."""
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def search_text(names: Iterable[str], codes: Iterable[str | None], before: str = "") -> str:
    """The words of all spellings, those of `before` (an earlier search text) too, each once; then the codes.

    With a blank on both sides of everything a plain substring search tells a whole word, the start of a word and a
    part of one apart, and by CODES in between whether it was found in a name.
    """
    found = dict.fromkeys(before.partition(CODES)[0].split())
    for name in names:
        found.update(dict.fromkeys(search_words(name)))
    return f" {' '.join(found)} {CODES} {' '.join(code.casefold() for code in codes if code)} "
