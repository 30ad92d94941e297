"""`README.md` of a study's folder: its question, and how it was run and what that shows, as part of a page."""

import re
from pathlib import Path

from ..scaler.documents import read_text

FILE = "README.md"
QUESTION = re.compile(r"^\*\*Question\.\*\*\s+(.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
# A page computes anew what the report wrote there; comments, the title, and lines that are only a picture or a link are
# not for it either.
ELSEWHERE = re.compile(
    r"<!-- catscale report -->.*?<!-- end -->|<!--.*?-->|^!?\[[^\]\n]*\]\([^)\n]*\)\.?$|\A# .*?$",
    re.MULTILINE | re.DOTALL,
)


def question(folder: Path) -> str:
    """What a folder's README says after `Question.`; empty where it does not."""
    found = QUESTION.search(_text(folder))
    return " ".join(found[1].split()) if found else ""


def account(folder: Path) -> str:
    """The rest of a folder's README as HTML; whatever stands in it is text, never markup, and leads nowhere."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(ELSEWHERE.sub("", QUESTION.sub("", _text(folder))))
    for token in tokens:
        if token.type.startswith("heading"):
            token.tag = "p"  # the page has headings of its own
        if token.children:  # files that links and pictures name are not beside the page
            kept = [child for child in token.children if child.type not in ("link_open", "link_close", "image")]
            token.children = kept
    return str(reader.renderer.render(tokens, reader.options, {}))


def _text(folder: Path) -> str:
    path = folder / FILE
    return read_text(path) if path.is_file() else ""
