"""Inference about a perceptron's coefficients: information, covariances, summaries, profiles, Firth's likelihood."""
