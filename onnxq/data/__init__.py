"""Images: data sets, decoding, preprocessing, batches. Called by the command line, and by scripts in Python."""
