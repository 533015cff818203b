"""
How sure is a prediction?
=========================

A network predicts the strength of concrete, with an interval of 90 % for each mixture that it has never seen.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from newtron import NetworkRegressor

concrete = pd.read_csv("../concrete.csv")
X, y = concrete.drop(columns="strength_mpa"), concrete["strength_mpa"]
new = concrete.index % 5 == 0
model = NetworkRegressor(hidden=(8,), n_starts=1).fit(X[~new], y[~new])
predicted = model.predict(X[new])
ends = model.predict_interval(X[new], coverage=0.9)
inside = (ends[:, 0] <= y[new]) & (y[new] <= ends[:, 1])
print(f"{inside.mean():.0%} of {new.sum()} new mixtures lie in their intervals")

# %%
# Mixtures in the order of their prediction: the interval of each, and what was measured.

order = np.argsort(predicted)
place = np.arange(len(order))
measured = y[new].to_numpy()[order]
figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
axes.fill_between(place, ends[order, 0], ends[order, 1], color="0.85", label="90 % interval")
axes.plot(place, predicted[order], color="black", linewidth=1, label="prediction")
kept = inside.to_numpy()[order]
axes.scatter(place[kept], measured[kept], s=12, color="#0072B2", label="measured, inside")
axes.scatter(place[~kept], measured[~kept], s=12, color="#D55E00", marker="s", label="measured, outside")
axes.set(xlabel="mixtures that were held out, weakest first", ylabel="strength, MPa")
axes.legend()
