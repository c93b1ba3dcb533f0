"""How names are made comparable, for what is stored to be found and for what is asked."""

import re
import unicodedata

# Control characters and lone surrogates: PostgreSQL stores no NUL, UTF-8 no surrogate, a screen shows none of them.
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_PIECES = re.compile(r"[^\W_]+")


def is_clean(text: str) -> bool:
    return not _UNFIT.search(text)


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


def search_text(names: list[str], before: str = "") -> str:
    """The words of all spellings, those of `before` (an earlier search text) too, each once, between blanks.

    With a blank on both sides of every word a plain substring search tells a whole word, the start of a word and a
    part of one apart.
    """
    found = dict.fromkeys(before.split())
    for name in names:
        found.update(dict.fromkeys(search_words(name)))
    return f" {' '.join(found)} "
