"""The paper, rerun: the runs behind its tables, its figures, and the book they fill."""

BANNER = "mccgaa_banner"  # on the output that book.py lifts under a page's title
