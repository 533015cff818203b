"""Effects of columns on predictions: the delta method, and the table of effects with their errors."""
