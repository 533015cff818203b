"""The four estimators, as scikit-learn knows estimators. The only package that imports scikit-learn."""

from newtron.estimators.network import NetworkClassifier, NetworkRegressor
from newtron.estimators.perceptron import PerceptronClassifier, PerceptronRegressor

__all__ = ["NetworkClassifier", "NetworkRegressor", "PerceptronClassifier", "PerceptronRegressor"]
