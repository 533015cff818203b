"""The errors that are a user's to mend: one sentence that names the place and says what to do."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(ValueError):
    """Input that cannot be used: a file, a row, a column, a setting. The message is one whole sentence.

    The command line prints it on standard error and ends with exit code 2; the library raises it. It is a ValueError.

    Examples
    --------
    >>> import newtron
    >>> try:
    ...     newtron.fit("examples/penguins.csv", "weight")
    ... except newtron.InputError as error:
    ...     print(error)
    examples/penguins.csv: there is no column 'weight'; the columns are 'species', ...
    """


class SchemaWarning(UserWarning):
    """What a table holds is used otherwise than it stands there: a column is left out, a value was never seen in
    training, or a missing cell is filled in. Every prediction has a row all the same.

    Examples
    --------
    >>> import warnings
    >>> import newtron
    >>> warnings.simplefilter("error", newtron.SchemaWarning)  # refuse what would only be told
    >>> warnings.simplefilter("default", newtron.SchemaWarning)
    """


class ColumnError(InputError):
    """Bad input in one column of X, told by its number; whoever knows the names raises it again by `named`."""

    def __init__(self, column: int, trouble: str, name: str | None = None) -> None:
        called = f"{column} of X (counting from 0)" if name is None else repr(name)
        super().__init__(f"Column {called} {trouble}")
        self.column, self.trouble = column, trouble

    def named(self, names: Sequence[str]) -> ColumnError:
        return ColumnError(self.column, self.trouble, names[self.column])
