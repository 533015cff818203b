"""Comparisons on test files, folds, groups and the last rows; weights of rows and classes; leave-one-out."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.metrics import log_loss, mean_poisson_deviance, roc_auc_score

import newtron
from newtron.cli import main
from newtron.engine.base.errors import InputError
from newtron.engine.maths.losses import SquaredError
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.inference.penalties.evidence import evidence_at
from newtron.inference.penalties.leave_one_out import leave_one_out
from newtron.study.sample import Sample
from newtron.study.scores import Scoring, difference
from newtron.study.split import folds

PENGUINS = str(Path(__file__).resolve().parents[2] / "examples" / "penguins.csv")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    warnings.simplefilter("ignore")


def frame(n: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    y = X @ [1.0, -2.0, 0.5] + rng.normal(size=n)
    return pd.DataFrame(X, columns=["a", "b", "c"]).assign(
        y=y, who=rng.integers(0, 15, n), day=pd.date_range("2024-01-01", periods=n), w=rng.integers(0, 4, n)
    )


def study_of(data: pd.DataFrame, target: str = "y", **settings: Any) -> newtron.Study:
    chosen: dict[str, Any] = {"model": "perceptron", "verbose": 0} | settings
    return newtron.fit(data, target, **chosen)


def comparison(study: newtron.Study) -> dict[str, Any]:
    found = study.to_dict()["comparison"]
    assert isinstance(found, dict)
    return found


# --- folds ---


def test_cross_validation_scores_each_row_by_a_model_that_was_not_trained_on_it() -> None:
    data = frame()[["a", "b", "c", "y"]]
    found = comparison(study_of(data, cv=5, seed=3))
    X, y = data[["a", "b", "c"]].to_numpy(), data["y"].to_numpy()
    fold = folds(len(y), None, 5, 3)
    said = np.empty(len(y))
    for k in range(5):
        said[fold == k] = LinearRegression().fit(X[fold != k], y[fold != k]).predict(X[fold == k])
    assert found["metrics"]["perceptron"]["rmse"] == pytest.approx(np.sqrt(np.mean((y - said) ** 2)), rel=1e-9)
    assert found["held_out_rows"] == len(y)
    assert len(found["folds"]) == 5
    own = np.sqrt(np.mean((y - said)[fold == 2] ** 2))
    assert found["folds"][2]["perceptron"]["rmse"] == pytest.approx(own, rel=1e-9)
    assert found == comparison(study_of(data, cv=5, seed=3))
    assert found["metrics"] != comparison(study_of(data, cv=5, seed=4))["metrics"]


def test_the_error_of_a_difference_of_folds_is_corrected() -> None:
    """The variance of Nadeau & Bengio (2003): (1/K + n_test/n_train) S²."""
    rng = np.random.default_rng(0)
    y, k = rng.normal(size=100), 5
    rows, fold = Sample(np.empty((100, 0)), y), np.repeat(np.arange(k), 20)
    first, second = (Scoring("regression").score(y + rng.normal(size=100), rows, fold) for _ in range(2))
    found = difference(first, second)
    d = (first.losses - second.losses).reshape(k, 20).mean(axis=1)
    error = np.sqrt((1 / k + 20 / 80) * d.var(ddof=1))
    assert found.gain == pytest.approx(d.mean())
    assert found.error == pytest.approx(error)
    half = t.ppf(0.975, k - 1) * error
    assert found.interval == pytest.approx((d.mean() - half, d.mean() + half))
    plain = difference(*(Scoring("regression").score(y + s.losses, rows) for s in (first, second)))
    assert plain.interval is None


@pytest.mark.slow
def test_both_models_are_compared_by_folds_and_the_kept_one_is_trained_on_all_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit = ["fit", PENGUINS, "--target", "body_mass_g", "--hidden", "2", "--starts", "1", "--cv", "3", "--no-report"]
    assert main([*fit, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert set(facts["comparison"]["metrics"]) == {"baseline", "perceptron", "network"}
    low, high = facts["comparison"]["interval"]
    assert low < facts["comparison"]["gain"] < high
    assert facts["refit"] is not None
    assert main(["show", "model.newtron"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Compared by 3-fold cross-validation of 342 rows (seed 0)" in shown
    assert "95 % interval from" in shown
    assert "trained on all 342" in shown or "342 of the 344 rows" in shown


def test_auc_of_folds_is_the_mean_of_theirs() -> None:
    data = frame().assign(y=lambda d: np.where(d["y"] > 0, "yes", "no"))[["a", "b", "c", "y"]]
    found = comparison(study_of(data, cv=4, alpha=1.0))
    means = np.mean([each["perceptron"]["auc"] for each in found["folds"]])
    assert found["metrics"]["perceptron"]["auc"] == pytest.approx(means)
    assert found["metrics"]["baseline"]["auc"] == 0.5


def test_a_class_of_one_row_is_always_trained_on() -> None:
    data = frame(60).assign(y=lambda d: np.where(d["y"] > 0, "yes", "no"))[["a", "b", "y"]]
    data.loc[7, "y"] = "once"
    study = study_of(data, cv=3, alpha=1.0)
    assert comparison(study)["held_out_rows"] == 59
    assert any("always trained on" in note for note in study.notes)


# --- leave-one-out ---


def test_few_rows_are_left_out_one_by_one_and_the_figures_are_exact() -> None:
    """The closed form of least squares (PRESS) gives the same losses as training again without each row."""
    data = frame(15)[["a", "b", "y"]]
    study = study_of(data)
    found = comparison(study)
    X, y = data[["a", "b"]].to_numpy(), data["y"].to_numpy()
    line = LinearRegression().fit(X, y)
    params = np.concatenate([line.coef_, [line.intercept_]])
    from newtron.engine.maths.network import Network

    objective = TrainingObjective(Network((2, 1)), SquaredError(), ArrayRows(X, y[:, None], None))
    evidence = evidence_at(objective, params)
    assert evidence is not None
    losses = leave_one_out(objective, params, evidence.inverse)
    assert found["metrics"]["perceptron"]["rmse"] == pytest.approx(np.sqrt(2.0 * losses.value), rel=1e-9)
    assert found["on"] == "by leave-one-out: each of 15 rows by models trained on the others"
    assert any("leave-one-out" in note for note in study.notes)
    assert study.to_dict()["refit"] is not None


def test_few_rows_of_groups_leave_out_whole_groups() -> None:
    data = frame(18).assign(who=np.repeat(np.arange(6), 3))[["a", "b", "y", "who"]]
    found = comparison(study_of(data, group="who"))
    assert found["on"].startswith("by leave-one-group-out: each of 6 groups")
    assert found["training_rows"] == 15


def test_where_a_row_cannot_be_left_out_nothing_is_compared() -> None:
    data = pd.DataFrame({"a": [0.0, 0.0, 0.0, 0.0, 1.0], "y": [1.0, 2.0, 1.5, 0.5, 3.0]})
    study = study_of(data)
    assert study.to_dict()["comparison"] is None
    assert any("none could be left out one by one" in note for note in study.notes)


# --- what each model sees of text ---


@pytest.mark.parametrize("settings", [{}, {"cv": 2}, {"test": True}])
def test_text_with_many_levels_is_groups_to_the_network_and_columns_to_the_perceptron(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    town = rng.permutation(400) % 50
    y = rng.normal(0.0, 3.0, 50)[town] + rng.normal(size=400)
    data = pd.DataFrame({"x": rng.normal(size=400), "town": [f"t{k}" for k in town], "y": y})
    if "test" in settings:
        data, settings = data[:300], {"test": data[300:]}
    quick: dict[str, Any] = {"model": "auto", "hidden": (2,), "starts": 1}
    study, alone = study_of(data, **quick, **settings), study_of(data, **(quick | {"model": "network"}), **settings)
    # As where the network is alone, to the last digit.
    assert comparison(study)["metrics"]["network"] == comparison(alone)["metrics"]["network"]
    assert len(study.model.random_intercepts_) == 50
    assert [column.kind for column in study.schema.columns] == ["number", "factor"]
    study.save("m.newtron")
    np.testing.assert_array_equal(newtron.load("m.newtron").predict(data), study.model.predict(data))
    # The perceptron has a column for each of the 20 most frequent levels, and one for the others.
    errors = {name: metrics["rmse"] for name, metrics in comparison(study)["metrics"].items()}
    assert errors["network"] < 0.7 * errors["perceptron"] < 0.7 * errors["baseline"]
    assert "town (50 levels): for the network, a random intercept" in str(study)


# --- test files ---


def test_the_rows_of_a_test_file_are_held_out() -> None:
    data, test = frame(seed=1), frame(50, seed=2)
    test.loc[3, "y"] = np.nan
    data.loc[5, ["a", "b", "c"]] = test.loc[6, ["a", "b", "c"]].to_numpy()
    data.to_csv("d.csv", index=False)
    test.to_csv("t.csv", index=False)
    names = ["a", "b", "c"]
    study = newtron.fit("d.csv", "y", test="t.csv", ignore=["who", "day", "w"], model="perceptron", verbose=0)
    found, known = comparison(study), test.dropna()
    line = LinearRegression().fit(data[names], data["y"])
    expected = np.sqrt(np.mean((known["y"] - line.predict(known[names])) ** 2))
    assert found["metrics"]["perceptron"]["rmse"] == pytest.approx(expected, rel=1e-9)
    assert found["held_out_rows"] == 49
    assert study.to_dict()["refit"] is None
    np.testing.assert_allclose(study.model.coef_, line.coef_, rtol=1e-9)
    assert any("1 of its 49 rows is equal to a row of d.csv" in note for note in study.notes)
    assert any("t.csv: 1 row without a value of the target" in note for note in study.notes)
    frames = newtron.fit(data, "y", test=test, ignore=["who", "day", "w"], model="perceptron", verbose=0)
    assert comparison(frames)["metrics"] == found["metrics"]


def test_folds_choose_and_a_test_file_scores_the_model_that_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv("d.csv", index=False)
    frame(40, 5).to_csv("t.csv", index=False)
    words = ["fit", "d.csv", "--target", "y", "--model", "perceptron", "--cv", "4", "--test", "t.csv", "--no-report"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["comparison"]["held_out_rows"] == 120
    assert facts["test"]["on"] == "on the 40 rows of t.csv"
    assert set(facts["test"]["metrics"]) == {"baseline", "perceptron"}
    assert main(["show", "model.newtron"]) == 0
    assert "Tested on the 40 rows of t.csv" in capsys.readouterr().out


def test_unseen_levels_of_a_test_file_are_counted() -> None:
    data = frame().assign(kind=np.tile(["x", "y"], 60))[["a", "kind", "y"]]
    test = frame(30, 3).assign(kind="z")[["a", "kind", "y"]]
    study = study_of(data, test=test)
    assert any("30 cells with a value never seen in training" in note for note in study.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.drop(columns="a"), "'a'"),
        (lambda d: d.drop(columns="y"), "'y'"),
        (lambda d: d.assign(a="word"), "not a number"),
        (lambda d: d.assign(y=np.nan), "a test needs at least 2"),
    ],
)
def test_a_test_file_that_does_not_fit_is_refused_before_training(change: Any, words: str) -> None:
    frame()[["a", "b", "y"]].to_csv("d.csv", index=False)
    change(frame(30, 2)[["a", "b", "y"]]).to_csv("t.csv", index=False)
    with pytest.raises(InputError, match=words):
        newtron.fit("d.csv", "y", test="t.csv", verbose=0)


def test_a_test_file_is_not_the_data() -> None:
    frame().to_csv("d.csv", index=False)
    with pytest.raises(InputError, match="the data itself"):
        newtron.fit("d.csv", "y", test="./d.csv", verbose=0)


# --- groups and an order ---


@pytest.mark.parametrize("cv", [None, 4])
def test_groups_are_on_one_side_and_no_feature(cv: int | None) -> None:
    data = frame()[["a", "b", "y", "who"]]
    study = study_of(data, group="who", cv=cv)
    assert "who" not in study.schema.feature_names
    assert dict(study.schema.dropped)["who"] == "it groups the rows (group)"
    assert any("clustered" in note for note in study.notes)
    assert "'who'" in comparison(study)["on"]


def test_the_standard_error_takes_groups_as_one() -> None:
    rng = np.random.default_rng(2)
    y, group = np.zeros(40), np.repeat(np.arange(10), 4)
    shift = np.repeat(rng.normal(size=10), 4)
    rows = Sample(np.empty((40, 0)), y, group=group)
    first = Scoring("regression").score(np.sqrt(2.0 + shift - shift.min()), rows)
    second = Scoring("regression").score(np.ones(40), rows)
    found = difference(first, second)
    d = first.losses - second.losses
    sums = d.reshape(10, 4).sum(axis=1) - 4 * d.mean()
    assert found.gain == pytest.approx(d.mean())
    assert found.interval is None
    assert found.error == pytest.approx(np.sqrt(sums @ sums * 10 / 9) / 40)
    assert found.error == pytest.approx(d.reshape(10, 4).mean(axis=1).std(ddof=1) / np.sqrt(10))


@pytest.mark.parametrize("column", ["day", "number"])
def test_the_last_rows_by_an_order_are_held_out(column: str) -> None:
    data = frame()[["a", "b", "y", "day"]].assign(number=np.arange(120.0) ** 2)
    shuffled = data.sample(frac=1.0, random_state=0)
    found = comparison(study_of(shuffled, holdout_by=column, holdout=0.25, ignore=["day", "number"]))
    line = LinearRegression().fit(data.iloc[:90][["a", "b"]], data.iloc[:90]["y"])
    expected = np.sqrt(np.mean((data.iloc[90:]["y"] - line.predict(data.iloc[90:][["a", "b"]])) ** 2))
    assert found["metrics"]["perceptron"]["rmse"] == pytest.approx(expected, rel=1e-9)
    start = "2024-03-31" if column == "day" else "8100"
    assert f"the last 30 rows by '{column}', from {start}" in found["on"]


def test_an_order_and_weights_are_read_as_other_columns_are(tmp_path: Path) -> None:
    data = frame()[["a", "b", "y", "day", "w"]]
    plain = comparison(study_of(data, holdout_by="day", weights="w", ignore="day"))
    text = data.assign(day=data["day"].dt.strftime("%d/%m/%Y"), w=(data["w"] + 0.0).map("{:.1f}".format))
    text["w"] = text["w"].str.replace(".", ",")
    found = comparison(study_of(text, holdout_by="day", weights="w", ignore="day"))
    assert found["metrics"] == plain["metrics"]
    assert "from 06/04/2024 on" in found["on"]
    months = data.iloc[:60].assign(day=[f"{1 + i % 12:02d}/{1 + i % 11:02d}/2024" for i in range(60)])
    with pytest.raises(InputError, match=r"day first or with the month first.*date=\['day=dmy'\]"):
        study_of(months, holdout_by="day", ignore="day")


def test_an_order_that_is_none_is_refused() -> None:
    data = frame()[["a", "y"]].assign(word="x", late=["old"] * 100 + ["new"] * 20)
    with pytest.raises(InputError, match=r"column 'word': 'x' is neither a number nor a date"):
        study_of(data, holdout_by="word")
    data["number"] = np.arange(120)
    with pytest.raises(InputError, match="the class 'new' is in no row before"):
        study_of(data, "late", holdout_by="number", alpha=1.0)
    with pytest.raises(InputError, match="there is no column 'nmber'; did you mean 'number'"):
        study_of(data, holdout_by="nmber")


# --- weights ---


def test_weights_count_in_training_and_in_scores() -> None:
    data, test = frame(), frame(60, 9)
    study = study_of(data, weights="w", test=test, ignore=["who", "day"])
    names = ["a", "b", "c"]
    line = LinearRegression().fit(data[names], data["y"], data["w"])
    np.testing.assert_allclose(study.model.coef_, line.coef_, rtol=1e-8)
    errors = (test["y"] - line.predict(test[names])) ** 2
    found = comparison(study)["metrics"]
    assert found["perceptron"]["rmse"] == pytest.approx(np.sqrt(np.average(errors, weights=test["w"])), rel=1e-8)
    mean = np.average(data["y"], weights=data["w"])
    guess = np.sqrt(np.average((test["y"] - mean) ** 2, weights=test["w"]))
    assert found["baseline"]["rmse"] == pytest.approx(guess, rel=1e-9)
    assert dict(study.schema.dropped)["w"] == "it weighs the rows (weights)"


def test_a_weight_of_two_is_the_row_twice() -> None:
    data, test = frame()[["a", "b", "y", "w"]], frame(60, 9)[["a", "b", "y", "w"]]
    twice, of_test = (d.loc[d.index.repeat(d["w"])].drop(columns="w") for d in (data, test))
    weighed, repeated = study_of(data, weights="w", test=test), study_of(twice, test=of_test)
    for one, other in (("perceptron", "rmse"), ("baseline", "mae"), ("perceptron", "r2")):
        assert comparison(weighed)["metrics"][one][other] == pytest.approx(
            comparison(repeated)["metrics"][one][other], rel=1e-9
        )
    first, second = (s._job.comparison.scores for s in (weighed, repeated))
    mine, theirs = (difference(s["baseline"], s["perceptron"]) for s in (first, second))
    assert mine.gain == pytest.approx(theirs.gain, rel=1e-9)
    assert mine.error == pytest.approx(theirs.error, rel=1e-9)


@pytest.mark.slow
def test_the_kind_of_weights_goes_to_the_perceptron() -> None:
    study = study_of(frame(), weights="w", weights_kind="sampling", ignore=["who", "day"])
    assert study.model.model_.settings.weights == "sampling"
    network = study_of(frame(), weights="w", weights_kind="precision", model="network", hidden=(2,), starts=1)
    assert any("precision weights were divided by their mean" in note for note in network.notes)


@pytest.mark.parametrize(
    ("cell", "words"), [("x", "'x' is no weight"), ("", "there is no weight here"), ("-1", "below zero")]
)
def test_a_cell_that_is_no_weight_is_named(cell: str, words: str) -> None:
    data = frame()[["a", "b", "y", "w"]].astype(object)
    data.loc[4, "w"] = cell
    data.to_csv("d.csv", index=False)
    with pytest.raises(InputError, match=rf"d.csv, rows? 6, column 'w': .*{words}"):
        newtron.fit("d.csv", "y", weights="w", verbose=0)


@pytest.mark.parametrize(
    ("counts", "settings", "sentence"),
    [
        ([], {}, "column 'w': every weight is 0"),
        ([3], {}, "rows that would be held out all have the weight 0"),
        ([3], {"cv": 4}, "rows that would be held out all have the weight 0"),
        ([3], {"holdout": 0.9, "seed": 1}, "rows that would be trained on all have the weight 0"),
    ],
)
def test_rows_of_weight_0_alone_are_not_compared_on(counts: list[int], settings: dict[str, Any], sentence: str) -> None:
    data = frame().assign(w=lambda d: np.isin(np.arange(len(d)), counts).astype(float))
    with pytest.raises(InputError, match=sentence):
        newtron.fit(data, "y", weights="w", model="perceptron", verbose=0, **settings)


def test_balanced_classes_weigh_the_same() -> None:
    rng = np.random.default_rng(4)
    data = frame(200).assign(y=lambda d: np.where(d["y"] + rng.logistic(size=200) > 2.0, "rare", "usual"))
    data, test = data[["a", "b", "y"]].iloc[:150], data[["a", "b", "y"]].iloc[150:]
    study = study_of(data, class_weight="balanced", test=test)
    model = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-10).fit(data[["a", "b"]], data["y"])
    np.testing.assert_allclose(study.model.coef_.ravel(), model.coef_.ravel(), rtol=1e-4)
    p, y = model.predict_proba(test[["a", "b"]]), test["y"]
    share = data["y"].value_counts()
    w = y.map(len(data) / (2 * share)).to_numpy()
    found = comparison(study)["metrics"]
    assert found["perceptron"]["log_loss"] == pytest.approx(log_loss(y, p, sample_weight=w), rel=1e-4)
    assert found["perceptron"]["auc"] == pytest.approx(roc_auc_score(y == "usual", p[:, 1]), rel=1e-6)
    assert found["baseline"]["log_loss"] == pytest.approx(np.log(2.0), rel=1e-9)
    with pytest.raises(InputError, match="class_weight='balanced' is for classes"):
        study_of(frame(), class_weight="balanced")


def test_precision_and_recall_are_told_by_class(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", PENGUINS, "--target", "sex", "--model", "perceptron", "--no-report"]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["comparison"]
    lines = facts["classes"]["perceptron"]
    assert [line["name"] for line in lines] == ["female", "male"]
    assert sum(line["rows"] for line in lines) == facts["held_out_rows"]
    hits = sum(line["recall"] * line["rows"] for line in lines)
    assert hits / facts["held_out_rows"] == pytest.approx(facts["metrics"]["perceptron"]["accuracy"])
    assert main(words) == 0
    said = capsys.readouterr().out
    for word in ("AUC", "balanced accuracy", "Brier", "precision", "recall", "F1"):
        assert word in said


# --- counts ---


@pytest.mark.slow
def test_counts_are_compared_by_their_deviance_and_exposure_counts_in_the_guess() -> None:
    rng = np.random.default_rng(7)
    X, log_time = rng.normal(size=(300, 2)), rng.normal(size=300)
    n = rng.poisson(np.exp(0.3 + X @ [0.5, -0.3] + log_time))
    data = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "log_time": log_time, "n": n})
    known, test = data.iloc[:200], data.iloc[200:]
    found = comparison(study_of(known, "n", loss="poisson", offset="log_time", test=test))
    time = np.exp(known["log_time"])
    model = PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=1000).fit(known[["a", "b"]], known["n"] / time, time)
    mean = model.predict(test[["a", "b"]]) * np.exp(test["log_time"])
    metrics = found["metrics"]
    assert metrics["perceptron"]["deviance"] == pytest.approx(mean_poisson_deviance(test["n"], mean), rel=1e-5)
    rate = known["n"].sum() / time.sum()
    guess = mean_poisson_deviance(test["n"], rate * np.exp(test["log_time"]))
    assert metrics["baseline"]["deviance"] == pytest.approx(guess, rel=1e-9)
    assert list(metrics["baseline"]) == ["deviance", "d2", "rmse", "mae", "r2"]
    plain = comparison(study_of(known, "n", loss="poisson", test=test))["metrics"]["baseline"]["deviance"]
    constant = mean_poisson_deviance(test["n"], np.full(100, known["n"].mean()))
    assert plain == pytest.approx(constant, rel=1e-9)


# --- formulas ---


def test_a_formula_goes_with_groups_weights_orders_and_test_files() -> None:
    data, test = frame(), frame(50, 4)
    plain = comparison(study_of(data[["a", "b", "y", "w"]], weights="w", test=test[["a", "b", "y", "w"]]))
    found = study_of(data, "y ~ a + b", weights="w", test=test)
    assert comparison(found)["metrics"]["perceptron"] == pytest.approx(plain["metrics"]["perceptron"], rel=1e-9)
    assert found.schema.feature_names == ("a", "b")
    assert "groups by 'who'" in comparison(study_of(data, "y ~ a + b", group="who"))["on"]
    ordered = study_of(data, "y ~ a + b", holdout_by="day")
    assert "the last 24 rows by 'day'" in comparison(ordered)["on"]
    assert ordered.schema.feature_names == ("a", "b")
    with pytest.raises(InputError, match="there is no column 'whom'"):
        study_of(data, "y ~ a + b", group="whom")


# --- options that do not go together ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"cv": 3, "holdout": 0.2}, "cv=3 and holdout do not go together"),
        ({"cv": 3, "holdout_by": "day"}, "cv=3 and holdout_by"),
        ({"cv": 3, "no_refit": True}, "cv=3 and no_refit"),
        ({"test": frame(30, 1), "holdout": 0.3}, "test and holdout"),
        ({"test": frame(30, 1), "holdout_by": "day"}, "test and holdout_by"),
        ({"group": "who", "holdout_by": "day"}, "group and holdout_by"),
        ({"holdout_by": "day", "holdout": 0}, "no row is held out"),
        ({"weights_kind": "sampling"}, "name their column with weights"),
        ({"group": "y"}, "group='y': this is the target"),
        ({"weights": "ww"}, "there is no column 'ww'; did you mean 'w'"),
        ({"cv": 1}, "cv"),
        ({"cv": 500}, "rows for 120 folds only"),
        ({"cv": 20, "group": "who"}, "rows for 15 folds only"),
        ({"weights_kind": "weird"}, "weights_kind"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        study_of(frame(), **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", [["--cv", "3"], ["--group", "who"], ["--weights", "w"], ["--holdout-by", "day"]])
def test_rows_in_pieces_refuse_what_needs_them_in_memory(
    option: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().to_csv("d.csv", index=False)
    monkeypatch.setattr("newtron.table.in_memory._is_large", lambda *_: True)
    assert main(["fit", "d.csv", "--target", "y", "--no-report", *option]) == 2
    assert f"{option[0]}: d.csv is read in pieces" in capsys.readouterr().err


def test_rows_in_pieces_are_compared_on_a_test_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().to_csv("d.csv", index=False)
    frame(40, 3).to_csv("t.csv", index=False)
    words = ["fit", "d.csv", "--target", "y", "--test", "t.csv", "--no-report", "--model", "perceptron", "--json"]
    assert main(words) == 0
    whole = json.loads(capsys.readouterr().out)["comparison"]
    from newtron.table import in_memory

    is_large = in_memory._is_large
    monkeypatch.setattr(in_memory, "_is_large", lambda s, limit: s.path.endswith("d.csv") or is_large(s, limit))
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)["comparison"]
    assert found["held_out_rows"] == 40
    assert found["metrics"]["perceptron"]["rmse"] == pytest.approx(whole["metrics"]["perceptron"]["rmse"], rel=1e-9)


# --- Ctrl-C ---


@pytest.mark.parametrize("trainings", [1, 3, 4])
def test_ctrl_c_in_a_cross_validation_compares_the_folds_that_are_done(
    trainings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pressed during this training; the model that is kept is that of the first fold."""
    from newtron.study.train import Trainer

    train, done = Trainer.train, []

    def interrupted(self: Trainer, *given: Any, **settings: Any) -> Any:
        done.append(given[0])
        self.interrupts.asked = len(done) == trainings
        return train(self, *given, **settings)

    monkeypatch.setattr(Trainer, "train", interrupted)
    study = study_of(frame()[["a", "b", "y"]], cv=4)
    facts, found = study.to_dict(), comparison(study)
    assert len(done) == trainings
    assert study.interrupted
    assert facts["refit"] is None
    folds_done = max(trainings - 1, 1)
    assert found["held_out_rows"] == 30 * folds_done
    assert f"of which {folds_done} fold" in found["on"]
    assert (found["interval"] is not None) is False  # one model: nothing to compare it with but the guess
    assert any("interrupted" in note and "the training rows alone" in note for note in study.notes)
    assert study.model.predict(frame()[["a", "b"]]).shape == (120,)


def test_frames_of_a_study() -> None:
    data = frame().assign(y=lambda d: np.where(d["y"] > 0, "yes", "no"))[["a", "b", "c", "y"]]
    study = study_of(data, cv=3, test=frame(30, 2).assign(y=lambda d: np.where(d["y"] > 0, "yes", "no")), alpha=1.0)
    assert study.classes is not None
    assert study.tested is not None
    assert study.comparison is not None
    assert study.classes["class"].tolist() == ["no", "yes"]
    assert study.classes["rows"].sum() == 120
    assert study.tested["model"].tolist() == ["baseline", "perceptron"]
    assert list(study.tested) == list(study.comparison)
    assert study_of(frame()[["a", "b", "y"]]).classes is None
    assert study_of(frame()[["a", "b", "y"]]).tested is None
