"""
Are probabilities what they say?
================================

The diagnosis of 569 tumours from three measurements (Wolberg, Street & Mangasarian 1995). The penalty is chosen by the
leave-one-out loss, and the curves are drawn for rows that were held out.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibrationDisplay
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import RocCurveDisplay, log_loss
from sklearn.model_selection import train_test_split

from newtron import PerceptronClassifier

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X[["mean radius", "mean texture", "mean smoothness"]]
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
model = PerceptronClassifier(alpha="loo", standardize=True).fit(X_train, y_train)
print(model.solution_.chosen)
print(f"log loss {log_loss(y_test, model.predict_proba(X_test)):.3f}")

# %%
# The ROC curve, and how often tumours with a given probability are benign.

figure, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
RocCurveDisplay.from_estimator(model, X_test, y_test, ax=axes[0])
CalibrationDisplay.from_estimator(model, X_test, y_test, n_bins=5, ax=axes[1])
