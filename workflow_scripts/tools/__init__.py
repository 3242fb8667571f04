"""The commands for people: python -m workflow_scripts.tools.<name>."""

import argparse


def command_line(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Return the parser of the tool `name`, which takes `--config KEY=VALUE…` as Snakemake does."""
    parser = argparse.ArgumentParser(
        prog=f"python -m workflow_scripts.tools.{name}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="as for Snakemake"
    )
    return parser
