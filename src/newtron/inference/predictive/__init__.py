"""The uncertainty of predictions: noise, predictive distributions, temperature."""
