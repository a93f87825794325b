"""Pictures painted by arithmetic: the style samples of the project, one module per style."""
