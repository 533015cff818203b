"""Whether classes are separated, so that a likelihood has no maximum, with its proof."""
