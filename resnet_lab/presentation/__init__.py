"""Building blocks of tables, text and figures, shared by the analyses, the terminal and the report."""
