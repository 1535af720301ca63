"""Tables in files, read and written a batch at a time. Imports the parent and below."""
