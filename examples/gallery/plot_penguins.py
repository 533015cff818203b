"""
A boundary between species
==========================

A perceptron for classification draws a straight boundary. The probabilities of two measurements of penguins show it.
"""

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.inspection import DecisionBoundaryDisplay

from newtron import PerceptronClassifier

penguins = pd.read_csv("../penguins.csv").dropna()
X, y = penguins[["bill_length_mm", "bill_depth_mm"]], penguins["species"]
model = PerceptronClassifier(alpha="evidence", standardize=True).fit(X, y)
print(model.certificate_)

# %%
# The colours show the most probable class.

figure, axes = plt.subplots(layout="constrained")
DecisionBoundaryDisplay.from_estimator(model, X, ax=axes, alpha=0.3, response_method="predict")
for name, rows in X.groupby(y):
    axes.scatter(rows["bill_length_mm"], rows["bill_depth_mm"], s=10, label=name)
axes.legend()
