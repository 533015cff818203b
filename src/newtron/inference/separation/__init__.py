"""The separation of classes, under which a likelihood has no maximum, and its proofs."""
