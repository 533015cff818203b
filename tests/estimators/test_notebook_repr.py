"""What a notebook shows for an estimator: scikit-learn's own picture, and below it the certificate and coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from support.models import change

from newtron import NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.estimators.notebook import described

RNG = np.random.default_rng(3)
X = RNG.normal(size=(60, 2))
Y = X @ [1.0, -2.0] + RNG.normal(size=60)
HOSTILE = '<script>alert("x")</script>'


@pytest.mark.parametrize("model", [PerceptronRegressor(), NetworkRegressor(hidden=(2,), n_starts=1)])
def test_certificate_and_coefficients_are_below_the_picture(model: Any) -> None:
    assert described(None) == ""
    assert "newtron-account" not in model._repr_html_()
    model.fit(X, Y)
    shown = model._repr_html_()
    assert shown.count("newtron-account") == 1
    assert model._repr_mimebundle_()["text/html"].count("newtron-account") == 1
    assert shown.startswith("<style>")
    assert model.certificate_.sentences()[0] in shown
    assert (model.summary()._repr_html_() in shown) if hasattr(model, "summary") else "p-value" not in shown


def test_names_from_the_data_are_escaped() -> None:
    frame = pd.DataFrame(X, columns=[HOSTILE, "b"])
    # One column tells the classes, so that the certificate names it.
    model = PerceptronClassifier()
    with pytest.warns(UserWarning, match="separated"):
        model.fit(frame, np.where(X[:, 0] > 0.0, HOSTILE, "no"))
    for fitted in (model, PerceptronRegressor().fit(frame, Y)):
        found = described(fitted.model_)
        assert "&lt;script&gt;" in found
        assert "<script" not in found


def test_an_estimator_is_shown_in_any_state() -> None:
    model = PerceptronRegressor().fit(X, Y)
    broken = PerceptronRegressor().fit(X, Y)
    change(broken, members=None)
    assert described(broken.model_) == ""
    with config_context(display="text"):
        assert not hasattr(model, "_repr_html_")
        assert "text/html" not in model._repr_mimebundle_()
    assert make_pipeline(StandardScaler(), model).fit(X, Y)._repr_html_()
    many = PerceptronRegressor(alpha=1.0).fit(RNG.normal(size=(60, 80)), Y)
    assert "<table" not in described(many.model_)
