"""Files to store: records of any format, datasets' folders, packed signal stores."""
