"""``python -m emonet`` is the command ``emonet``."""

from emonet.cli import main

if __name__ == "__main__":
    main()
