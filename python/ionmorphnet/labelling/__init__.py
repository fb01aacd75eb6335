"""The labelling page: a local web page on which people label ion images."""
