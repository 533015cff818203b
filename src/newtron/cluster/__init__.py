"""All that knows Dask: rows on the workers of a cluster."""
