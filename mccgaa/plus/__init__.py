"""What mccgaa+ has beyond the paper: augmentations, averaged weights, statements."""
