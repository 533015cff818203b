"""TypeScript declarations of the page's messages, from the typed dictionaries of `newtron.play.messages`.

`web/types/messages.d.ts` is the output of:  PYTHONPATH=src:tests python -m support.typescript
"""

from __future__ import annotations

import types
from typing import NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from newtron.play import messages

_NAMES: dict[object, str] = {str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def declarations() -> str:
    """The text of the file: one interface for each typed dictionary, with its docstring."""
    kept = [value for value in vars(messages).values() if is_typeddict(value)]
    head = "// Made from newtron.play.messages by tests/support/typescript.py; a test holds the two together.\n"
    return head + "".join(f"\n{_interface(one)}" for one in kept)


def required_keys(one: type) -> set[str]:
    """The keys that must be there. `__required_keys__` does not know it where annotations are text."""
    if not vars(one)["__total__"]:
        return set()
    hints = get_type_hints(one, include_extras=True)
    return {name for name, hint in hints.items() if get_origin(hint) is not NotRequired}


def _interface(one: type) -> str:
    required = required_keys(one)
    hints = get_type_hints(one).items()
    fields = [f"  {name}{'' if name in required else '?'}: {_type(hint)};" for name, hint in hints]
    lines = [f"export interface {one.__name__} {{", *fields, "}\n"]
    documented = vars(one).get("__doc__")
    text = " ".join(documented.split()) if documented else ""
    return (f"/** {text} */\n" if text else "") + "\n".join(lines)


def _type(hint: object) -> str:
    if is_typeddict(hint):
        return str(getattr(hint, "__name__", ""))
    origin, parts = get_origin(hint), get_args(hint)
    if origin is list:
        inner = _type(parts[0])
        return f"({inner})[]" if get_origin(parts[0]) in (Union, types.UnionType) else f"{inner}[]"
    if origin is tuple:
        return f"[{', '.join(map(_type, parts))}]"
    if origin in (Union, types.UnionType):
        return " | ".join(map(_type, parts))
    return _NAMES[hint]


if __name__ == "__main__":
    print(declarations(), end="")
