"""
Classes that a plane separates
==============================

Two measurements tell every Gentoo penguin from the others. The likelihood of a logistic regression then has no maximum:
newtron proves it and names the columns. Firth's likelihood has finite coefficients.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from newtron import PerceptronClassifier

penguins = pd.read_csv("../penguins.csv").dropna()
X = penguins[["bill_depth_mm", "body_mass_g"]]
gentoo = penguins["species"] == "Gentoo"
with warnings.catch_warnings(action="ignore"):  # the same sentence that is printed
    plain = PerceptronClassifier().fit(X, gentoo)
print(plain.separation_.kind, plain.separation_.names)
print(plain.solution_.sentence)

firth = PerceptronClassifier(penalty="firth").fit(X, gentoo)
print(firth.summary())

# %%
# The line is where Firth's probability of a Gentoo is one half.

figure, axes = plt.subplots(layout="constrained")
for is_gentoo, colour, name in ((True, "#D55E00", "Gentoo"), (False, "#0072B2", "Adelie, Chinstrap")):
    rows = X[gentoo == is_gentoo]
    axes.scatter(rows["bill_depth_mm"], rows["body_mass_g"], s=12, color=colour, label=name)
depth = np.array([14.0, 19.5])
slope, intercept = firth.coef_[0], firth.intercept_[0]
axes.plot(depth, -(intercept + slope[0] * depth) / slope[1], color="black")
axes.set(xlabel="bill_depth_mm", ylabel="body_mass_g", ylim=(2500, 6500))
axes.legend()
