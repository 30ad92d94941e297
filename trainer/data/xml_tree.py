"""XML of annotation files to plain elements, with the line of each; no entity is ever expanded.

The standard library's ElementTree expands entities, so that a file of a kilobyte can fill the memory. Here a document
type that declares any is refused, and the five entities of XML itself (`&amp;` ...) are all that is left.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from ...blocks.errors import InputError

DEEPEST = 32  # elements within elements; annotations need five


@dataclass
class Element:
    """An element: its own text, and the elements in it in their order."""

    tag: str
    line: int
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, tag: str) -> Iterator["Element"]:
        """The elements of this name right below."""
        return (child for child in self.children if child.tag == tag)

    def find(self, *path: str) -> "Element | None":
        """The first element at a path below; None where there is none."""
        found: Element | None = self
        for tag in path:
            found = next(found.all(tag), None) if found else None
        return found

    def word(self, *path: str) -> str:
        """The text at a path below, without the blanks around it; empty where there is none."""
        found = self.find(*path)
        return found.text.strip() if found else ""


def read_xml(path: Path) -> Element:
    """Read an XML file.

    Raises:
        InputError: it cannot be read, is not XML, declares an entity, or nests too deep; with the line.
    """
    parser = expat.ParserCreate()
    document = Element("", 0)
    open_elements = [document]

    def refuse(*declared: object) -> NoReturn:
        raise InputError(
            f"{path}:{parser.CurrentLineNumber}: declares an XML entity, which is never expanded here; "
            "remove the DOCTYPE and write the text out"
        )

    def start(tag: str, _: dict[str, str]) -> None:
        if len(open_elements) > DEEPEST:
            raise InputError(f"{path}:{parser.CurrentLineNumber}: elements nest deeper than {DEEPEST}; no annotation")
        element = Element(tag, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_: str) -> None:
        open_elements.pop()

    def text(part: str) -> None:
        open_elements[-1].text += part

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.EntityDeclHandler = refuse
    parser.buffer_text = True
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise InputError(f"{path}:{error.lineno}: not valid XML: {expat.ErrorString(error.code)}") from error
    except (ValueError, LookupError) as error:  # an encoding that is not known
        raise InputError(f"{path}: not valid XML: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return document.children[0]
