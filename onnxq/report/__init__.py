"""A page about a quantized file that one shows to others. Entrances: ``gather``, then ``page``."""
