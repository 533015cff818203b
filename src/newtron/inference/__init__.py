"""Statistical inference from the derivatives at the end of a training: certificates, standard errors, penalties,
uncertainty of predictions, separation."""
