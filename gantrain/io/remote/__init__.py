"""Objects in remote stores, read in ranges through a cache of blocks on disk."""
