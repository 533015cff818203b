"""The command `newtron fit`: its stages and its screens."""
