"""Reading and writing other projects' weights."""
