"""What the derivatives at the end of a training say about a model: proofs, errors and evidence."""
