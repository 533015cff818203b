"""The errors that are a user's to mend: one sentence that names the place and says what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used: a file, a row, a column, a setting. The message is one whole sentence.

    The command line prints it on standard error and ends with exit code 2; the library raises it.
    """
