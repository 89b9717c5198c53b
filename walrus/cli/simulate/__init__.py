"""The commands of ``walrus-sim``, one file each."""
