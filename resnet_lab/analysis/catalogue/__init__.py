"""One module per analysis, each with its record ANALYSIS. Imports neither torch nor matplotlib at module level."""
