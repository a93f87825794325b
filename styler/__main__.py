"""``python -m styler``."""

from styler.cli.main import main

if __name__ == "__main__":
    main()
