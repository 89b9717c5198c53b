"""``walrus-cli doctor``: what is wrong with a cluster, or with the place where a node is to start."""
