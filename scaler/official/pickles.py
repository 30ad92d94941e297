"""Pickles read as plain data: an interpreter of the few opcodes that torch writes, in which nothing can run.

No class is looked up and no function called, as no name is ever resolved: an object is kept as a `Record` of the name
of its class, its arguments and its state. So a hostile file can at most be refused. Only names that belong to a
detector's file are let through, so that one which asks for others is told so.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ...blocks.errors import InputError

# First parts of the names that released checkpoints hold. Nothing of them is ever imported.
MODULES = ("models", "utils", "torch", "numpy", "collections", "pathlib", "argparse", "_codecs")
BUILTINS = ("set", "dict", "list", "tuple", "slice", "complex")  # of `builtins` or `__builtin__`
ORDERED = "collections.OrderedDict"
MARK = object()


@dataclass(frozen=True, slots=True)
class Name:
    """What a pickle would import."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, slots=True)
class Record:
    """An object that was never made: its class (or the function that would make it), arguments and state."""

    kind: Name
    args: tuple[Any, ...]
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Persistent:
    """What a pickle keeps outside itself, by its key: for torch, a storage."""

    key: Any


def read_pickle(data: bytes, where: str) -> Any:
    """The content of a pickle as numbers, strings, lists, tuples, dicts and `Record`s.

    Raises:
        InputError: it is damaged, asks for a name that no detector's file needs, or does what torch never writes.
    """
    return _Machine(where).run(data)


class _Machine:
    """A stack, a memo, and what each opcode does to them."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name == "STOP":
                    (result,) = self.stack
                    return result
                self._step(opcode.name, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise InputError(f"{self.where}: a damaged pickle: {error}") from error
        raise InputError(f"{self.where}: a damaged pickle: it has no end")

    def _step(self, opcode: str, argument: Any) -> None:
        if opcode in VALUES:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode]())
        elif opcode in STEPS:
            STEPS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME"):
            raise InputError(f"{self.where}: refused: the pickle holds {opcode}, which no detector's file needs")

    def upto_mark(self) -> list[Any]:
        """What stands above the last mark, which goes."""
        place = len(self.stack) - 1
        while self.stack[place] is not MARK:  # ends in an IndexError where there is none
            place -= 1
        place %= len(self.stack)
        found = self.stack[place + 1 :]
        del self.stack[place:]
        return found

    def top(self, count: int) -> tuple[Any, ...]:
        found = tuple(self.stack[len(self.stack) - count :])
        if len(found) < count or any(value is MARK for value in found):
            raise ValueError("an opcode finds too little before it")
        del self.stack[len(self.stack) - count :]
        return found

    def name(self, module: Any, name: Any) -> None:
        wanted = Name(_text(module), _text(name))
        builtin = wanted.module in ("builtins", "__builtin__")
        if not (wanted.name in BUILTINS if builtin else wanted.module.split(".")[0] in MODULES):
            raise InputError(f"{self.where}: refused: the pickle asks for {wanted}, which no detector's file needs")
        self.stack.append(wanted)

    def call(self, kind: Any, args: Any) -> None:
        if not isinstance(kind, Name) or not isinstance(args, tuple):
            raise ValueError(f"a call of {type(kind).__name__}")
        empty = str(kind) == ORDERED and not any(args)
        self.stack.append({} if empty else Record(kind, args))

    def build(self) -> None:
        made, state = self.top(2)
        if isinstance(made, Record):
            made.state = state
        elif not isinstance(made, dict):  # of an OrderedDict, attributes such as torch's `_metadata`, are left out
            raise ValueError(f"a state for {type(made).__name__}")
        self.stack.append(made)

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list | Record):
            raise ValueError(f"items for {type(target).__name__}")
        (target if isinstance(target, list) else target.items).extend(values)

    def put(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.items.extend(pairs)
            return
        if not isinstance(target, dict) or len(pairs) % 2:
            raise ValueError(f"keys for {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int | float | None):  # nothing whose hash would have to be worked out
                raise ValueError(f"a key that is a {type(key).__name__}")
            target[key] = value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a name that is a {type(value).__name__}")
    return value


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _set_top(kind: Callable[[list[Any]], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(kind(machine.upto_mark()))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(machine.top(count))


def _pairs(values: list[Any]) -> dict[Any, Any]:
    made = _Machine("")
    made.stack.append({})
    made.put(values)
    return made.stack[-1]


VALUES = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
)  # fmt: skip
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": list,
    "MARK": lambda: MARK,
}
STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.upto_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "LIST": _set_top(list),
    "TUPLE": _set_top(tuple),
    "FROZENSET": _set_top(list),
    "DICT": _set_top(_pairs),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": lambda machine, _: machine.append(list(machine.top(1))),
    "APPENDS": lambda machine, _: machine.append(machine.upto_mark()),
    "ADDITEMS": lambda machine, _: machine.append(machine.upto_mark()),
    "SETITEM": lambda machine, _: machine.put(list(machine.top(2))),
    "SETITEMS": lambda machine, _: machine.put(machine.upto_mark()),
    "MEMOIZE": _memoize,
    **dict.fromkeys(
        ("PUT", "BINPUT", "LONG_BINPUT"), lambda machine, key: machine.memo.update({int(key): machine.stack[-1]})
    ),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, key: machine.stack.append(machine.memo[int(key)])
    ),
    "GLOBAL": lambda machine, words: machine.name(*words.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.top(2)),
    "REDUCE": lambda machine, _: machine.call(*machine.top(2)),
    "NEWOBJ": lambda machine, _: machine.call(*machine.top(2)),
    "NEWOBJ_EX": lambda machine, _: machine.call(*machine.top(3)[:2]),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.stack.append(Persistent(*machine.top(1))),
}
