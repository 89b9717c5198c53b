"""File formats and their recovery; drivers only offer files."""
