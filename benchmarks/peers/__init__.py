"""Other libraries on the same faces in the same run, each in its own environment.

A module with a library's name runs in the environment of that library, without emonet. It imports
the library, NumPy, and only those modules of this suite that need nothing but NumPy.
"""
