"""
Which measurements tell a penguin's sex?
========================================

A logistic regression on a table with words and numbers, and its coefficients with intervals, on one scale.
"""

import pandas as pd

from newtron import CoefficientDisplay, PerceptronClassifier

penguins = pd.read_csv("../penguins.csv").dropna()
X = penguins[["species", "bill_length_mm", "bill_depth_mm", "body_mass_g"]]
y = penguins["sex"]
model = PerceptronClassifier().fit(X, y)
print(model.summary())

# %%
# Each point is the change of the log odds of a male for one standard deviation of the column; the lines are 95 %
# confidence intervals.

CoefficientDisplay.from_estimator(model, X, y, standardized=True)
