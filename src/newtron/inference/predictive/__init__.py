"""How sure predictions are: noise, predictive distributions, temperature."""
