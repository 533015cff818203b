"""
Does a straight line fit?
=========================

Residuals against a column show what a model misses. A line through the age of concrete misses that it hardens early; a
network does not.
"""

import matplotlib.pyplot as plt
import pandas as pd

from newtron import NetworkRegressor, PerceptronRegressor, ResidualsDisplay

concrete = pd.read_csv("../concrete.csv")
X, y = concrete.drop(columns="strength_mpa"), concrete["strength_mpa"]
models = {
    "perceptron": PerceptronRegressor().fit(X, y),
    "network": NetworkRegressor(hidden=(8,), n_starts=1).fit(X, y),
}

# %%
# The means of groups of rows should lie in the grey band.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes, models.items(), strict=True):
    ResidualsDisplay.from_estimator(model, X, y, against="age_days", ax=ax)
    ax.set_title(f"{name}: R² = {model.score(X, y):.2f}")
