"""Penalties chosen from the data: by evidence and by leaving rows out."""
