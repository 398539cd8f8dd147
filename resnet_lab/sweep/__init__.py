"""Many runs: which ones, and how they are started."""
