"""A derivation as text, LaTeX and HTML."""
