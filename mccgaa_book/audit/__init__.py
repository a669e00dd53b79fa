"""What the book checks of the paper's claims: one function a claim."""
