"""Mixed models: coefficients of a perceptron beside random intercepts of groups of rows, by their likelihood."""
