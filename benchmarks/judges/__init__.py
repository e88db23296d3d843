"""The verdict rules of other tools, written anew from their description, as judges of the same lives."""
