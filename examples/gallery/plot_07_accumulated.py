"""
What a network does with a column
=================================

Accumulated local effects show how the mean prediction changes along one column, from exact derivatives; relevances say
how much each column moves the prediction.
"""

import matplotlib.pyplot as plt
import pandas as pd

from newtron import AccumulatedEffectsDisplay, NetworkRegressor

concrete = pd.read_csv("../concrete.csv")
X, y = concrete.drop(columns="strength_mpa"), concrete["strength_mpa"]
model = NetworkRegressor(hidden=(8,), n_starts=1).fit(X, y)

# %%
# Concrete hardens quickly in the first month and slowly afterwards. Between 150 and 200 kg in a cubic metre, where most
# mixtures lie (the marks at the foot), more water makes it weaker.

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
AccumulatedEffectsDisplay.from_estimator(model, X, "age_days", ax=axes[0])
AccumulatedEffectsDisplay.from_estimator(model, X, "water", ax=axes[1])
relevance = pd.Series(model.relevance_, X.columns).sort_values()
axes[2].barh(relevance.index, relevance, color="#0072B2")
axes[2].set_xlabel("relevance (share)")
