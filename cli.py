"""Run styler from a checkout: ``python cli.py transfer content.jpg style.jpg``."""

from styler.cli.main import main

if __name__ == "__main__":
    main()
