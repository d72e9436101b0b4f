"""How objects that hold tables are shown: by a notebook, by ``print``, and in a paper."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from larpbench.results.latex import to_latex
from larpbench.results.sheet import Sheet, captioned
from larpbench.results.writers import to_html_part, to_markdown


class Shown(ABC):
    """Something that is made of sheets: HTML in a notebook, Markdown for ``print``, LaTeX on request."""

    @abstractmethod
    def sheets(self) -> Sequence[Sheet]:
        """Return the tables as they are printed."""

    def __str__(self) -> str:
        return to_markdown(self.sheets()).rstrip("\n")

    def _repr_html_(self) -> str:
        return to_html_part(self.sheets())

    def to_latex(self, caption: str = "", label: str = "") -> str:
        """Return what ``--format latex`` prints, for the packages booktabs and longtable.

        Args:
            caption: The caption; empty: the title.
            label: The label, such as ``tab:main``; several tables have a number behind it. Empty: made of the title.
        """
        return to_latex(captioned(self.sheets(), caption, label))
