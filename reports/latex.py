"""A frame as a LaTeX table, for a paper that loads booktabs."""

from collections.abc import Iterable

import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from .frames import cell_text

ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    "²": r"\textsuperscript{2}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def latex(frame: pd.DataFrame, caption: str, label: str) -> str:
    """A frame as a `table` with its index first; numbers to the right, words to the left.

    Whatever stands in names and cells is text: it is escaped, and cannot be a command. `label` is for `\\ref`, and of
    letters, digits, `:` and `-`; other characters become `-`.
    """
    columns = [frame.index.name or "", *map(str, frame.columns)]
    kinds = [frame.index.dtype, *frame.dtypes]
    sides = "".join("r" if is_numeric_dtype(kind) and not is_bool_dtype(kind) else "l" for kind in kinds)
    body = [_line(cell_text(value) for value in values) for values in frame.itertuples()]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        rf"\label{{{''.join(sign if sign.isascii() and (sign.isalnum() or sign in ':-') else '-' for sign in label)}}}",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        _line(columns),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text for LaTeX, in which every character is only that."""
    return "".join(ESCAPED.get(sign, sign) for sign in " ".join(text.split()))


def _line(cells: Iterable[str]) -> str:
    return " & ".join(map(escaped, cells)) + r" \\"
