"""The paper, rerun: the runs behind its tables, its figures, and the book they fill."""

BANNER = "mccgaa_banner"  # metadata of the output in which `page.start` says its kind
CLAIMS = "mccgaa_claims"  # metadata of the output in which `claims.show` keeps checks
