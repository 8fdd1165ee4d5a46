"""Pages, figures and tables made from stored measurements."""
