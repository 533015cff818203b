"""
A straight and a bent boundary
==============================

A perceptron for classification draws straight boundaries; a network with five hidden units can bend them. How far it
bends is a matter of the penalty.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.inspection import DecisionBoundaryDisplay

from newtron import NetworkClassifier, PerceptronClassifier

penguins = pd.read_csv("../penguins.csv").dropna()
X, y = penguins[["bill_length_mm", "bill_depth_mm"]], penguins["species"]
models = {
    "perceptron": PerceptronClassifier(alpha=1.0, standardize=True).fit(X, y),
    "network": NetworkClassifier(hidden=(5,), n_starts=1, alpha=0.1).fit(X, y),
}

# %%
# The colours show the most probable species.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    colours = ["#0072B2", "#E69F00", "#009E73"]
    DecisionBoundaryDisplay.from_estimator(
        model, X, ax=ax, alpha=0.3, response_method="predict", multiclass_colors=colours
    )
    for colour, (species, rows) in zip(colours, X.groupby(y), strict=True):
        ax.scatter(rows["bill_length_mm"], rows["bill_depth_mm"], s=10, color=colour, label=species)
    ax.set_title(f"{name}: {model.score(X, y):.1%} of the rows are right")
axes[0].legend()
