"""LaTeX tables: escaped, in booktabs' form, and accepted by pdflatex where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from catscale.reports.latex import escaped, latex

FRAME = pd.DataFrame(
    {
        "name": [r"a_b & 50% of #1 {x} $y$ \input{secret}", "c~d^e<f>|g", "plain"],
        "AP": [0.1234567, float("nan"), 1.0],
        "params": [1_234_567.0, 2.0, 3.0],
        "on_front": [True, False, True],
    },
    index=pd.Index([3, 1, 2], name="number"),
)


def test_a_table_has_booktabs_rules_a_caption_and_a_label() -> None:
    text = latex(FRAME, "Trials of 50% & more", "tab:my study_1")
    assert text.splitlines()[:5] == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Trials of 50\% \& more}",
        r"\label{tab:my-study-1}",
        r"\begin{tabular}{rlrrl}",
    ]
    assert [line for line in text.splitlines() if "rule" in line] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert r"number & name & AP & params & on\_front \\" in text
    assert r"2 & plain & 1 & 3 & yes \\" in text
    assert len([line for line in text.splitlines() if len(re.findall(r"(?<!\\)&", line)) == 4]) == 1 + len(FRAME)


def test_cells_are_text_and_never_commands() -> None:
    text = latex(FRAME, "x", "x")
    assert r"a\_b \& 50\% of \#1 \{x\} \$y\$ \textbackslash{}input\{secret\}" in text
    assert r"c\textasciitilde{}d\textasciicircum{}e\textless{}f\textgreater{}\textbar{}g &  & 2 &" in text
    assert escaped("two\nlines") == "two lines"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_it_compiles(tmp_path: Path) -> None:
    document = (
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{latex(FRAME, 'a_b', 'x')}\end{{document}}"
    )
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
