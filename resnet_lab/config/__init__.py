"""What a run is: its settings, checked in one place, and the files that they come from."""
