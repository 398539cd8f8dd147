"""Files of network weights: reading, recognising, evaluating and writing them."""
