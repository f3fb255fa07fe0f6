"""A pickle reader that cannot run anything.

Python's own ``Unpickler`` with a restricted ``find_class`` still calls what it admits, hashes what
the file asks for and allocates what the file announces. This reader is a small stack machine for
the binary instructions that ``torch.save`` and NVIDIA's snapshots consist of: it imports nothing, never
calls an object from the file, and every length is checked against the bytes that are left. Names in
the file become :class:`Symbol`, constructor calls become plain records (see :mod:`.records`).
Instruction set: the documentation of Python's ``pickletools``.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable
from typing import Any, cast

from ...errors import UserError
from .records import (
    BUILDERS,
    INERT_NAMES,
    NEW_OBJECTS,
    Dtype,
    Instance,
    Opaque,
    Symbol,
    harmless,
)

__all__ = ["read_pickle"]

MAX_STEPS = 200_000  # NVIDIA's largest snapshots take 40,000 instructions
MAX_STEPS_OF_TRAINING = 4_000_000  # a checkpoint may keep a million losses beside its weights
MAX_BUILT = 1 << 27  # bytes that constructor calls may make beyond the file's own length
_ITEM = 64  # bytes an item of a tuple, set or dict takes, about
_SMALL = 1 << 12  # shorter byte strings are copied, longer ones stay views of the file
_MARK = object()
_KEYS = (str, int, bytes, type(None))


def read_pickle(
    data: memoryview,
    start: int = 0,
    *,
    source: str,
    storage: Callable[[Any], Any] | None = None,
    training: bool = False,
) -> tuple[Any, int]:
    """Read one pickle as plain data.

    Args:
        data: the bytes; long byte strings in the result are views of them.
        start: where the pickle begins.
        source: the file's name, for the error sentence.
        storage: turns a persistent id (``torch.save``'s way to point at storages) into a record;
            None refuses persistent ids.
        training: the file may be a training checkpoint of any network: objects of classes that are not
            known become :class:`.records.Instance`, without being looked up, instead of a refusal.

    Returns:
        The value, made of ``None``, ``bool``, ``int``, ``float``, ``str``, ``bytes`` or
        ``memoryview``, ``list``, ``tuple``, ``dict``, ``set`` and the records, and the
        offset behind the pickle.

    Raises:
        UserError: the pickle names or does anything beyond plain data, or ends too early.
    """
    return _Machine(data, start, source, storage, training).run()


class _Machine:
    """One run over one pickle: the stack, the memo and the position."""

    def __init__(
        self,
        data: memoryview,
        start: int,
        source: str,
        storage: Callable[[Any], Any] | None,
        training: bool,
    ) -> None:
        self.data, self.position, self.source, self.storage = data, start, source, storage
        self.training = training
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.built = 0

    def run(self) -> tuple[Any, int]:
        most = MAX_STEPS_OF_TRAINING if self.training else MAX_STEPS
        for _ in range(most):
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                return self.pop(), self.position
            step = _STEPS.get(code)
            if step is None:
                raise self.refuse(f"uses the pickle instruction {_instruction(code)}")
            step(self)
        raise self.refuse(f"has more than {most} pickle instructions")

    def refuse(self, what: str) -> UserError:
        return UserError(
            f"{self.source}: refused because it {what}, which no generator checkpoint needs; "
            "nothing of it was run."
        )

    def damaged(self) -> UserError:
        return UserError(
            f"{self.source}: truncated or damaged (its pickle stops making sense at byte "
            f"{self.position}); fetch or export it again."
        )

    # -- reading ---------------------------------------------------------------------------------

    def take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise self.damaged()
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, layout: str) -> Any:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        limit = bytes(self.data[self.position : self.position + 256])
        text, newline, _ = limit.partition(b"\n")
        if not newline:
            raise self.damaged()
        self.position += len(text) + 1
        return text.decode("utf-8", "replace")

    def text(self, count: int) -> None:
        try:
            self.stack.append(str(self.take(count), "utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise self.damaged() from None

    def binary(self, count: int) -> None:
        piece = self.take(count)
        self.stack.append(bytes(piece) if count <= _SMALL else piece)

    # -- the stack -------------------------------------------------------------------------------

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged()
        return self.stack.pop()

    def top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            raise self.damaged()
        return self.stack[-1]

    def since_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise self.damaged()

    def tuple(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count or _MARK in items:
            raise self.damaged()
        self.stack[-count:] = [items]

    def key(self, value: Any) -> Any:
        # Hashing nested tuples can take for ever; hashing huge integers can be made to collide.
        if not isinstance(value, _KEYS) or (isinstance(value, int) and abs(value) >> 31):
            if self.training:  # old optimizers key their state by addresses; a name will do
                return f"{type(value).__name__} at {self.position}"
            raise self.refuse(f"uses a {type(value).__name__} as a key")
        return value

    def store(self, index: int) -> None:
        if not self.stack or self.stack[-1] is _MARK:
            raise self.damaged()
        self.memo[index] = self.stack[-1]

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged()
        self.stack.append(self.memo[index])

    def append_all(self, items: list[Any]) -> None:
        if self.stack and type(self.stack[-1]) is Instance:  # of a class that extends list
            return
        self.top(list).extend(items)

    def set_all(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise self.damaged()
        made = self.stack and type(self.stack[-1]) is Instance
        target = self.stack[-1].items if made else self.top(dict)
        for i in range(0, len(items), 2):
            target[self.key(items[i])] = items[i + 1]

    def set_one(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_all([key, value])

    def add_all(self, items: list[Any]) -> None:
        self.top(set).update([self.key(i) for i in items])

    def as_dict(self) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_all(items)

    # -- names and constructors ------------------------------------------------------------------

    def admit(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.damaged()
        symbol = Symbol(module, name)
        known = symbol in BUILDERS or symbol in NEW_OBJECTS or symbol in INERT_NAMES
        if not known and not (self.training and harmless(symbol)):
            raise self.refuse(f"asks for {_printable(f'{module}.{name}')}")
        self.stack.append(symbol)

    def global_lines(self) -> None:
        module = self.line()
        self.admit(module, self.line())

    def global_from_stack(self) -> None:
        name = self.pop()
        self.admit(self.pop(), name)

    def call(self, table: dict[Symbol, Callable[..., Any]]) -> None:
        arguments, function = self.pop(), self.pop()
        if self.training and isinstance(function, Symbol) and function not in table:
            self.instance(function)
            return
        if not isinstance(function, Symbol) or function not in table:
            what = f"{function.module}.{function.name}" if isinstance(function, Symbol) else None
            raise self.refuse(f"calls {_printable(what or type(function).__name__)}")
        if type(arguments) is not tuple:
            raise self.damaged()
        self.charge(arguments)
        try:
            self.stack.append(table[function](*arguments))
        except (TypeError, ValueError, struct.error, LookupError):
            raise UserError(
                f"{self.source}: damaged or forged: the arguments of {function.module}."
                f"{function.name} are not what that constructor takes; fetch or export it again."
            ) from None

    def instance(self, symbol: Symbol) -> None:
        self.charge(([None] * 4,))
        self.stack.append(Instance(f"{symbol.module}.{symbol.name}"))

    def new_with_names(self) -> None:
        self.pop()
        self.call(NEW_OBJECTS)

    def charge(self, arguments: Any) -> None:
        # Constructors copy what they are given: one long list, recalled often, would fill memory.
        for value in arguments:
            if isinstance(value, (list, tuple)):
                self.built += _ITEM * len(value)
            elif isinstance(value, str):
                self.built += len(value)
        if self.built > MAX_BUILT + len(self.data):
            raise self.refuse("copies its contents over and over until memory is full")

    def build(self) -> None:
        state = self.pop()
        target = self.stack[-1] if self.stack else None
        if isinstance(target, Dtype | Instance):
            target.set_state(state)
        elif type(target) not in (dict, Opaque):
            raise self.refuse(f"sets the state of a {type(target).__name__}")

    def inst(self) -> None:
        module = self.line()
        self.admit(module, self.line())
        raise self.refuse("uses the pickle instruction INST")

    def persistent(self) -> None:
        pid = self.pop()
        if self.storage is None:
            raise self.refuse("points at data outside the pickle")
        self.stack.append(self.storage(pid))


def _instruction(code: int) -> str:
    known = {op.code: op for op in pickletools.opcodes}.get(chr(code))
    return known.name if known else f"number {code}"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:80])


def _push(value: Any) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(value)


def _number(layout: str) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(m.number(layout))


def _long(layout: str) -> Callable[[_Machine], None]:
    return lambda m: m.stack.append(
        int.from_bytes(m.take(min(m.number(layout), 1 << 20)), "little", signed=True)
    )


_STEPS: dict[int, Callable[[_Machine], Any]] = {
    ord(code): cast(Callable[[_Machine], Any], step)
    for code, step in {
        "\x80": lambda m: m.take(1),  # PROTO
        "\x95": lambda m: m.take(8),  # FRAME
        "(": lambda m: m.stack.append(_MARK),
        "0": lambda m: m.stack.pop() if m.stack else m.take(-1),  # POP
        "1": lambda m: m.since_mark(),  # POP_MARK
        "N": _push(None),
        "\x88": _push(True),
        "\x89": _push(False),
        "J": _number("<i"),
        "K": _number("<B"),
        "M": _number("<H"),
        "G": _number(">d"),
        "\x8a": _long("<B"),
        "\x8b": _long("<i"),
        "X": lambda m: m.text(m.number("<I")),
        "\x8c": lambda m: m.text(m.number("<B")),
        "\x8d": lambda m: m.text(m.number("<Q")),
        "T": lambda m: m.text(m.number("<i")),  # texts of Python 2
        "U": lambda m: m.text(m.number("<B")),
        "B": lambda m: m.binary(m.number("<I")),
        "C": lambda m: m.binary(m.number("<B")),
        "\x8e": lambda m: m.binary(m.number("<Q")),
        ")": _push(()),
        "\x85": lambda m: m.tuple(1),
        "\x86": lambda m: m.tuple(2),
        "\x87": lambda m: m.tuple(3),
        "t": lambda m: m.stack.append(tuple(m.since_mark())),
        "]": lambda m: m.stack.append([]),
        "l": lambda m: m.stack.append(m.since_mark()),
        "a": lambda m: m.append_all([m.pop()]),
        "e": lambda m: m.append_all(m.since_mark()),
        "}": lambda m: m.stack.append({}),
        "d": lambda m: m.as_dict(),
        "s": lambda m: m.set_one(),
        "u": lambda m: m.set_all(m.since_mark()),
        "\x8f": lambda m: m.stack.append(set()),
        "\x91": lambda m: m.stack.append(set(map(m.key, m.since_mark()))),
        "\x90": lambda m: m.add_all(m.since_mark()),
        "q": lambda m: m.store(m.number("<B")),
        "r": lambda m: m.store(m.number("<I")),
        "\x94": lambda m: m.store(len(m.memo)),
        "h": lambda m: m.recall(m.number("<B")),
        "j": lambda m: m.recall(m.number("<I")),
        "c": lambda m: m.global_lines(),
        "\x93": lambda m: m.global_from_stack(),
        "R": lambda m: m.call(BUILDERS),
        "\x81": lambda m: m.call(NEW_OBJECTS),
        "\x92": lambda m: m.new_with_names(),
        "b": lambda m: m.build(),
        "i": lambda m: m.inst(),
        "Q": lambda m: m.persistent(),
    }.items()
}
