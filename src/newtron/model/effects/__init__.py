"""Effects of columns on the predictions of a fitted model, with delta-method standard errors."""
