"""What tables, texts and figures are made of, for the analyses, the terminal and the report."""
