"""The other rows of Tables 2 and 3, one module per method, trained here."""
