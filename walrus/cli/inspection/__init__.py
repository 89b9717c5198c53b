"""walrus-cli inspect: what a node's files hold and what is wrong with them, without a node.

FORMATS.md has the bytes.
"""
