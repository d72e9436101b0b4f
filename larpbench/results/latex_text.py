"""Text as LaTeX shows it with any engine: what pdfLaTeX cannot print, it spells."""

from __future__ import annotations

import re
import unicodedata

from larpbench.errors import printable

_ASCII = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\textquotedblright{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_OTHERS = {
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "ß": r"\ss{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "…": r"\dots{}",
    "¡": r"\textexclamdown{}",
    "¿": r"\textquestiondown{}",
}
_MATHS = {
    "×": r"\times",
    "·": r"\cdot",
    "±": r"\pm",
    "−": "-",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "∞": r"\infty",
    "°": r"^\circ",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↑": r"\uparrow",
    "↓": r"\downarrow",
    "√": r"\surd",
    "µ": r"\mu",
    "Δ": r"\Delta",
    "Σ": r"\Sigma",
    "Ω": r"\Omega",
    **{
        character: f"\\{unicodedata.name(character).rpartition(' ')[2].lower().replace('lamda', 'lambda')}"
        for character in "αβγδεζηθικλμνξπρστυφχψω"
    },
}
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
}
_DOTLESS = {"i": r"\i", "j": r"\j"}
_POINTS = {
    **dict.fromkeys("ijl.,:;|'` ", 2.8),
    **dict.fromkeys("frst-()[]{}!", 3.9),
    **dict.fromkeys("mw@%+=<>~^", 7.8),
    **dict.fromkeys("ABCDEFGHKLMNOPQRSTUVWXYZ", 7.3),
    **dict.fromkeys("bdhknpquvxy", 5.5),
}
_USUAL_POINTS = 5.0
_BREAK = re.compile(r"(?<=[/_:@+=,.#-])(?=\w)")
_LONG_WORD = 40
_LIGATURES = frozenset("-',")


def escape_latex(text: str, breakable: bool = False) -> str:
    """Return text that LaTeX shows as it is, in a sentence, a table or a caption.

    Letters that pdfLaTeX lacks, such as Japanese ones, are printed by XeLaTeX and LuaLaTeX if their font has them;
    pdfLaTeX prints a plain letter in their place, or their number.

    Args:
        text: The text; all white space is a space.
        breakable: Whether a line may end within a long word, behind punctuation: for paths and names in sentences.
    """
    words = printable(unicodedata.normalize("NFC", text)).split()
    return " ".join(map(_breakable, words) if breakable else map(_escaped, words))


def text_points(text: str) -> float:
    """Return about how wide a line of text is, in points: Computer Modern at 10 pt."""
    return sum(_POINTS.get(character, _USUAL_POINTS) for character in text)


def _breakable(word: str) -> str:
    parts = _BREAK.split(word) if len(word) > _LONG_WORD else [word]
    return r"\allowbreak{}".join(map(_escaped, parts))


def _escaped(part: str) -> str:
    return "".join(
        ("{}" if here in _LIGATURES and here == before else "") + _character(here)
        for before, here in zip(" " + part, part, strict=False)
    )


def _character(character: str) -> str:
    if known := _ASCII.get(character) or _OTHERS.get(character):
        return known
    if character.isascii():
        return character
    if character in _MATHS:
        return f"${_MATHS[character]}$"
    parts = unicodedata.normalize("NFD", character)
    letter, accent = parts[0], _ACCENTS.get(parts[1:])
    if accent and letter.isascii() and letter.isalpha():
        return f"\\{accent}{{{_DOTLESS.get(letter, letter)}}}"
    plain = "".join(each for each in unicodedata.normalize("NFKD", character) if each.isascii())
    spelt = "".join(_ASCII.get(each, each) for each in plain) or f"[U+{ord(character):04X}]"
    return rf"\ifdefined\Umathchar {character}\else {spelt}\fi{{}}"
