"""The certificate of a fit: what is measured at its end, what is proved about it, and the sentences that say so."""
