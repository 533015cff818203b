"""What a perceptron's coefficients are worth: information, covariances, summaries, profiles, Firth's likelihood."""
