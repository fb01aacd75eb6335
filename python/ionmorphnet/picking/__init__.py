"""From a section to its ranked channels, and the files that hold them."""
