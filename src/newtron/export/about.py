"""What the reader of an exported file must know of the model: paragraphs for its head."""

from __future__ import annotations

from collections.abc import Sequence

from newtron.engine.base.version import __version__
from newtron.engine.base.words import clean, count, joined, listed
from newtron.engine.maths.losses import method_of
from newtron.export.program import NumberColumn, Outputs, RowVector, Source, TextColumn
from newtron.model.certified import certificate_of
from newtron.training.fitted import FittedModel


def paragraphs(model: FittedModel, columns: Sequence[Source], outputs: Outputs, landmarks: int) -> tuple[str, ...]:
    """What the model is, what it reads and gives, how its training ended, and what it makes of cells that are missing
    or new; each a paragraph without control characters. landmarks: how many rows of training the file
    holds."""
    found = [
        f"{_kind(model)}, trained and written by newtron {__version__}.",
        _reads(columns),
        _gives(model, outputs),
        " ".join(certificate_of(model).sentences()[:2]),
        *_cells(model, columns),
        *([_rows(landmarks)] if landmarks else []),
    ]
    if model.seen_rows is not None:
        found.append(
            f"It remembers {count(len(model.seen_rows.keys), 'row')} of training by hashes: a row that equals one of "
            "them in every column, to seven digits, is predicted from that one as well."
        )
    return tuple(map(clean, found))


def _kind(model: FittedModel) -> str:
    targets = model.data.targets
    what = f"{model.settings.task}{f' of {joined(targets)}' if targets else ''}"
    if model.is_perceptron:
        return f"A perceptron for {what}{method_of(model.loss)}"
    networks = [member.network for member in model.sharing]
    shapes = listed(list(dict.fromkeys("-".join(map(str, network.widths)) for network in networks)))
    units = f"{shapes} units, inputs to outputs; activation {networks[0].activation}"
    if len(networks) == 1:
        return f"A network for {what} ({units})"
    return f"An average of {len(networks)} networks for {what} ({units})"


def _rows(landmarks: int) -> str:
    return (
        f"This file holds {count(landmarks, 'row')} of training, without their targets: the landmarks, which a "
        "perceptron compares each row with."
    )


def _reads(columns: Sequence[Source]) -> str:
    if isinstance(columns[0], RowVector):
        return f"It reads rows of {count(columns[0].width, 'number')}, in the order of the columns of training."
    names = [column.name for column in columns if not isinstance(column, RowVector)]
    return f"It reads {count(len(names), 'column')}: {listed(names)}."


def _gives(model: FittedModel, outputs: Outputs) -> str:
    names = listed(outputs.names)
    if outputs.classes is not None:
        return f"It gives the probability of each class ({names}), and the most probable class."
    of = f" of {names}" if model.data.targets else ""
    ends = ""
    if outputs.coverage is not None:
        ends = f", and the ends of an interval that holds the target with probability {outputs.coverage:g}"
    exposed = "" if model.scaling.offset is None else ", for the exposure whose logarithm the offset is"
    return f"It gives the mean{of}{exposed}{ends}."


def _cells(model: FittedModel, columns: Sequence[Source]) -> list[str]:
    words = [column for column in columns if isinstance(column, TextColumn)]
    numbers = [column for column in columns if isinstance(column, NumberColumn)]
    schema = model.data.schema
    found = []
    filled = any(column.fill is not None for column in columns if not isinstance(column, TextColumn))
    if schema.missing == "error" if schema is not None else not filled:
        found.append("A missing cell makes the prediction missing.")
    else:
        marked = words or any(column.marked for column in numbers)
        also = ", and marked where training had missing cells too" if marked else ""
        found.append(f"Missing cells are filled in with the mean of training{also}.")
    if words:
        found.append(
            "Text is compared letter by letter, without blanks around it. A text that training never saw counts as "
            "(other) where training pooled rare levels, and else as the average row of its column."
        )
    for column in schema.columns if schema is not None else ():
        if column.reading is not None:
            text, value = column.reading.example
            found.append(f"In training {column.name} was text such as {text}; this file takes what it means, {value}.")
    if model.scaling.offset is not None and model.data.names is not None:
        found.append(f"The offset is {model.data.names[model.scaling.offset]}, the logarithm of the exposure.")
    return found
