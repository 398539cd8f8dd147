"""Networks as files of weights: read, recognised, evaluated and written."""
