"""The press: percent script, executed and stamped page, static book, README."""
