"""Rows that equal a row of training: where they are predicted from it, and that no other row is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from newtron import InputError, NetworkClassifier, NetworkRegressor, load
from newtron.cli import main
from newtron.engine.maths.losses import loss_for
from newtron.engine.rows import ArrayRows
from newtron.inference.mixed.seen_rows import SeenRows, row_keys
from newtron.model.groups import told_intercepts
from newtron.model.residuals import residuals_of
from newtron.model_file.checks import check_model
from newtron.training.intercepts import learn_seen_rows

Array = Any
SMALL: dict[str, Any] = {"hidden": (2,), "n_starts": 1, "alpha": 1.0}
N, COPIED = 300, 60


def row_of_each() -> Array:
    return np.concatenate([np.arange(N), np.arange(COPIED), np.arange(10)])


@cache
def copied(noise: float = 0.2) -> tuple[Array, Array]:
    """A curve in two columns around which each row has a number of its own. The first rows come twice, with noise, and
    the first ten of these three times."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2))
    y = np.sin(X[:, 0]) + rng.normal(0.0, 1.0, N)
    rows = row_of_each()
    return X[rows], y[rows] + rng.normal(0.0, noise, len(rows))


@cache
def fitted() -> NetworkRegressor:
    return NetworkRegressor(**SMALL).fit(*copied())


def seen_rows(model: Any) -> SeenRows:
    found = model.model_.seen_rows
    assert found is not None
    return found  # type: ignore[no-any-return]


def forgetful(model: NetworkRegressor) -> NetworkRegressor:
    """The same model without its memory."""
    other = NetworkRegressor(intercepts=None, **SMALL).fit(*copied())
    assert other.model_.seen_rows is None
    assert np.array_equal(other.members_[0].params, model.members_[0].params)
    return other


def test_a_row_seen_before_is_predicted_from_its_copies_and_no_other_row_is() -> None:
    X, y = copied()
    model, without = fitted(), forgetful(fitted())
    new = np.random.default_rng(1).normal(size=(50, 2))
    new[0] = [X[0, 0], X[1, 1]]  # each number was seen, and the row was not
    assert np.array_equal(model.predict(new), without.predict(new))
    assert np.array_equal(model.predict_interval(new), without.predict_interval(new))
    single = X[:N].astype(np.float32)
    np.testing.assert_allclose(model.predict(single), model.predict(X[:N]), rtol=1e-4, atol=1e-4)
    # By hand: with c the correlation of copies, a row of n copies gains the share nc / (1 + (n - 1) c) of the mean of
    # what the network leaves over in them, and its variance falls by the factor 1 - c times this share.
    left = y - without.predict(X)
    n = np.concatenate([np.full(10, 3), np.full(COPIED - 10, 2), np.ones(N - COPIED)])
    means = np.bincount(row_of_each(), left) / n
    c = seen_rows(model).share
    gained = n * c / (1.0 + (n - 1.0) * c)
    np.testing.assert_allclose(model.predict(X[:N]) - without.predict(X[:N]), gained * means, rtol=1e-6, atol=1e-9)
    width, before = (np.diff(each.predict_interval(X[:N]))[:, 0] for each in (model, without))
    np.testing.assert_allclose(width / before, np.sqrt(1.0 - c * gained), rtol=1e-6)
    # c is that of the largest likelihood of the copies and of one more pair, whose rows know nothing of each other.
    several = n > 1
    v = np.square(left[several[row_of_each()]]).mean()
    inside = np.append(np.bincount(row_of_each(), np.square(left - means[row_of_each()])), v)
    inside, n, means = inside[np.append(several, True)], np.append(n[several], 2.0), np.append(means[several], 0.0)

    def of_logs(logs: Array) -> float:
        within, between = np.exp(logs)
        of_means = within + n * between
        determinant = (n - 1.0) * np.log(within) + np.log(of_means)
        return float((determinant + inside / within + n * np.square(means) / of_means).sum())

    within, between = np.exp(scipy.optimize.minimize(of_logs, np.log([0.1, 0.9])).x)
    np.testing.assert_allclose(1.0 - c, within / (within + between), rtol=0.05)


def test_intervals_of_rows_seen_before_are_narrower_and_hold_their_share() -> None:
    X, _ = copied()
    rng = np.random.default_rng(2)
    own = copied(0.0)[1][:N]  # the rows' true numbers
    again = own + rng.normal(0.0, 0.2, N)
    ends = fitted().predict_interval(X[:N], coverage=0.9)
    before = forgetful(fitted()).predict_interval(X[:N], coverage=0.9)
    assert np.diff(ends).mean() < 0.5 * np.diff(before).mean()
    assert 0.85 < np.mean((ends[:, 0] <= again) & (again <= ends[:, 1])) < 0.97


def test_copies_that_all_agree_leave_some_doubt() -> None:
    X, y = copied(0.0)
    model = NetworkRegressor(**SMALL).fit(X, y)
    found = seen_rows(model)
    assert (found.sets, found.copies) == (COPIED, 2 * COPIED + 10)
    # A mean square of what rows never seen leave over, in one of so many pairs, and the one that was added.
    np.testing.assert_allclose(1.0 - found.share, 1.0 / (COPIED + 10 + 1), rtol=0.1)
    (told,) = told_intercepts(model.model_)
    assert told.startswith("Rows seen before: 60 sets of equal rows (130 training rows) explain 98.6 % of what the net")
    assert "does not carry over to rows not seen" in told
    assert told in str(model.certificate_)
    # What is remembered of a row is no reason for a small residual.
    assert np.std(residuals_of(model.model_, X, y).values) > 5.0 * np.std(y - model.predict(X))


def test_copies_whose_targets_know_nothing_of_each_other_are_not_kept() -> None:
    X, _ = copied()
    y = np.sin(X[:, 0]) + np.random.default_rng(3).normal(size=len(X))
    assert NetworkRegressor(**SMALL).fit(X, y).model_.seen_rows is None
    # Nor is a table looked at in which next to no row has a copy.
    X, y = copied(0.0)
    assert NetworkRegressor(**SMALL).fit(X[: N + 2], y[: N + 2]).model_.seen_rows is None


def test_what_networks_learnt_of_a_row_is_not_added_twice() -> None:
    X, y = copied()
    scaled, nothing = ArrayRows(X, y[:, None]).whole(), np.zeros((len(y), 1))
    loss = loss_for("regression", None, 1)
    found = [learn_seen_rows(X, scaled, nothing, share * y[:, None], loss) for share in (0.0, 0.3, 2.0)]
    whole, rest, none = (each.at(X[COPIED:N])[:, 0] for each in found if each is not None)
    np.testing.assert_allclose(rest, whole - 0.3 * y[COPIED:N], rtol=1e-9)
    assert not none.any()


def test_classes_of_rows_seen_before_are_remembered() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(N, 2))
    labels = np.array(["a", "b", "c"])[np.argmax(rng.gumbel(size=(N, 3)) + X[:, :1] * [1.0, 0.0, -1.0], axis=1)]
    rows = np.concatenate([np.arange(N), np.arange(2 * COPIED)])
    for classes in (labels, np.where(labels == "c", "c", "ab")):
        model = NetworkClassifier(hidden=(), alpha=1.0).fit(X[rows], classes[rows])
        without = NetworkClassifier(hidden=(), alpha=1.0, intercepts=None).fit(X[rows], classes[rows])
        assert seen_rows(model).sets == 2 * COPIED
        assert model.score(X[rows], classes[rows]) > 0.9 > 0.8 > without.score(X[rows], classes[rows])
        new = rng.normal(size=(20, 2))
        assert np.array_equal(model.predict_proba(new), without.predict_proba(new))


def test_predictions_of_a_file_are_scored_as_those_of_a_memory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = copied()
    model, path = fitted(), tmp_path / "copies.newtron"
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": y})
    NetworkRegressor(**SMALL).fit(frame[["a", "b"]], frame["y"]).save(path)
    frame.loc[N:, "a"] = 9.0
    frame.to_csv(tmp_path / "rows.csv", index=False)
    assert main(["predict", str(path), str(tmp_path / "rows.csv")]) == 0
    out, err = capsys.readouterr()
    assert f"on {len(y)} rows with 'y' ({N} of them equal rows of training, which the model remembers: new" in err
    np.testing.assert_allclose(float(out.split("\n")[1].split(",")[-1]), model.predict(X[:1])[0], rtol=1e-6)


def test_the_file_remembers_by_hashes(tmp_path: Path) -> None:
    X, y = copied()
    model = fitted()
    model.save(tmp_path / "copies.newtron")
    again = load(tmp_path / "copies.newtron")
    assert np.array_equal(again.predict(X), model.predict(X))
    assert np.array_equal(again.predict_interval(X), model.predict_interval(X))
    assert X[:5].tobytes() not in (tmp_path / "copies.newtron").read_bytes()
    # The hashes in a file are the same in every version of NumPy and newtron.
    assert row_keys(np.array([[1.0, -2.5], [0.0, 0.0]])).tolist() == KEYS
    answer = next(section for section in again.explain(X[:1], y[:1]).sections if section.key == "answer")
    steps = {step.key: step for step in answer.steps}
    table = steps["answer.intercepts"].table
    assert table is not None
    assert table.lines == (("", "the whole row = a row of training"),)
    np.testing.assert_allclose(float(np.asarray(steps["answer.average"].value)), model.predict(X[:1])[0], rtol=1e-12)
    with pytest.raises(InputError, match=r"300 rows of training by .* which SQL cannot .* intercepts=None, which re"):
        model.export(tmp_path / "copies.sql")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"keys": np.zeros(N)}, "keys"),
        ({"intercepts": np.zeros((N, 2))}, "intercepts"),
        ({"narrowed": np.full((N, 1), 1.5)}, "narrowed"),
        ({"sets": N}, "sets"),
        ({"share": 2.0}, "share"),
    ],
)
def test_a_file_with_other_numbers_is_refused(change: dict[str, Any], field: str) -> None:
    found = replace(fitted().model_, seen_rows=replace(seen_rows(fitted()), **change))
    with pytest.raises(InputError, match=f"seen_rows.{field}"):
        check_model(found)


KEYS = [3442010668299537.0, 0.0]
