"""The typer application and its commands."""

from __future__ import annotations

import typer

from recshield.cli import (
    audit,
    bench,
    bundle,
    cache,
    compare,
    datasets,
    matrix,
    plugin,
    plugins,
    report,
    reproduce,
    show,
    stages,
)

app = typer.Typer(
    name="recshield",
    help="Cross attacks on recommender systems with defenses; every figure carries a credibility verdict.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if version:
        from recshield import __version__

        typer.echo(f"recshield {__version__}")
        raise typer.Exit


app.command("matrix")(matrix.matrix)
app.command("train")(stages.train)
app.command("attack")(stages.attack)
app.command("evaluate")(stages.evaluate)
app.command("show")(show.show)
app.command("bundle")(bundle.bundle)
app.command("verify")(bundle.verify)
app.command("reproduce")(reproduce.reproduce)
app.command("audit")(audit.audit)
app.command("bench")(bench.bench)
app.command("compare")(compare.compare)
app.command("report")(report.report)
app.command("plugins")(plugins.plugins)
app.add_typer(plugin.app, name="plugin")
app.add_typer(datasets.app, name="datasets")
app.add_typer(cache.app, name="cache")
