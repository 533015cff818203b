"""What can be typed on the command line. It needs only the standard library, so that help appears at once."""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import newtron
from newtron.engine.base.words import command as as_code

_RULES = ("evidence", "loo", "cv")
_FILE = "CSV, Parquet, Arrow, Excel or ODS file; - is standard input"
_ACTIVATIONS = ("tanh", "sigmoid", "relu", "softplus", "identity")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """End with one sentence, as all errors do, instead of the whole usage."""
        self.exit(2, f"newtron: {message}; see '{self.prog} --help'.\n")


def parse(arguments: Sequence[str]) -> tuple[str, dict[str, object]] | None:
    """The command that was typed and its arguments by name; `options` alone where there are many. Without arguments it
    prints the help and returns None. It ends by SystemExit where help was asked for or an option is wrong."""
    parser = build_parser()
    found = vars(parser.parse_args(arguments))
    command = found.pop("command")
    if command is None:
        parser.print_help(sys.stdout)
        return None
    if command not in ("fit", "predict"):
        return command, found
    from newtron.cli import options  # dataclasses take longer to import than the help takes to print

    if command == "fit":
        shapes = found.get("hidden", ())
        if len(shapes) == 1:
            found["hidden"] = shapes[0]
        return command, {"options": options.FitCommand(**found, typed=as_code(["newtron", *arguments]))}
    return command, {"options": options.PredictOptions(**found)}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands, of which docs/commands.rst is made too."""
    parser = _Parser(
        prog="newtron",
        description="Train perceptrons and small neural networks on tabular data, to an optimum.",
        epilog="Example: newtron fit data.csv --target price",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"newtron {newtron.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _add_fit(commands)
    predict = commands.add_parser(
        "predict",
        help="predict the rows of a file",
        description="Predict the rows of a file and write CSV with one line per row, in the same order.",
        allow_abbrev=False,
    )
    predict.add_argument("model", metavar="MODEL", help="model file that 'newtron fit' wrote")
    _add_data(predict)
    predict.add_argument(
        "--interval",
        type=_coverage,
        metavar="COVERAGE",
        help="for a regression: also write the columns lower and upper, an interval that contains the target with this "
        "probability, such as 0.9",
    )
    predict.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="COLUMN[,COLUMN]",
        help="write these columns of the file beside each prediction, cell by cell as they are; all for every column",
    )
    predict.add_argument("--output", metavar="FILE", help="write here (default: standard output)")
    predict.add_argument(
        "--safe-for-spreadsheets",
        action="store_true",
        help="write an apostrophe in front of classes and kept cells that a spreadsheet would take for formulas",
    )
    _add_memory(predict)
    _add_file(predict, default="utf-8")
    _add_explain(commands)
    show = commands.add_parser(
        "show",
        help="describe a model",
        description="Describe a model: its settings and coefficients, how training ended and what it was compared "
        "with.",
        allow_abbrev=False,
    )
    show.add_argument("path", metavar="MODEL", help="model file")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    _add_play(commands)
    _add_export(commands)
    return parser


def _add_memory(parser: argparse._ActionsContainer) -> None:
    words = "files whose cells take more are read in pieces, within this memory (default: 1GB)"
    parser.add_argument("--memory", type=_size, default="1GB", metavar="SIZE", help=words)
    parser.add_argument("--scratch", metavar="FOLDER", help="folder for the copy of a CSV file larger than --memory")


def _add_data(parser: argparse.ArgumentParser) -> None:
    words = "or a folder or a pattern of CSV or Parquet files, in quotation marks: 'data/*.csv'"
    parser.add_argument("data", metavar="DATA", help=f"{_FILE}; {words}")
    parser.add_argument("more", metavar="MORE", nargs="*", default=(), help="more CSV files with the same columns")


def _add_file(parser: argparse.ArgumentParser, default: str = argparse.SUPPRESS) -> None:
    words = "encoding of a text file (default: utf-8)"
    parser.add_argument("--encoding", default=default, metavar="NAME", help=words)
    parser.add_argument("--sheet", metavar="NAME", help="sheet of a workbook (default: the first that is not empty)")


def _add_play(commands: argparse._SubParsersAction[_Parser]) -> None:
    play = commands.add_parser(
        "play",
        help="see and steer every derivative, in the browser",
        description="Open a page, on this machine only, that shows a model's data, loss, steps and every derivative, "
        "on examples or on your own file.",
        allow_abbrev=False,
    )
    play.add_argument("data", metavar="DATA", nargs="?", help=f"{_FILE} (default: an example)")
    play.add_argument("--target", metavar="COLUMN", help="column to predict (default: the last)")
    play.add_argument("--port", type=_port, default=0, metavar="N", help="port of the page (default: any free one)")
    play.add_argument("--lesson", metavar="N", help="begin with a lesson, 1 to 10, or with its step: 6/2")
    play.add_argument("--no-browser", action="store_true", help="only print the address")
    _add_file(play, default="utf-8")


def _add_export(commands: argparse._SubParsersAction[_Parser]) -> None:
    export = commands.add_parser(
        "export",
        help="write a model as ONNX, C, SQL or Python with NumPy",
        description="Write a model for a system that has no newtron, in the language that the ending of the file "
        "tells: .onnx, .c, .sql or .py (Python with NumPy alone).",
        allow_abbrev=False,
    )
    export.add_argument("model", metavar="MODEL", help="model file that 'newtron fit' wrote")
    export.add_argument("file", metavar="FILE", help="file to write: *.onnx, *.c, *.sql or *.py")
    export.add_argument(
        "--interval",
        type=_coverage,
        metavar="COVERAGE",
        help="of a perceptron for a number: also the ends of an interval that contains the target with this "
        "probability, such as 0.9",
    )
    export.add_argument("--table", metavar="NAME", help="for SQL: name of the table to predict (default: data)")
    export.add_argument(
        "--keep",
        nargs="+",
        action="extend",
        metavar="COLUMN",
        help="for SQL: columns to give out beside the predictions (default: those that the model reads)",
    )


def _add_fit(commands: argparse._SubParsersAction[_Parser]) -> None:
    fit = commands.add_parser(
        "fit",
        # DATA comes first, because after --ignore it would be taken for one more column.
        usage="newtron fit DATA --target COLUMN [options]",
        help="train a perceptron and a network, compare them, write the better",
        description="Train a perceptron and a network on a file, compare them on rows that were held out, "
        "and write the better one, trained again on all rows.",
        allow_abbrev=False,
        # What was not typed has the default of FitCommand.
        argument_default=argparse.SUPPRESS,
    )
    _add_data(fit)
    formula = 'column to predict, or a formula: "y ~ a + log(b)"'
    fit.add_argument("--target", required=True, metavar="COLUMN", help=formula)
    fit.add_argument("--output", metavar="FILE", help="model file (default: model.newtron)")
    fit.add_argument("--ignore", nargs="+", action="extend", metavar="COLUMN", help="columns not to use")
    _add_columns(fit)
    fit.add_argument("--task", choices=("regression", "classification"), help="default: decided by the target")
    _add_file(fit)
    model = fit.add_argument_group("models")
    model.add_argument("--model", choices=("perceptron", "network", "auto"), help="default: auto, both")
    model.add_argument(
        "--hidden",
        type=_shape,
        action="append",
        metavar="UNITS",
        help="units of the hidden layers, as in 20 or 10,10; again for one more shape (default: auto, a mix of small "
        "ones)",
    )
    model.add_argument("--activation", choices=_ACTIVATIONS, help="activation of the hidden units (default: tanh)")
    model.add_argument(
        "--alpha",
        type=_penalty,
        metavar="STRENGTH",
        help="strength of the penalty on weights, or a rule that chooses it from the data: cv, evidence or loo "
        "(default: none for a perceptron; cv, rows left out in folds, for a network)",
    )
    model.add_argument(
        "--penalty",
        choices=("l2", "firth"),
        help="penalty of a perceptron for classes: l2, of strength --alpha, or Firth's likelihood, which keeps "
        "coefficients finite where classes are separated (default: l2)",
    )
    model.add_argument(
        "--loss",
        choices=("squared_error", "poisson"),
        help="of a target that is a number; poisson is for counts (default: squared_error; classes have the log loss)",
    )
    _add_special_columns(model)
    _add_effort(model)
    _add_work(fit)
    _add_output(fit)


def _add_special_columns(model: argparse._ArgumentGroup) -> None:
    model.add_argument(
        "--offset",
        metavar="COLUMN",
        help="of counts, the column that is the logarithm of their exposure and has no coefficient",
    )
    model.add_argument(
        "--intercepts",
        action="append",
        metavar="COLUMNS",
        help="columns whose values group rows and have a random intercept each; none; or auto: those of a network that "
        "predict rows left out better (default: auto)",
    )


def _add_effort(model: argparse._ArgumentGroup) -> None:
    model.add_argument(
        "--effort",
        choices=("fast", "default", "best"),
        help="how much time is spent on the network; it is told beforehand, with that of fast (default: default)",
    )
    model.add_argument(
        "--starts",
        type=_count,
        metavar="N",
        help="random starts of each shape, above 3,000 rows the members of each kind (default: by --effort)",
    )


def _add_columns(fit: argparse.ArgumentParser) -> None:
    columns = fit.add_argument_group("what columns are", "Names are separated by commas: --category zip,sex.")
    for kind, words in (
        ("category", "columns whose values are levels, numbers and codes too"),
        ("number", "columns whose cells must all be numbers"),
        (
            "date",
            "columns whose cells must all be dates; as in birth=dmy where day, month and year may be taken for one "
            "another (dmy, mdy or ymd)",
        ),
        ("text", "columns whose frequent values are levels, however seldom they recur; the others share one"),
    ):
        columns.add_argument(f"--{kind}", action="append", metavar="COLUMNS", help=words)
    columns.add_argument(
        "--levels",
        type=partial(_whole, least=2, most=999_999, words=", 2 or more"),
        metavar="N",
        help="levels that a column keeps at most, the most frequent; the others share one (default: for text 5 %% of "
        "the rows, at least 20 and at most 200)",
    )
    columns.add_argument(
        "--reference",
        action="append",
        metavar="COLUMN=LEVEL",
        help="level with which the others of a category are compared (default: the most frequent)",
    )
    columns.add_argument(
        "--date-parts",
        action="append",
        metavar="PARTS",
        help="of dates, a sine and a cosine of the year, the week or the day as well, such as year,week",
    )
    columns.add_argument(
        "--missing",
        choices=("indicator", "error"),
        help="missing cells are filled in and marked in a column of their own, or refused (default: indicator)",
    )


def _add_work(fit: argparse.ArgumentParser) -> None:
    work = fit.add_argument_group("comparison and work")
    work.add_argument(
        "--holdout",
        type=_share,
        metavar="SHARE",
        help="share of the rows to compare the models on (default: 0.2)",
    )
    work.add_argument(
        "--holdout-by", metavar="COLUMN", help="hold out the last rows by this date or number, and not random ones"
    )
    work.add_argument("--test", metavar="FILE", help="compare the models on the rows of this file")
    work.add_argument(
        "--cv",
        type=partial(_whole, least=2, most=999_999, words=", 2 or more"),
        metavar="K",
        help="compare the models by a cross-validation of K folds; --test is then for the model that is kept",
    )
    work.add_argument(
        "--group", metavar="COLUMN", help="rows with the same value here are never both trained on and held out"
    )
    work.add_argument("--weights", metavar="COLUMN", help="how much each row counts, in training and in scores")
    work.add_argument(
        "--weights-kind",
        choices=("frequency", "precision", "sampling"),
        help="what a weight is: a number of rows, the inverse of a variance, or the inverse of a chance to be in the "
        "sample (default: frequency)",
    )
    work.add_argument(
        "--class-weight", choices=("balanced",), help="balanced: every class weighs the same, however frequent it is"
    )
    work.add_argument("--no-refit", action="store_true", help="do not train the better one again on all rows")
    work.add_argument("--seed", type=_seed, metavar="N", help="seed of all random choices (default: 0)")
    work.add_argument("--max-iter", type=_count, metavar="N", help="limit on iterations (default: that of the solver)")
    _add_memory(work)
    work.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="keep in files of this name where training stands; the same command goes on from there",
    )
    work.add_argument(
        "--cluster",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="sum over the rows on the Dask cluster with this scheduler, such as tcp://host:8786, or without an "
        "address on one that is started on this machine; needs the extra dask",
    )
    work.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="threads (default: all cores); the result is the same",
    )


def _add_output(fit: argparse.ArgumentParser) -> None:
    output = fit.add_argument_group("output")
    output.add_argument(
        "--report", metavar="FILE", help="report in HTML (default: report.html, or beside another --output as .html)"
    )
    output.add_argument("--no-report", action="store_true", help="write no report")
    output.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    output.add_argument("--quiet", action="store_true", help="print nothing but warnings and errors")


def _add_explain(commands: argparse._SubParsersAction[_Parser]) -> None:
    explain = commands.add_parser(
        "explain",
        help="derive a prediction and every derivative for one row",
        description="Derive, in symbols and numbers, the prediction for one row, its loss, every partial derivative "
        "by the chain rule, and the steps of gradient descent and of Newton's method. Without the row's target: the "
        "prediction, and how it changes with each column.",
        allow_abbrev=False,
    )
    explain.add_argument("path", metavar="MODEL", help="model file that 'newtron fit' wrote")
    explain.add_argument("data", metavar="DATA", help=_FILE)
    explain.add_argument("--row", type=_count, default=1, metavar="N", help="row of data, the first is 1 (default: 1)")
    explain.add_argument(
        "--notation",
        choices=("lecture", "lab"),
        default="lecture",
        help="lecture: one number at a time; lab: matrices A, Z, W, dZ, dW (default: lecture)",
    )
    explain.add_argument("--member", type=_count, metavar="N", help="network of an average (default: the best)")
    _add_file(explain, default="utf-8")
    explain.add_argument("--json", action="store_true", help="print one JSON object, with all digits")


def _shape(text: str) -> tuple[int, ...] | str:
    if text == "auto":
        return text
    written = re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6})*", text)
    widths = tuple(int(width) for width in text.split(",")) if written else (0,)
    if 0 in widths:
        raise argparse.ArgumentTypeError(f"{text!r} must be whole numbers such as 20 or 10,10, or auto")
    return widths


def _penalty(text: str) -> float | str:
    if text in _RULES:
        return text
    value = _float(text)
    if not (math.isfinite(value) and value >= 0.0):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number, 0 or more, or {' or '.join(_RULES)}")
    return value


def _share(text: str) -> float:
    if 0.0 <= _float(text) < 1.0:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a share from 0 to below 1, such as 0.2")


def _coverage(text: str) -> float:
    if 0.0 < _float(text) < 1.0:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a probability between 0 and 1, such as 0.9")


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _whole(text: str, least: int, most: int, words: str) -> int:
    if re.fullmatch(r"[0-9]{1,10}", text) and least <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} must be a whole number{words}")


_count = partial(_whole, least=1, most=999_999_999, words=", 1 or more")
_port = partial(_whole, least=0, most=65_535, words=" from 0 to 65535")
_seed = partial(_whole, least=0, most=4_294_967_295, words=" from 0 to 4294967295")


def _size(text: str) -> int:
    """A size in bytes."""
    from newtron.study.options import bytes_of

    try:
        return bytes_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: this is no size; give one such as 500MB or 4GB") from None
