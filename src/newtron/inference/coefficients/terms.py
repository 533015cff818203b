"""The terms of a model: which columns of the matrix belong together because they come from one column of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import listed


@dataclass(frozen=True)
class Term:
    """A column of the data, or a combination of columns, with the columns of the matrix that it became.

    columns: their positions among the inputs. labels: what each is called in a table, below the name of the term.
    reference: the level that the levels of a category are compared with; None where it is no category. factors: the
    columns of the data that the term is made of: the name alone, or for an interaction the names of all its parts.
    """

    name: str
    columns: tuple[int, ...]
    labels: tuple[str, ...]
    reference: str | None = None
    factors: tuple[str, ...] = ()

    def contains(self, other: Term) -> bool:
        """Is the other term a part of this interaction, so that it has no meaning of its own beside it?"""
        return set(other.factors) < set(self.factors)


def plain_terms(names: Sequence[str]) -> tuple[Term, ...]:
    """A term for each column."""
    return tuple(Term(name, (j,), (name,), None, (name,)) for j, name in enumerate(names))


def terms_named(asked: object, terms: Sequence[Term], names: Sequence[str]) -> tuple[Term, ...]:
    """The terms that a user asks about: a name, or a list of names, of terms or of single columns of the matrix, whose
    names are `names`.

    Raises InputError for a name that the model does not have, and where there is none.
    """
    wanted = (asked,) if isinstance(asked, str) else tuple(asked) if isinstance(asked, (list, tuple)) else ()
    if not wanted:
        raise InputError(f"terms={asked!r} must be the name of a column of the model, or a list of names.")
    known = {term.name: term for term in (*plain_terms(names), *terms)}
    for name in wanted:
        if name not in known:
            raise InputError(f"{name!r} is no column of the model: these are {listed([t.name for t in terms], 20)}.")
    return tuple(known[str(name)] for name in dict.fromkeys(wanted))
