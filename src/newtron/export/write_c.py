"""A program as one file of C99, which needs the mathematics library alone and allocates no memory.

Every step is an array on the stack; a step that is joined with others lies in the array of the whole. The numbers of
the model are constant arrays, which the compiler of a microcontroller leaves in flash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import clean, listed
from newtron.export.c_functions import C_FUNCTIONS
from newtron.export.program import (
    Affine,
    Apply,
    Arithmetic,
    At,
    Cells,
    Constant,
    Each,
    Fold,
    Joined,
    Lookup,
    NumberColumn,
    Operation,
    Program,
    ProgramStep,
    RadialBasis,
    Remembered,
    RowVector,
    Source,
    Term,
    TextColumn,
    leaves,
)
from newtron.export.text import Identifiers, comment_lines, formula, lines_of, literals, run_of

# Names that a member of a struct must not have: key words of C and C++, and what the headers and compilers define.
_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl complex const constexpr
const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
friend goto if imaginary inline int linux long mutable namespace new noexcept not not_eq nullptr operator or or_eq
private protected public register reinterpret_cast requires restrict return short signed sizeof static static_assert
static_cast struct switch template this thread_local throw true try typedef typeid typename typeof union unix unsigned
using virtual void volatile wchar_t while xor xor_eq infinity nan null huge_val huge_valf huge_vall i386 arm mips
sparc vax sun errno math_errno math_errexcept math_errhandling fp_nan fp_infinite fp_zero fp_subnormal fp_normal
fp_ilogb0 fp_ilogbnan
"""


@dataclass(frozen=True)
class _Field:
    """A member of the struct of a row: its column, its name, and the enumerators of its levels, where it has such:
    missing, unknown, then the levels."""

    column: NumberColumn | TextColumn
    name: str
    enumerators: tuple[str, ...] = ()


def _spelled(field: _Field) -> list[tuple[str, str]]:
    """The texts of a column that mean a level or a missing cell, each with its enumerator."""
    assert isinstance(field.column, TextColumn)
    return [
        (text, field.enumerators[level])
        for level, texts in enumerate([field.column.missing, (), *field.column.spellings])
        for text in texts
        if "\0" not in text  # no text of C holds that
    ]


def c_source(program: Program, prefix: str) -> str:
    """The program as a file of C99. prefix: what its names begin with, an identifier."""
    return _Writer(program, prefix).source()


class _Writer:
    def __init__(self, program: Program, prefix: str) -> None:
        self.program, self.prefix, self.real = program, prefix, f"{prefix}_real"
        self.fields = list(self._fields())
        self.fields_of = {id(field.column): field for field in self.fields}
        # Where each step lies: the name of an array, and the position of its first element there.
        self.places: dict[ProgramStep, tuple[str, int]] = {}
        self.arrays: list[tuple[str, int]] = []
        for step in program.steps:
            self._place(step)

    def _fields(self) -> Iterator[_Field]:
        members = Identifiers([*_KEYWORDS.split(), "row", "result", "real", "class", "classes", "spelling"])
        enumerators = Identifiers([f"{self.prefix}_H", f"{self.prefix}_REAL", f"{self.prefix}_DECLARATIONS"])
        for column in self.program.columns:
            if isinstance(column, RowVector):
                continue
            name = members.new(column.name)
            if isinstance(column, NumberColumn):
                yield _Field(column, name)
                continue
            levels = (f"{self.prefix}_{name}_{level}".upper() for level in ("missing", "unknown"))
            words = Identifiers()
            own = [f"{self.prefix}_{name}_{words.new(level, 'level')}".upper() for level in column.levels]
            yield _Field(column, name, tuple(map(enumerators.unlike, [*levels, *own])))

    def _place(self, step: ProgramStep) -> None:
        if isinstance(step.operation, Joined):
            # Its parts are computed before it: their arrays become parts of its own.
            start = 0
            for part in step.operation.parts:
                self._move(part, step.name, start)
                start += part.width
        self.places[step] = (step.name, 0)
        self.arrays.append((step.name, step.width))

    def _move(self, part: ProgramStep, array: str, start: int) -> None:
        own, first = self.places[part]
        for step, (name, at) in list(self.places.items()):
            if name == own:
                self.places[step] = (array, start + at - first)
        self.arrays = [(name, width) for name, width in self.arrays if name != own]

    # --- the parts of the file ---

    def source(self) -> str:
        functions = "\n".join(self._helpers())
        parts = [
            self._head(),
            self._declarations(),
            f"#ifndef {self.prefix.upper()}_DECLARATIONS\n",
            *self._headers(),
            *self._classes(),
            *self._constants(),
            *self._tables(),
            functions,
            *self._level_functions(),
            self._predict(),
            f"#endif /* {self.prefix.upper()}_DECLARATIONS */",
        ]
        return "\n".join(part for part in parts if part) + "\n"

    def _head(self) -> str:
        prefix, upper = self.prefix, self.prefix.upper()
        text = [
            *comment_lines([*self.program.about, *self._usage()]),
            "",
            f"    {prefix}_row row;",
            *(f"    {line}" for line in self._example()),
            f"    {prefix}_result result = {prefix}_predict(&row);",
            "",
            *comment_lines(
                [
                    "Compile it as C99 and link the mathematics library (-lm). Where another file includes this one "
                    f"for the declarations alone, define {upper}_DECLARATIONS before. Numbers are double; define "
                    f"{upper}_REAL as float for a processor that computes in single precision, to about 6 digits.",
                ]
            ),
        ]
        return "/*\n" + "\n".join(f" * {_comment(line)}".rstrip() for line in text) + "\n */"

    def _usage(self) -> list[str]:
        found = ["How to call it:"]
        if any(field.enumerators for field in self.fields):
            found.insert(
                0,
                "A missing number is NAN. A level is an enumerator, or what the function of its column makes of a "
                "text; NULL, the empty text and NA are missing.",
            )
        if self.program.dates:
            days = "days since 1970-01-01 in UTC, with the time of day as a fraction"
            found.insert(0, f"Dates ({listed(self.program.dates)}) are {days}.")
        return found

    def _example(self) -> list[str]:
        if not self.fields:
            return ["row.x[0] = 1.5;", "..."]
        lines = []
        for field in self.fields[:3]:
            value = f"{self.prefix}_{field.name}_of(text)" if field.enumerators else "1.5"
            lines.append(f"row.{field.name} = {value};")
        return lines if len(self.fields) <= len(lines) else [*lines, "..."]

    def _declarations(self) -> str:
        prefix, upper = self.prefix, self.prefix.upper()
        names, is_classes = self.program.outputs.names, self.program.outputs.classes is not None
        return "\n".join(
            [
                f"#ifndef {upper}_H",
                f"#define {upper}_H",
                "",
                f"#ifndef {upper}_REAL",
                f"#define {upper}_REAL double",
                "#endif",
                f"typedef {upper}_REAL {prefix}_real;",
                "",
                *self._enums(),
                *self._row(),
                *self._result(),
                "#ifdef __cplusplus",
                'extern "C" {',
                "#endif",
                *(
                    f"enum {prefix}_{f.name} {prefix}_{f.name}_of(const char *text);"
                    for f in self.fields
                    if f.enumerators
                ),
                *([f"extern const char *const {prefix}_classes[{len(names)}];"] if is_classes else []),
                f"{prefix}_result {prefix}_predict(const {prefix}_row *row);",
                "#ifdef __cplusplus",
                "}",
                "#endif",
                "",
                f"#endif /* {upper}_H */",
                "",
            ]
        )

    def _enums(self) -> Iterator[str]:
        for field in self.fields:
            if isinstance(field.column, TextColumn):
                yield f"/* {_comment(field.column.name)} */"
                yield f"enum {self.prefix}_{field.name} {{"
                notes = ["", "a text that training never saw", *map(_comment, field.column.levels)]
                for enumerator, note in zip(field.enumerators, notes, strict=True):
                    comma = "" if enumerator == field.enumerators[-1] else ","
                    yield f"    {enumerator}{comma}{f' /* {note} */' if note else ''}"
                yield "};\n"

    def _row(self) -> Iterator[str]:
        yield "/* One row, as the model reads it. */"
        yield "typedef struct {"
        vector = self.program.columns[0]
        if isinstance(vector, RowVector):
            yield f"    {self.real} x[{vector.width}];"
        for field in self.fields:
            if field.enumerators:
                yield f"    enum {self.prefix}_{field.name} {field.name}; /* {_comment(field.column.name)} */"
            else:
                days = (
                    ", days since 1970-01-01" if isinstance(field.column, NumberColumn) and field.column.is_date else ""
                )
                yield f"    {self.real} {field.name}; /* {_comment(field.column.name)}{days} */"
        yield f"}} {self.prefix}_row;\n"

    def _result(self) -> Iterator[str]:
        outputs = self.program.outputs
        names = Identifiers()
        yield "/* What the model predicts. */"
        if outputs.classes is not None:
            yield f"enum {self.prefix}_class {{"
            own = Identifiers(word for field in self.fields for word in field.enumerators)
            words = [own.unlike(f"{self.prefix}_class_{names.new(name, 'level')}".upper()) for name in outputs.names]
            for word, name in zip(words, outputs.names, strict=True):
                yield f"    {word}{'' if word == words[-1] else ','} /* {_comment(name)} */"
            yield "};"
        yield "typedef struct {"
        if outputs.classes is not None:
            yield f"    int label; /* the most probable class: enum {self.prefix}_class; -1 where the row has NAN */"
            yield f"    {self.real} probability[{outputs.predicted.width}]; /* of each class */"
        else:
            for name, step in self._means():
                of = f"; /* {_comment(', '.join(outputs.names))} */" if step.width > 1 else ";"
                yield f"    {self.real} {name}{f'[{step.width}]' if step.width > 1 else ''}{of}"
        yield f"}} {self.prefix}_result;\n"

    def _means(self) -> Iterator[tuple[str, ProgramStep]]:
        outputs = self.program.outputs
        yield "prediction", outputs.predicted
        if outputs.lower is not None and outputs.upper is not None:
            yield "lower", outputs.lower
            yield "upper", outputs.upper

    def _headers(self) -> Iterator[str]:
        of_words = "#include <stdint.h>\n#include <string.h>\n" if self.program.words else ""
        yield f"{of_words}#include <tgmath.h>\n"

    def _classes(self) -> Iterator[str]:
        names = self.program.outputs.names
        if self.program.outputs.classes is not None:
            texts = ",\n".join(f"    {_string(name)}" for name in names)
            yield f"const char *const {self.prefix}_classes[{len(names)}] = {{\n{texts}\n}};"

    def _constants(self) -> Iterator[str]:
        for constant in self.program.constants:
            yield self._array(constant.name, constant.values)
        for words in self.program.words:
            numbers = lines_of([f"UINT64_C({number:#x})" for number in words.values.tolist()])
            yield f"static const uint64_t {self.prefix}_{words.name}[{words.values.size}] = {{\n{numbers}\n}};"
        for name, places in self._position_tables():
            yield f"static const int {self.prefix}_{name}[{len(places)}] = {{\n{lines_of(places)}\n}};"

    def _array(self, name: str, values: Array) -> str:
        shape = " x ".join(map(str, values.shape))
        note = f" /* {shape} */" if values.ndim > 1 else ""
        head = f"static const {self.real} {self.prefix}_{name}[{values.size}] ="
        return f"{head} {{{note}\n{lines_of(literals(values, 'NAN'))}\n}};"

    def _position_tables(self) -> Iterator[tuple[str, list[str]]]:
        for step in self.program.steps:
            if isinstance(step.operation, Each):
                for at in leaves(step.operation.term):
                    if isinstance(at, At) and at.positions is not None and run_of(at) is None:
                        yield f"{step.name}_of", list(map(str, at.positions.tolist()))

    def _tables(self) -> Iterator[str]:
        """The elements of each level, in the order of the enumerators, and the spellings of the levels."""
        if any(field.enumerators for field in self.fields):
            yield f"typedef struct {{ const char *text; int level; }} {self.prefix}_spelling;"
        for field in self.fields:
            if isinstance(field.column, TextColumn):
                patterns = np.vstack([field.column.patterns[:-3:-1], field.column.patterns[:-2]])
                yield self._array(f"{field.name}_patterns", patterns)
                rows = [f"    {{{_string(text)}, {word}}}" for text, word in _spelled(field)]
                name = f"{self.prefix}_{field.name}_spellings"
                yield f"static const {self.prefix}_spelling {name}[{len(rows)}] = {{\n" + ",\n".join(rows) + "\n};"

    def _helpers(self) -> Iterator[str]:
        used = set()
        for step in self.program.steps:
            if isinstance(step.operation, Affine):
                used.add("layer")
            if isinstance(step.operation, RadialBasis):
                used.add("radial")
            if isinstance(step.operation, Lookup):
                used.add("lookup")
            if isinstance(step.operation, Remembered):
                used.add("remembered")
            if isinstance(step.operation, Each):
                used |= {name for name in _functions(step.operation.term)}
        if any(field.enumerators for field in self.fields):
            used |= {"cells", "level"}
        for word, text in C_FUNCTIONS.items():
            if word in used:
                yield text.replace("@", self.prefix)

    def _of(self, field: _Field) -> str:
        """The head of the function from a text to a level."""
        return f"enum {self.prefix}_{field.name} {self.prefix}_{field.name}_of(const char *text)"

    def _level_functions(self) -> Iterator[str]:
        for field in self.fields:
            if isinstance(field.column, TextColumn):
                table = f"{self.prefix}_{field.name}_spellings"
                n = len(_spelled(field))
                call = f"{self.prefix}_level({table}, {n}, {int(field.column.any_case)}, text)"
                yield f"{self._of(field)}\n{{\n    return (enum {self.prefix}_{field.name}){call};\n}}\n"

    def _predict(self) -> str:
        prefix = self.prefix
        lines = [f"{prefix}_result {prefix}_predict(const {prefix}_row *row)", "{", f"    {prefix}_result result;"]
        lines += [f"    {self.real} {name}[{width}];" for name, width in self.arrays]
        body = [line for step in self.program.steps for line in self._statements(step, step.operation)]
        body += ["", *self._given_out()]
        lines += ["    int i;"] if any("for (i" in line for line in body) else []
        return "\n".join([*lines, "", *(f"    {line}".rstrip() for line in body), "    return result;", "}", ""])

    def _given_out(self) -> list[str]:
        outputs = self.program.outputs
        if outputs.decides is not None:
            return self._label(outputs.decides, outputs.predicted)
        lines = []
        for name, step in self._means():
            if step.width == 1:
                lines.append(f"result.{name} = {self._element(step, '0')};")
            else:
                loop = f"for (i = 0; i < {step.width}; i++)"
                lines += [loop, f"    result.{name}[i] = {self._element(step, 'i')};"]
        return lines

    def _label(self, decides: ProgramStep, predicted: ProgramStep) -> list[str]:
        first, other, best = (self._element(decides, at) for at in ("0", "i", "result.label"))
        return [
            f"result.label = {first} == {first} ? 0 : -1;",
            f"for (i = 0; i < {decides.width}; i++) {{",
            f"    if (result.label >= 0 && {other} > {best})",
            "        result.label = i;",
            f"    result.probability[i] = {self._element(predicted, 'i')};",
            "}",
        ]

    # --- steps ---

    def _statements(self, step: ProgramStep, operation: Operation) -> list[str]:
        note = f"/* {_comment(step.note)} */" if step.note else ""
        match operation:
            case Cells(column):
                return self._cells(step, column)
            case Joined():
                return []
            case Affine(of, W, b):
                intercepts = f"{self.prefix}_{b.name}" if b is not None else "0"
                call = f"{self._start(of)}, {of.width}, {self.prefix}_{W.name}, {intercepts}, {step.width}"
                return [f"{self.prefix}_layer({call}, {self._start(step)}); {note}".rstrip()]
            case RadialBasis(of, points, rate, W, b):
                n = len(points.values)
                near = f"{self._start(of)}, {of.width}, {self.prefix}_{points.name}, {self.prefix}_{rate.name}, {n}"
                layer = f"{self.prefix}_{W.name}, {self.prefix}_{b.name}, {step.width}"
                return [f"{self.prefix}_radial({near}, {layer}, {self._start(step)}); {note}".rstrip()]
            case Lookup(of, position, keys, values):
                table = f"{self.prefix}_{keys.name}, {keys.values.size}, {self.prefix}_{values.name}, {step.width}"
                x = self._element(of, str(position))
                return [f"{self.prefix}_lookup({x}, {table}, {self._start(step)}); {note}".rstrip()]
            case Remembered(of, factors, words, values):
                row = f"{self._start(of)}, {of.width}, {self.prefix}_{factors.name}"
                table = f"{self.prefix}_{words.name}, {words.values.size}, {self.prefix}_{values.name}, {step.width}"
                return [f"{self.prefix}_remembered({row}, {table}, {self._start(step)}); {note}".rstrip()]
            case Each(term):
                target = self._element(step, "i")
                return [
                    f"for (i = 0; i < {step.width}; i++) {note}".rstrip(),
                    f"    {target} = {self._term(step, term)};",
                ]
            case Fold(kind, of):
                target, other = self._element(step, "0"), self._element(of, "i")
                if kind == "sum":
                    return [f"{target} = 0;", f"for (i = 0; i < {of.width}; i++)", f"    {target} += {other};"]
                return [
                    f"{target} = {self._element(of, '0')};",
                    f"for (i = 1; i < {of.width}; i++)",
                    f"    if ({other} > {target})",
                    f"        {target} = {other};",
                ]

    def _cells(self, step: ProgramStep, column: Source) -> list[str]:
        if isinstance(column, RowVector):
            known, fill = "row->x[i] == row->x[i] ? row->x[i]", column.fill
            cell = "row->x[i]" if fill is None else f"{known} : {self.prefix}_{fill.name}[i]"
            return [f"for (i = 0; i < {step.width}; i++)", f"    {self._element(step, 'i')} = {cell};"]
        field = self.fields_of[id(column)]
        cell = f"row->{field.name}"
        if isinstance(column, TextColumn):
            n, width = len(field.enumerators), step.width
            call = f"{self.prefix}_{field.name}_patterns, {n}, {width}, (int){cell}, {self._start(step)}"
            return [f"{self.prefix}_cells({call});"]
        if column.fill is None:
            return [f"{self._element(step, '0')} = {cell};"]
        lines = [f"{self._element(step, '0')} = {cell} == {cell} ? {cell} : ({self.real}){column.fill!r};"]
        return [*lines, f"{self._element(step, '1')} = {cell} != {cell};"] if column.marked else lines

    def _start(self, step: ProgramStep) -> str:
        name, first = self.places[step]
        return f"{name} + {first}" if first else name

    def _element(self, step: ProgramStep, at: str) -> str:
        name, first = self.places[step]
        if not first:
            return f"{name}[{at}]"
        return f"{name}[{int(at) + first}]" if at.isdigit() else f"{name}[{at} + {first}]"

    def _term(self, step: ProgramStep, term: Term) -> str:
        def leaf(of: At | Constant | float) -> str:
            match of:
                case At():
                    return self._at(step, of)
                case Constant(name, values):
                    return f"{self.prefix}_{name}[{'0' if values.size == 1 else 'i'}]"
                case _:
                    return f"({self.real}){of!r}"

        def call(function: str, arguments: list[str]) -> str:
            own = {"power": "pow"}.get(function, f"{self.prefix}_{function}" if function in C_FUNCTIONS else function)
            return f"{own}({', '.join(arguments)})"

        return formula(term, leaf, call)

    def _at(self, step: ProgramStep, at: At) -> str:
        start = run_of(at)
        if at.width == 1:
            return self._element(at.step, str(start))
        place = f"{self.prefix}_{step.name}_of[i]" if start is None else f"i + {start}" if start else "i"
        return self._element(at.step, place)


def _functions(term: Term) -> Iterator[str]:
    match term:
        case Apply(function, of):
            yield function
            yield from _functions(of)
        case Arithmetic(left=left, right=right):
            yield from _functions(left)
            yield from _functions(right)


def _string(text: str) -> str:
    """A text as a literal of C, in UTF-8."""
    plain = {ord('"'): '\\"', ord("\\"): "\\\\", ord("?"): "\\?"}
    written = [plain.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in text.encode("utf-8")]
    return f'"{"".join(written)}"'


def _comment(text: str) -> str:
    """A text as it may stand in a comment: it cannot end it, nor begin another."""
    return clean(text).replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")
