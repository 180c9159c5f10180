"""Training on the nodes of a cluster without a common file system: files travel as bytes, and the driver saves them."""
