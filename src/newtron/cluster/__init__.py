"""Rows on the workers of a Dask cluster. No other room knows Dask."""
