"""Range choice, in pure numpy: from statistics to [lower, upper]."""
