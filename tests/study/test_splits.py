"""Which rows are held out: groups, the last in an order, folds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import StratifiedKFold

from newtron.engine.base.errors import InputError
from newtron.study.split import folds, hold_out_groups, hold_out_last


@pytest.mark.parametrize("k", [2, 5, 10])
def test_folds_are_random_and_have_equal_numbers_of_rows_and_classes(k: int) -> None:
    classes = np.random.default_rng(0).choice(3, 203, p=[0.7, 0.25, 0.05])
    found = folds(203, classes, k, 1)
    assert np.ptp(np.bincount(found, minlength=k)) <= 2
    for c in range(3):
        assert np.ptp(np.bincount(found[classes == c], minlength=k)) <= 1
    np.testing.assert_array_equal(found, folds(203, classes, k, 1))
    assert (found != folds(203, classes, k, 2)).any()
    sizes = sorted(len(test) for _, test in StratifiedKFold(k).split(classes, classes))
    assert sorted(np.bincount(found).tolist())[0] >= sizes[0] - 1


def test_a_fold_for_each_row_leaves_one_out() -> None:
    assert sorted(folds(17, None, 17, 0).tolist()) == list(range(17))


def test_groups_stay_together_and_no_class_is_lost() -> None:
    rng = np.random.default_rng(3)
    groups, classes = rng.integers(0, 40, 400), rng.integers(0, 2, 400)
    found = folds(400, classes, 5, 0, groups)
    assert all(len(np.unique(found[groups == g])) == 1 for g in range(40))
    sizes = np.bincount(found, minlength=5)
    assert sizes.min() > 60
    for c in (0, 1):
        assert np.bincount(found[classes == c], minlength=5).min() > 25
    for fold in range(5):
        assert set(classes[found != fold]) == {0, 1}

    # The only row, and the only group, of a class are always trained on.
    classes[:] = 0
    classes[groups == 7] = 1
    classes[np.flatnonzero(groups == 8)[0]] = 2
    lonely = folds(400, classes, 5, 0, groups)
    assert set(lonely[(groups == 7) | (groups == 8)]) == {-1}
    assert set(lonely[(groups != 7) & (groups != 8)]) == set(range(5))
    alone = np.array([0, 0, 0, 1, 0, 0])
    assert folds(6, alone, 2, 0).tolist().count(-1) == 1


def test_folds_fill_up_beside_groups() -> None:
    groups = np.concatenate([np.zeros(30, dtype=np.int64), np.arange(1, 71)])
    sizes = np.bincount(folds(100, None, 3, 0, groups))
    assert sorted(sizes.tolist()) == [33, 33, 34]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_whole_groups_are_held_out(share: float) -> None:
    rng = np.random.default_rng(5)
    groups, classes = rng.integers(0, 25, 300), rng.integers(0, 3, 300)
    training, held_out = hold_out_groups(groups, classes, share, 4)
    assert set(groups[training]) & set(groups[held_out]) == set()
    assert len(training) + len(held_out) == 300
    assert abs(len(held_out) - share * 300) <= 12
    assert set(classes[training]) == {0, 1, 2}
    with pytest.raises(InputError, match=r"holds out 0.* each group is held out whole"):
        hold_out_groups(np.zeros(300, dtype=np.int64), None, share, 0)


def test_the_last_rows_are_held_out_and_equal_values_are_not_parted() -> None:
    values = np.random.default_rng(6).permutation(np.repeat(np.arange(50.0), 4))
    training, held_out = hold_out_last(values, 0.2)
    assert len(held_out) == 40
    assert values[training].max() < values[held_out].min()
    training, held_out = hold_out_last(values, 0.206)  # 41 rows: 40 are nearer than 44
    assert len(held_out) == 40
    values[:20] = np.nan
    training, held_out = hold_out_last(values, 0.2)
    assert set(range(20)) <= set(training.tolist())
    assert np.nanmax(values[training]) < values[held_out].min()
    for hopeless in (np.ones(100), np.full(100, np.nan)):
        with pytest.raises(InputError, match=r"holds out 0.* rows of one value stay together"):
            hold_out_last(hopeless, 0.2)
