"""Run the command ``emonet`` as ``python -m emonet``."""

from emonet.cli import main

if __name__ == "__main__":
    main()
