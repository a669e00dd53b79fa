"""Every figure of the book, one function each: style, data, method, results."""
