"""The commands of the command line, by subject; `mccgaa.cli` collects them."""
