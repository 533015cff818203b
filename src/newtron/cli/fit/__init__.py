"""`newtron fit`: its stages, and what it says."""
