"""
How often are ships damaged?
============================

Poisson regression with an exposure: counts of incidents of 34 groups of ships (McCullagh & Nelder 1989). Rate ratios
compare each type of ship with type A.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from newtron import PerceptronRegressor

ships = pd.read_csv("../ships.csv")
X = ships[["type", "built", "period"]].assign(log_service=np.log(ships["service"]))
levels = {"type": ["A", "B", "C", "D", "E"], "built": [60, 65, 70, 75], "period": [60, 75]}
model = PerceptronRegressor(loss="poisson", offset="log_service", columns=levels).fit(X, ships["incidents"])
print(model.summary(exponentiate=True))

# %%
# Incidents that were counted, and those that the model expects; 0.3 is added so that zeros have a place.

figure, axes = plt.subplots(layout="constrained")
expected = model.predict(X)
line = np.logspace(-1.0, 1.9)
axes.plot(line, line + 0.3, color="0.6", linewidth=1)
axes.scatter(expected, ships["incidents"] + 0.3, color="#0072B2")
axes.set(xscale="log", yscale="log", xlabel="expected incidents", ylabel="counted incidents, plus 0.3")
