"""The chapters of a derivation."""
