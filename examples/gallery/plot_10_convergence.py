"""
How training ends
=================

The same network on the same table by three solvers: Levenberg-Marquardt, L-BFGS and gradient descent. The picture shows
the largest component of the gradient after each iteration, down to the tolerance.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes

from newtron import ConvergenceDisplay, NetworkRegressor

X, y = load_diabetes(return_X_y=True, as_frame=True)

figure, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
for ax, solver in zip(axes, ("levenberg-marquardt", "lbfgs", "gradient-descent"), strict=True):
    model = NetworkRegressor(hidden=(4,), n_starts=1, alpha=1.0, solver=solver, max_iter=300)
    with warnings.catch_warnings(action="ignore"):  # the sentence below says it
        model.fit(X, y)
    print(f"{solver}: {model.n_iter_} iterations. {model.solution_.sentence}")
    ConvergenceDisplay.from_estimator(model, ax=ax)
    ax.set_title(solver)
