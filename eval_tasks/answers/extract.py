"""The answer in a completion. Every search runs from an end of the text, once: time is linear in its length."""

from __future__ import annotations

import re
from collections.abc import Callable

from eval_tasks.answers import limits, names
from eval_tasks.answers.reading import read
from eval_tasks.answers.units import unit_of
from eval_tasks.answers.values import Text

_NEXT_PROBLEM = re.compile(r"\n\s{0,4}(?:Problem|Question|Q)\s?:", re.IGNORECASE)
_NUMBER = re.compile(r"-?\$?(?:\d[\d,]{0,100}(?:\.\d{1,100})?|(?<!\d)\.\d{1,100})(?:/\d{1,100})?%?")
_CHOICE = re.compile(r"\(([A-J])\)|\b([A-J])\b(?=[).:]|\s*$)")
_SPACING = re.compile(r"\\(?:quad|qquad|text|textbf|mathrm|left|right|[,;:! ()\[\]])|[\s$(){}&,;]")
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_PLAIN_WORDS = frozenset((*names.FUNCTIONS, *names.CONSTANTS, *names.GREEK, *names.ENVIRONMENTS, "and", "frac"))
_LEADING_NAME = re.compile(r"[A-Za-z]{1,20}(?:_[0-9A-Za-z]{1,5})?\s*=|=")
_MATH = (("\\[", "\\]"), ("$$", "$$"), ("\\(", "\\)"), ("$", "$"))
_MAX_BOXES = 20
_MAX_BROKEN_BOXES = 5
_MAX_BETWEEN_BOXES = 60  # characters
_MAX_WORDS_BETWEEN_BOXES = 5
_FAR = 40  # characters after the last formula from which on a number in words is the answer
_MAX_BARE = 400  # characters of a completion that may be a bare answer


def extract(completion: str, style: str = "auto") -> str | None:
    """The answer in a completion as bare text, or None.

    Styles: 'boxed' (the last \\boxed, with the boxes directly before it), 'minerva' (Final Answer: The final answer
    is ...), 'gsm8k' (#### ..., or The answer is ...), 'marked' (the first of these three, or the only formula among
    words), 'choice' (a letter), 'last' (the last formula, else the last number), 'auto' (the first three, then a
    text that is a bare answer whole, then 'last'), 'bare' (the whole text). Raises ValueError for another style.
    """
    if style not in STYLES:
        raise ValueError(f"unknown style {style!r}; known are {', '.join(STYLES)}")
    text = completion[-limits.MAX_COMPLETION_CHARS :]
    answer = STYLES[style](text)
    return answer.strip() or None if answer is not None else None


def _first_of(text: str, *styles: Callable[[str], str | None]) -> str | None:
    answers = (style(text) for style in styles)
    return next((answer for answer in answers if answer is not None and answer.strip()), None)


def _marked(text: str) -> str | None:
    return _first_of(text, _minerva, _boxed, _gsm8k, _lone_formula)


def _lone_formula(text: str) -> str | None:
    """The only formula of a text, where nothing but words stands around it."""
    if len(text) > _MAX_BARE:
        return None
    for opening, closing in _MATH:
        before, _, rest = text.partition(opening)
        inside, found, after = rest.partition(closing)
        around = before + after
        if found and inside.strip():
            is_prose = not any(character.isdigit() or character in "$\\" for character in around)
            return inside if is_prose and any(character.isalpha() for character in around) else None
    return None


def _auto(text: str) -> str | None:
    return _first_of(text, _minerva, _boxed, _gsm8k, _formula, _last)


def _formula(text: str) -> str | None:
    """The whole text, where it is nothing but one answer."""
    bare = text.strip()
    if len(bare) > _MAX_BARE or "\n\n" in bare:
        return None
    if any(not _is_known_word(word) for word in _WORD.findall(bare)):
        return None
    value = read(bare).value
    return bare if value is not None and type(value) is not Text else None


def _is_known_word(word: str) -> bool:
    return word in _PLAIN_WORDS or unit_of(word) is not None


def _own_part(text: str) -> str:
    """The text before the model goes on to another problem of its own making."""
    match = _NEXT_PROBLEM.search(text, 1)
    return text[: match.start()] if match else text


def _boxed(text: str) -> str | None:
    boxes: list[tuple[int, int, str]] = []
    place = len(text)
    tries = 0
    for _ in range(2 * _MAX_BOXES):
        if len(boxes) == _MAX_BOXES:
            break
        start = max(text.rfind("\\boxed", 0, place), text.rfind("\\fbox", 0, place))
        if start < 0:
            break
        place = start
        found = _braced(text, start)
        if found is None:
            if boxes:
                break
            tries += 1
            if tries > _MAX_BROKEN_BOXES:
                break
            continue
        end, inside = found
        if boxes and not _is_joined(text, end, boxes[0][0]):
            break
        if boxes and end > boxes[0][0]:  # a box within a box: the outer one is the answer
            boxes = []
        boxes.insert(0, (start, end, inside))
    return ", ".join(inside for _, _, inside in boxes) if boxes else None


def _is_joined(text: str, end: int, start: int) -> bool:
    """Whether two boxes are parts of one answer: nothing but punctuation, a name, or few words with 'and' between."""
    if start - end > _MAX_BETWEEN_BOXES:
        return False
    between = text[end:start]
    if "\n\n" in between or ". " in between:
        return False
    words = _SPACING.sub(" ", _LEADING_NAME.sub(" ", between)).replace(".", " ").split()
    if "=" not in between and not any(character.isalnum() for word in words for character in word):
        return True
    is_prose = all(word.isalpha() for word in words)
    return is_prose and len(words) <= _MAX_WORDS_BETWEEN_BOXES and any(word in ("and", "or") for word in words)


def _braced(text: str, start: int) -> tuple[int, str] | None:
    """End and content of the command's {...} at `start`, or of what follows a space (\\boxed 5)."""
    opening = start + len("\\boxed" if text.startswith("\\boxed", start) else "\\fbox")
    while opening < len(text) and text[opening] in " \n":
        opening += 1
    if opening >= len(text):
        return None
    if text[opening] != "{":
        end = opening
        while end < len(text) and text[end] not in " $\n,.":
            end += 1
        return (end, text[opening:end]) if end > opening else None
    depth = 0
    for place in range(opening, min(len(text), opening + limits.MAX_CHARS)):
        character = text[place]
        if character == "{" and text[place - 1] != "\\":
            depth += 1
        elif character == "}" and text[place - 1] != "\\":
            depth -= 1
            if not depth:
                return place + 1, text[opening + 1 : place]
    return None


def _minerva(text: str) -> str | None:
    text = _own_part(text)
    start = _last_of(text, "the final answer is")
    if start is None:
        return None
    rest = text[start:]
    end = rest.find("I hope it is correct")
    rest = rest[:end] if end >= 0 else _first_sentence(rest)
    return _trimmed(rest)


def _gsm8k(text: str) -> str | None:
    text = _own_part(text)
    mark = text.rfind("####")
    if mark >= 0:
        return _trimmed(text[mark + 4 :].lstrip().split("\n", 1)[0])
    start = _last_of(text, "answer is")
    return _trimmed(_first_sentence(text[start:])) if start is not None else None


def _last_of(text: str, phrase: str) -> int | None:
    start = text.lower().rfind(phrase) if text.isascii() else _rfind_folded(text, phrase)
    return start + len(phrase) if start >= 0 else None


def _rfind_folded(text: str, phrase: str) -> int:
    return max(text.rfind(phrase), text.rfind(phrase.capitalize()), text.rfind(phrase.title()))


def _first_sentence(text: str) -> str:
    """Up to the end of the line, or to a full stop that ends a sentence outside a formula."""
    line = text.lstrip(" :\n*").split("\n", 1)[0]
    place = 0
    while (place := line.find(". ", place)) >= 0:
        if line.count("$", 0, place) % 2 == 0:
            return line[:place]
        place += 2
        if place > 2_000:
            break
    return line


def _trimmed(text: str) -> str:
    return text.strip().lstrip(":").strip(" \n*").rstrip(".").strip()


def _choice(text: str) -> str | None:
    text = _own_part(text)
    phrase = _last_of(text, "answer is")
    places = [text[phrase : phrase + 200]] if phrase is not None else []
    places.append(text[-2_000:])
    for number, part in enumerate(places):
        found = _CHOICE.findall(part)
        if found:
            pair = found[0] if number == 0 and phrase is not None else found[-1]
            return str(pair[0] or pair[1])
    return None


def _last(text: str) -> str | None:
    text = _own_part(text).rstrip()
    best: tuple[int, str] | None = None
    for opening, closing in _MATH:
        end = text.rfind(closing)
        if end <= 0 or (closing == "$" and text[end - 1] == "\\"):
            continue
        start = text.rfind(opening, 0, end)
        if start < 0:
            continue
        inside = text[start + len(opening) : end]
        if inside.strip() and (best is None or end > best[0]):
            best = (end, inside)
    tail = text[-2_000:]
    numbers = list(_NUMBER.finditer(tail))
    if numbers:
        match = numbers[-1]
        place = len(text) - len(tail) + match.start()
        is_bare_name = best is not None and not any(character.isdigit() for character in best[1])
        if best is None or place > best[0] + (0 if is_bare_name else _FAR):
            return match[0].rstrip(",")
    return best[1] if best else None


def _bare(text: str) -> str | None:
    return text


STYLES: dict[str, Callable[[str], str | None]] = {
    "auto": _auto,
    "marked": _marked,
    "boxed": _boxed,
    "minerva": _minerva,
    "gsm8k": _gsm8k,
    "choice": _choice,
    "last": _last,
    "bare": _bare,
}
