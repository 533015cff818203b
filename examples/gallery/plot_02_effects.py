"""
By how much does the probability change?
========================================

Log odds are hard to imagine. An average marginal effect is the mean change of a probability for one unit more, with a
standard error by the delta method.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from newtron import MarginalEffectsDisplay, PerceptronClassifier

penguins = pd.read_csv("../penguins.csv").dropna()
X = penguins[["species", "bill_length_mm", "bill_depth_mm", "body_mass_g"]]
model = PerceptronClassifier().fit(X, penguins["sex"])
print(model.effects(X))

# %%
# On the left: the effect of each column for one standard deviation. On the right: the effect of one millimetre of bill
# depth, where the bill is as deep as the axis says.

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
MarginalEffectsDisplay.from_estimator(model, X, per="sd", ax=axes[0])
depths = list(np.linspace(13.5, 21, 16))
MarginalEffectsDisplay.from_estimator(model, X, columns="bill_depth_mm", at={"bill_depth_mm": depths}, ax=axes[1])
