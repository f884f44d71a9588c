"""What is known of stored events beside the program: their catalogue, the checks of their history, and comparisons."""
