"""Pages of HTML that load nothing and run nothing: pieces, figures, style and the whole document."""
