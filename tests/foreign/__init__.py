"""Files of other programs, in the layouts in which these programs write them."""
