"""Which files beside images are notes about them, so that nobody takes them for unread images."""

NOTES = (".txt", ".md", ".json", ".csv", ".tsv", ".xml", ".yaml", ".yml", ".html", ".ini", ".db")
