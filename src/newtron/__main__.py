"""`python -m newtron` is the command `newtron`."""

from newtron.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
