"""What a runtime makes of a file: which layers compute with integers, and why others do not. Called by users."""
