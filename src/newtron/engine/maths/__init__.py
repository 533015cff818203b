"""The mathematics of one network: activations, losses, the chain rule, curvature."""
