"""The main job, from a table to a model: the data, the split, training, comparing, and what came out of it."""
