"""The commands. Whatever takes long to import is imported by the command that needs it."""

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from strainscope.cli import calibration as calibration_commands
from strainscope.cli import dataset as dataset_commands
from strainscope.cli import estimator as estimator_commands
from strainscope.cli import maps as map_commands
from strainscope.cli import recorded as recorded_commands
from strainscope.cli import series as series_commands
from strainscope.cli import web as web_commands
from strainscope.cli.completion import axis_names, intensity_names, sample_names
from strainscope.cli.files import PICTURES, check_new, check_picture, put
from strainscope.cli.options import DeviceOption, SampleOption

if TYPE_CHECKING:
    from strainscope.inversion import Result
    from strainscope.scan import Scan

USAGE_ERROR, INTERRUPTED = 2, 130
# What typer, or the click under it, calls a wrong use of a command.
_UsageError: Any = typer.BadParameter.__base__
NEW_FOLDER = "NEW_FOLDER"
INDEX_OPTIONS = ("-r", "--reflection", "--surface")
EXAMPLE = "ggg444-simulated.xy"
AXIS_NAMES = "delta-theta-arcsec, omega-deg or two-theta-deg"


class _Commands(TyperGroup):
    """Commands whose expected errors are one line and exit code 2."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (typer's or click's own)
        ctx.obj = shlex.join(["strainscope", *args])
        with _usage_errors_in_a_line():
            return list(super().parse_args(ctx, _with_joined_indices(args)))

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        try:
            with _usage_errors_in_a_line():
                result = super().invoke(ctx)
            # A closed pipe shows here rather than when Python ends.
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            raise
        except KeyboardInterrupt as interrupt:
            typer.echo(" ".join(["strainscope: interrupted", *interrupt.args]), err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (ValueError, OSError) as error:
            if os.environ.get("STRAINSCOPE_DEBUG") == "1":
                raise
            typer.echo(f"strainscope: error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(USAGE_ERROR) from None


@contextmanager
def _usage_errors_in_a_line() -> Iterator[None]:
    try:
        yield
    except _UsageError as error:
        # A command without arguments asks for its help, which is no error.
        if type(error).__name__ == "NoArgsIsHelpError":
            raise
        text = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "strainscope"
        typer.echo(f"strainscope: error: {text}; see {command} --help.", err=True)
        raise typer.Exit(USAGE_ERROR) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="X-ray rocking curves to strain and disorder with depth.",
)

app.add_typer(dataset_commands.app, name="dataset")
app.command()(estimator_commands.train)
app.command()(estimator_commands.evaluate)
app.command()(series_commands.batch)
app.command(name="map")(map_commands.map_scans)
app.command()(calibration_commands.calibrate)
app.command()(recorded_commands.info)
app.command(name="import-radmax")(recorded_commands.import_radmax)
app.command()(web_commands.serve)

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
AxisOption = Annotated[
    str | None,
    typer.Option(autocompletion=axis_names, help=f"Scan axis: {AXIS_NAMES}; else the sample's."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
WidthOption = Annotated[
    str, typer.Option(metavar="WIDTH", help="Of pictures: single (85 mm), double (175 mm), or millimetres.")
]


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show χ shows a question mark, and no traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="strainscope")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"strainscope {metadata.version('strainscope')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# crystal ----------------------------------------------------------------------------------------------------


@app.command()
def crystal(
    reflection: Annotated[
        str,
        typer.Option("-r", "--reflection", metavar="H K L", help="Three indices, or four: 4 4 4, 1 1 -2 4."),
    ],
    name: Annotated[str | None, typer.Argument(help="A built-in crystal, such as GGG.")] = None,
    wavelength: Annotated[
        str, typer.Option("-w", "--wavelength", help="Å, or a line such as CuKa1.")
    ] = "CuKa1",
    surface: Annotated[
        str | None, typer.Option(metavar="H K L", help="Surface; by default parallel to the planes.")
    ] = None,
    incidence: Annotated[str, typer.Option(help="Onto inclined planes: grazing or steep.")] = "grazing",
    debye_waller: Annotated[
        bool, typer.Option("--debye-waller/--no-debye-waller", help="Thermal vibration.")
    ] = True,
    cif: Annotated[Path | None, typer.Option(help="A CIF in place of NAME.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Print what a reflection of a perfect crystal is like."""
    from strainscope import crystal as crystals
    from strainscope.readers import read_text
    from strainscope.sample import LARGEST_CIF_BYTES

    if (name is None) == (cif is None):
        raise ValueError("give either the NAME of a built-in crystal or --cif FILE.")
    if cif is None:
        structure = crystals.builtin_crystal(str(name))
    else:
        text = read_text(cif, what="CIF", limit_bytes=LARGEST_CIF_BYTES)
        structure = crystals.crystal_from_cif(text, name=cif.stem)
    if incidence not in ("grazing", "steep"):
        raise ValueError(f"--incidence = {incidence!r}; it must be grazing or steep.")
    own = crystals.reflection(
        structure,
        _indices("--reflection", reflection),
        wavelength=wavelength,
        surface=None if surface is None else _indices("--surface", surface),
        incidence="grazing" if incidence == "grazing" else "steep",
        debye_waller=debye_waller,
    )
    if as_json:
        typer.echo(json.dumps(crystals.reflection_document(own)))
        return
    typer.echo(f"{own.crystal} {' '.join(map(str, own.hkl))}")
    for words, value, unit in crystals.reflection_figures(own).values():
        typer.echo(f"{words:<30} {_number(value)} {unit}".rstrip())


def _number(value: float | complex) -> str:
    if not isinstance(value, complex):
        return f"{value:.6g}"
    return f"{value.real:.5g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.5g}i"


def _indices(option: str, text: str) -> list[int]:
    """Miller indices of "4 4 4", "4,4,4" or, where each has one digit, "444"."""
    words = re.split(r"[\s,]+", text.strip())
    if len(words) == 1:
        words = re.findall(r"[+-]?\d", words[0]) if re.fullmatch(r"([+-]?\d){3,4}", words[0]) else words
    try:
        return [int(word) for word in words]
    except ValueError:
        raise ValueError(f"{option} = {text!r}; give whole numbers, such as 4 4 4.") from None


def _with_joined_indices(arguments: Sequence[str]) -> list[str]:
    """Arguments with `-r 4 4 4` as one: an option of this kind takes three indices or four."""
    result: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*result, word, *rest]
        taken: list[str] = []
        while word in INDEX_OPTIONS and rest and len(taken) < 4 and re.fullmatch(r"[+-]?[\d.]+,?", rest[0]):
            taken.append(rest.pop(0))
        if taken:
            word = f"{'--reflection' if word == '-r' else word}={' '.join(taken)}"
        result.append(word)
    return result


# samples and example ----------------------------------------------------------------------------------------


@app.command()
def samples(
    name: Annotated[
        str | None,
        typer.Argument(autocompletion=sample_names, help="Print this one, to start a file of your own."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the sample files that ship, or print one."""
    from strainscope.sample import load_sample, preset_text, presets

    if name is not None:
        settings = load_sample(name).settings() if as_json else None
        typer.echo(preset_text(name) if settings is None else json.dumps(settings), nl=as_json)
        return
    found = {preset: re.search(r"^title: (.*)$", preset_text(preset), re.MULTILINE) for preset in presets()}
    titles = {preset: title[1] if title else "" for preset, title in found.items()}
    if as_json:
        typer.echo(json.dumps(titles))
        return
    for preset, title in titles.items():
        typer.echo(f"{preset:<19} {title}".rstrip())


@app.command()
def example(
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write; by default stdout.")] = None,
    force: ForceOption = False,
) -> None:
    """Write the example: a simulated scan of implanted GGG, with counting noise."""
    content = resources.files("strainscope").joinpath("samples", EXAMPLE).read_bytes()
    if out is None:
        typer.echo(content.decode(), nl=False)
        return
    put([(out, content)], force)
    typer.echo(f"{out}: written")


# simulate ---------------------------------------------------------------------------------------------------


@app.command()
def simulate(
    context: typer.Context,
    sample: Annotated[
        str,
        typer.Argument(autocompletion=sample_names, help="A preset's name, a sample file, or a result."),
    ],
    reflection: Annotated[
        str | None,
        typer.Option("-r", "--reflection", metavar="H K L", help="Another reflection of the same sample."),
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter's value; for several repeat it."),
    ] = None,
    counts: Annotated[
        float | None, typer.Option(help="Counts at the strongest point: adds counting noise.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    span: Annotated[
        tuple[float, float] | None, typer.Option("--range", help="First and last angle, in the axis's unit.")
    ] = None,
    step: Annotated[float | None, typer.Option(help="In the axis's unit.")] = None,
    axis: AxisOption = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="File to write; by default stdout.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this .png, .svg or .pdf, too.")] = None,
    figure_width: WidthOption = "double",
    device: DeviceOption = "cpu",
    force: ForceOption = False,
) -> None:
    """Simulate a scan of a sample, or of what an inversion found, also at another reflection.

    Parameters that neither --set nor the sample file gives are taken as usual (instrument) or as the middle of
    their priors (profile); stderr says which.
    """
    from strainscope.diffraction import use_device
    from strainscope.report import width_in
    from strainscope.sample import is_result, load_sample, read_result, values_at
    from strainscope.scan import UNITS

    use_device(device)
    indices = None if reflection is None else tuple(_indices("--reflection", reflection))
    found, known = (load_sample(sample), {}) if not is_result(sample) else read_result(sample)
    described = (found if indices is None else found.at_reflection(indices)).with_options(axis=axis)
    known = values_at(described, found, known)
    if described.scan.axis is None:
        raise ValueError(
            f"{sample}: no scan axis; give --axis {AXIS_NAMES}, or scan: axis in the sample file."
        )
    given = known | _assignments(values or [])
    settings = described.simulated_values(given, counts=counts)
    for path in (out, plot):
        check_new(path, force)
    check_picture(plot)
    width = width_in(figure_width)
    scan, settings = described.simulate(settings, counts=counts, seed=seed, span=span, step=step)
    units = {spec.name: spec.unit.replace("1", "") for spec in described.prior().parameters}
    noise = "no noise" if counts is None else f"Poisson counting noise, seed {seed}"
    # A result is no sample that a scan could be inverted with.
    named = "" if is_result(sample) else f"--sample {sample} "
    lines = [
        f"# simulated by Strainscope {metadata.version('strainscope')}, not measured",
        f"# {noise}; as a scan: {named}--axis {scan.axis} --intensity {scan.intensity_kind}",
        f"# {context.obj}",
        *(f"# {name} = {value:.10g} {units[name]}".rstrip() for name, value in settings.items()),
        f"# {scan.axis}   {scan.intensity_kind}",
        *(f"{x:.10g} {y:.10g}" for x, y in zip(scan.angle, scan.intensity, strict=True)),
    ]
    text = "\n".join([*lines, ""])
    # Drawn before anything is written, and written together: both files or none.
    files = [] if out is None else [(out, text.encode())]
    if plot is not None:
        picture = _picture(scan, f"{described.title or sample}: simulated", plot.suffix.lower(), width)
        files.append((plot, picture))
    put(files, force)
    for note in described.simulation_notes(settings, given=given, counts=counts):
        typer.echo(f"strainscope: note: {note}", err=True)
    if out is None:
        typer.echo(text, nl=False)
    else:
        ends = f"{scan.angle[0]:.6g} to {scan.angle[-1]:.6g} {UNITS[scan.axis]}"
        typer.echo(f"{out}: {scan.angle.size} points, {ends}, {scan.intensity_kind}")


def _assignments(texts: Sequence[str]) -> dict[str, float]:
    """Values by name of texts such as Dmax1=0.01."""
    found: dict[str, float] = {}
    for text in texts:
        name, _, number = (part.strip() for part in text.partition("="))
        if name in found:
            raise ValueError(f"--set {name} is given twice, {found[name]:g} and {number}; give it once.")
        try:
            found[name] = float(number)
        except ValueError:
            raise ValueError(f"--set {text}: write NAME=VALUE, such as Dmax1=0.01.") from None
    return found


def _picture(scan: "Scan", title: str, suffix: str, width: float) -> bytes:
    """The scan in log scale, as a file of that suffix."""
    from strainscope import plots

    return plots.picture(plots.scan_figure(scan, title=title, width_in=width), kind=PICTURES[suffix])


# invert -----------------------------------------------------------------------------------------------------


@app.command()
def invert(
    context: typer.Context,
    scan_files: Annotated[
        list[Path],
        typer.Argument(
            metavar="SCAN...",
            help="Measured: two or three columns, or an instrument's file. One for each reflection.",
        ),
    ],
    sample: SampleOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the result; it must not exist.")],
    axis: AxisOption = None,
    intensity: Annotated[
        str | None,
        typer.Option(
            autocompletion=intensity_names, help="Second column: counts or normalised; else the sample's."
        ),
    ] = None,
    scan: Annotated[
        list[int] | None,
        typer.Option(help="Which scan of an instrument's file, from 1; repeat it for several files."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the search; the same seed gives the same result.")] = 0,
    draws: Annotated[int | None, typer.Option(min=1, help="Curves simulated in the search.")] = None,
    starts: Annotated[int | None, typer.Option(min=1, help="Draws that are refined.")] = None,
    model_error: Annotated[float | None, typer.Option(help="Relative error granted to the model.")] = None,
    splines: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Refine what was found with so many B-spline weights, whatever the sample's families; 0 for not.",
        ),
    ] = None,
    estimator: Annotated[
        str | None,
        typer.Option(help="Proposes profiles in place of the search: one that ships, or a weights file."),
    ] = None,
    gold: Annotated[
        bool,
        typer.Option(
            "--gold", help="Check by nested sampling, with the evidence: minutes instead of seconds."
        ),
    ] = False,
    instrument: Annotated[
        list[Path] | None,
        typer.Option(help="File of `strainscope calibrate`; repeat it for several reflections."),
    ] = None,
    srim: Annotated[
        list[Path] | None,
        typer.Option(
            help="RANGE.txt or VACANCY.txt of SRIM, drawn beside the profile; repeat it for several."
        ),
    ] = None,
    figure_width: WidthOption = "single",
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find every strain and disorder profile that explains a scan, without a starting guess.

    Scans of several reflections of one sample share one profile; the sample file names the reflections.
    """
    from strainscope import inversion, report, series
    from strainscope.estimator.named import proposal_of
    from strainscope.readers import read_srim

    search = {"draws": draws, "starts": starts, "splines": splines}
    job = series.Job(
        sample=sample,
        axis=axis,
        intensity=intensity,
        scan=tuple(scan or ()),
        model_error=model_error,
        search=tuple((name, value) for name, value in search.items() if value is not None),
        estimator=estimator,
        seed=seed,
        gold=gold,
        instruments=tuple(map(str, instrument or ())),
    )
    described = job.described()
    job.check_columns(scan_files)
    if gold:
        inversion.require_nested()
    report.check_target(out, force)
    report.width_in(figure_width)
    job.settings()
    ions = tuple(map(read_srim, srim or ()))
    proposal = None if estimator is None else proposal_of(estimator, described)
    with _progress() as progress:
        first, *beside = scan_files
        result = series.invert_file(first, job, beside=beside, proposal=proposal, progress=progress)
    result = replace(result, ions=ions)
    command = _repeatable(context.obj)
    report.write_result(result, out, force=force, command=command, figure_width=figure_width)
    if as_json:
        typer.echo(json.dumps(report.result_document(result, command=command), allow_nan=False))
    typer.echo(_summary(result, out), err=as_json)


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on stderr, where that is a terminal: call with what is being done and the share done."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda stage, share: bar.update(task, description=stage, completed=share)


def _repeatable(command: str) -> str:
    """The command with NEW_FOLDER as its folder, as the one that it was given with exists by now."""
    words = [word for word in shlex.split(command) if word != "--force"]
    for i, word in enumerate(words):
        if word in ("-o", "--out"):
            words[i + 1] = NEW_FOLDER
        elif word.startswith(("--out=", "-o")):
            words[i] = f"{'--out=' if word.startswith('--') else '-o'}{NEW_FOLDER}"
    return shlex.join(words)


def _summary(result: "Result", out: Path) -> str:
    from strainscope.report import largest_strain_text, number_text, solutions_text

    best = result.best
    strain, low, high, depth = largest_strain_text(best)
    chi2 = number_text(best.reduced_chi2, digits=3, trailing=True)
    error = "" if result.model_error is None else f" (model error {100 * result.model_error:g} %)"
    return "\n".join(
        [
            f"{result.verdict.level}: {' '.join(result.verdict.reasons)}",
            f"maximum strain {strain} % (68 % interval {low} to {high} %) at {depth} nm; {solutions_text(result)}",
            f"rms of log10 {best.rms_log10:.4f}, reduced χ² {chi2}{error}, {result.wall_s:.1f} s",
            f"report: {out / 'report.html'}",
        ]
    )
