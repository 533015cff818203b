"""How good an end is: measured, bounded and said."""
