"""Other libraries on the same faces in the same run, each in an environment of its own.

A module here that bears a library's name runs in that library's environment, where emonet is
not installed: it imports the library, and from this suite only what needs nothing but NumPy.
"""
