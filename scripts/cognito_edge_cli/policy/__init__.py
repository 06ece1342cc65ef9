"""The live policy: check it, try it, write it, cut tokens off."""
