"""`python -m stella_pipelines.cli`: the `stella` command where no console script is installed."""

from stella_pipelines.cli.app import main

if __name__ == "__main__":
    main()
