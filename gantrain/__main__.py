"""`python -m gantrain` is the same as `gantrain`."""

from gantrain.cli import main

if __name__ == "__main__":
    main()
