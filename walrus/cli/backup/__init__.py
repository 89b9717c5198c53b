"""``walrus-cli backup``: copies of a running cluster in a directory or in object storage, and the way back."""
