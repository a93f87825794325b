"""A site that shows what the units of a network see, made in steps that can be taken up again."""
