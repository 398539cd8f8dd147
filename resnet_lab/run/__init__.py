"""Execution of runs: devices, duration estimates, training, benchmarks, and loading of trained networks."""
