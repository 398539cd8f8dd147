"""One run: where it computes, how long it will take, its training, and its network afterwards."""
