"""The HTML report of a fit, and its plots."""
