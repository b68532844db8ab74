"""Files as instruments write them, made to the published schemas and to what is known of the other formats."""

import io
import struct
import zipfile

import h5py
import numpy as np

GGG444_DEG = 25.532  # Bragg angle at Cu Kα1
OMEGA = np.round(np.linspace(GGG444_DEG - 0.1, GGG444_DEG + 0.1, 101), 6)


def counts(*, peak=20000, seed=1):
    """Whole counts of a peak on a slope at lower angles."""
    away = (OMEGA - GGG444_DEG) / 0.008
    expected = peak / (1 + away**2) + 20 + peak / 200 * (away < 0)
    return np.random.default_rng(seed).poisson(expected).astype(float)


def words(values, form="{:.6g}"):
    return " ".join(form.format(value) for value in values)


def xrdml_scan(
    *,
    axis="Omega",
    omega=(OMEGA[0], OMEGA[-1]),
    two_theta=None,
    values=None,
    name="counts",
    times=None,
    factors=None,
    more="",
    status="Completed",
):
    """One <scan>; positions are (first, last), or one number where the axis stands still."""
    values = counts() if values is None else values

    def positions(called, ends):
        if np.ndim(ends) == 0:
            inside = f"<commonPosition>{ends:.6f}</commonPosition>"
        elif len(ends) == 2:
            inside = f"<startPosition>{ends[0]:.6f}</startPosition><endPosition>{ends[1]:.6f}</endPosition>"
        else:
            inside = f"<listPositions>{words(ends, '{:.6f}')}</listPositions>"
        return f'<positions axis="{called}" unit="deg">{inside}</positions>'

    time = (
        '<commonCountingTime unit="seconds">2.000</commonCountingTime>'
        if times is None
        else f'<countingTimes unit="seconds">{words(times)}</countingTimes>'
    )
    factor = "" if factors is None else f"<beamAttenuationFactors>{words(factors)}</beamAttenuationFactors>"
    two_theta = 2 * GGG444_DEG if two_theta is None else two_theta
    return f"""<scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="{status}"><dataPoints>
{positions("2Theta", two_theta)}{positions("Omega", omega)}
<positions axis="Phi" unit="deg"><commonPosition>0.00</commonPosition></positions>
<positions axis="X" unit="mm"><commonPosition>0.00</commonPosition></positions>
{time}{factor}{more}<{name} unit="counts">{words(values, "{:.10g}")}</{name}></dataPoints></scan>"""


def xrdml(*scans, version="1.5", intended="K-Alpha 1", ka1=1.540598, detector=""):
    """A whole .xrdml."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
<sample type="To be analyzed"><id>B-17</id><name>implanted GGG</name></sample>
<xrdMeasurement measurementType="Scan" status="Completed"><usedWavelength intended="{intended}">
<kAlpha1 unit="Angstrom">{ka1}</kAlpha1><kAlpha2 unit="Angstrom">1.544426</kAlpha2>
<kBeta unit="Angstrom">1.392250</kBeta><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
<incidentBeamPath><xRayTube id="1"><anodeMaterial>Cu</anodeMaterial></xRayTube></incidentBeamPath>
<diffractedBeamPath><detector>{detector}</detector></diffractedBeamPath>
{"".join(scans)}</xrdMeasurement></xrdMeasurements>""".encode()


def zipped(members):
    """A zip file of members by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def raw_data(
    *, moved, values, absorption=None, times=None, recorded=1, base="Counts", flag="Measured", name="Scan"
):
    """One RawData document of a .brml; axes that moved by the names of Bruker's drives."""
    absorption = np.ones(len(values)) if absorption is None else absorption
    times = np.full(len(values), 2.0) if times is None else times
    rows = "".join(
        f"<Datum>{','.join(f'{number:.10g}' for number in row)}</Datum>"
        for row in zip(times, absorption, *moved.values(), values, strict=True)
    )
    fields = "".join(f'<FieldDefinitions FieldName="{axis}" AxisId="{axis}" />' for axis in moved)
    return f"""<?xml version="1.0"?><RawData xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><DataRoutes>
<DataRoute RouteFlag="{flag}"><ScanInformation ScanName="{name}"><ScanAxes>
<ScanAxisInfo AxisId="{next(iter(moved))}" Unit="°" /></ScanAxes></ScanInformation>{rows}<DataViews>
<RawDataView xsi:type="FixedRawDataView" Start="0" Length="1" LogicName="MeasuredTime" />
<RawDataView xsi:type="FixedRawDataView" Start="1" Length="1" LogicName="AbsorptionFactor" />
<RawDataView xsi:type="VaryingRawDataView" Start="2" Length="{len(moved)}"><Varying>{fields}</Varying></RawDataView>
<RawDataView xsi:type="RecordedRawDataView" Start="{2 + len(moved)}" Length="{recorded}"><Recording>
<Unit Base="{base}" /></Recording></RawDataView></DataViews></DataRoute></DataRoutes><FixedInformation><Drives>
<InfoData LogicName="2Theta" AxisId="TwoTheta"><Position Unit="°" Value="{2 * GGG444_DEG}" /></InfoData>
<InfoData LogicName="Z" AxisId="Z"><Position Unit="mm" Value="1" /></InfoData></Drives><Instrument><Tube>
<WaveLengthAlpha1 Unit="Å" Value="1.5406" /><WaveLengthAverage Unit="Å" Value="1.5418" />
<TubeMaterial>Cu</TubeMaterial></Tube></Instrument></FixedInformation></RawData>"""


def brml(*documents):
    """A whole .brml."""
    names = [f"Experiment0/RawData{i}.xml" for i in range(len(documents))]
    listed = "".join(f"<string>{name}</string>" for name in names)
    container = f"<DataContainer><RawDataReferenceList>{listed}</RawDataReferenceList></DataContainer>"
    return zipped({"Experiment0/DataContainer.xml": container} | dict(zip(names, documents, strict=True)))


def raw_3(
    *, kind=3, omega=OMEGA[0], two_theta=2 * GGG444_DEG, step=OMEGA[1] - OMEGA[0], values=None, ranges=1
):
    """A .raw of version 3: ranges of equal steps."""
    values = counts() if values is None else values
    head = bytearray(712)
    head[:7] = b"RAW1.01"
    head[326:330] = b"B-17"
    head[608:610] = b"Cu"
    struct.pack_into("<I", head, 12, ranges)
    struct.pack_into("<4d", head, 616, 1.541874, 1.540598, 1.544426, 1.39225)
    own = bytearray(304)
    struct.pack_into("<2I4d", own, 0, len(own), len(values), omega, two_theta, 0.0, 90.0)
    struct.pack_into("<d", own, 176, step)
    struct.pack_into("<f", own, 192, 2.0)
    struct.pack_into("<I", own, 196, kind)
    struct.pack_into("<d", own, 240, 1.540598)
    struct.pack_into("<3I", own, 248, 0, 4, 0)
    return bytes(head) + ranges * (bytes(own) + np.asarray(values, dtype="<f4").tobytes())


def record_4(kind, content):
    return struct.pack("<2I", kind, 8 + len(content)) + content


def drive_4(name, position, marked=0):
    return record_4(50, struct.pack("<I24s20xd", marked, name.encode(), position))


def raw_4(
    *, kind="Rocking Curve", scanned="Theta", start=OMEGA[0], step=OMEGA[1] - OMEGA[0], values=None, size=8
):
    """A .raw of version 4: records, and a range with its drives."""
    values = counts() if values is None else values
    starts = {"Theta": OMEGA[0], "2Theta": 2 * GGG444_DEG, "Z-Drive": 1.0}
    starts[scanned] = start
    drives = b"".join(drive_4(name, at, int(name == scanned)) for name, at in starts.items())
    own = bytearray(160)
    own[32 : 32 + len(kind)] = kind.encode()
    struct.pack_into("<2dIf", own, 72, start, step, len(values), 2000.0)
    struct.pack_into("<d", own, 112, 1.540598)
    struct.pack_into("<2I", own, 136, size, len(drives))
    rows = np.zeros((len(values), size // 4), dtype="<f4")
    rows[:, 0] = values
    sample = record_4(10, struct.pack("<I24s", 0, b"SAMPLEID") + b"B-17")
    tube = record_4(30, struct.pack("<64x5d4x4s", 1.541874, 1.540598, 1.544426, 1.39225, 0.5, b"Cu"))
    return b"RAW4.00\0".ljust(61, b"\0") + sample + tube + bytes(own) + drives + rows.tobytes()


def rigaku_header(*, axis="Omega", unit="counts", speed=6.0, speed_unit="deg/min", more=()):
    pairs = {
        "FILE_SAMPLE": "implanted GGG",
        "HW_XG_TARGET_NAME": "Cu",
        "HW_XG_WAVE_LENGTH_ALPHA1": "1.540593",
        "HW_XG_WAVE_LENGTH_ALPHA2": "1.544414",
        "MEAS_COND_AXIS_NAME_INTERNAL-0": "Omega",
        "MEAS_COND_AXIS_POSITION-0": f"{GGG444_DEG + 0.01:.4f}",
        "MEAS_COND_AXIS_NAME_INTERNAL-1": "TwoTheta",
        "MEAS_COND_AXIS_POSITION-1": f"{2 * GGG444_DEG:.4f}",
        "MEAS_COND_AXIS_NAME_INTERNAL-2": "Filter",
        "MEAS_COND_AXIS_POSITION-2": "None",
        "MEAS_SCAN_AXIS_X": axis,
        "MEAS_SCAN_SPEED": f"{speed}",
        "MEAS_SCAN_SPEED_UNIT": speed_unit,
        "MEAS_SCAN_STEP": f"{OMEGA[1] - OMEGA[0]:.6f}",
        "MEAS_SCAN_UNIT_X": "deg",
        "MEAS_SCAN_UNIT_Y": unit,
    }
    return pairs | dict(more)


def rigaku_rows(angle=OMEGA, values=None, factor=None, separator=" "):
    values = counts() if values is None else values
    factor = np.ones(len(values)) if factor is None else factor
    return [
        separator.join([f"{x:.6f}", f"{y:.6f}", f"{f:.6f}"])
        for x, y, f in zip(angle, values, factor, strict=True)
    ]


def ras(*scans):
    """A whole .ras of (header, rows)."""
    lines = ["*RAS_DATA_START"]
    for header, rows in scans:
        lines += [
            "*RAS_HEADER_START",
            *(f'*{key} "{value}"' for key, value in header.items()),
            "*RAS_HEADER_END",
        ]
        lines += ["*RAS_INT_START", *rows, "*RAS_INT_END"]
    return "\r\n".join([*lines, "*RAS_DATA_END", ""]).encode("latin-1")


def rasx(*scans):
    """A whole .rasx of (header, rows)."""
    members = {"root.xml": "<Root />"}
    for i, (header, rows) in enumerate(scans):
        axes = "".join(
            f'<Axis Name="{header[f"MEAS_COND_AXIS_NAME_INTERNAL-{k}"]}" Unit="deg" '
            f'Position="{header[f"MEAS_COND_AXIS_POSITION-{k}"]}" />'
            for k in range(3)
        )
        members[f"Data{i}/Profile0.txt"] = "\ufeff" + "\r\n".join(rows)
        members[f"Data{i}/MesurementConditions0.xml"] = f"""<?xml version="1.0"?><MeasurementConditions>
<GeneralInformation><SampleName>{header["FILE_SAMPLE"]}</SampleName></GeneralInformation><ScanInformation>
<AxisName>{header["MEAS_SCAN_AXIS_X"]}</AxisName><Step>{header["MEAS_SCAN_STEP"]}</Step>
<Speed>{header["MEAS_SCAN_SPEED"]}</Speed><SpeedUnit>{header["MEAS_SCAN_SPEED_UNIT"]}</SpeedUnit>
<PositionUnit>deg</PositionUnit><IntensityUnit>{header["MEAS_SCAN_UNIT_Y"]}</IntensityUnit></ScanInformation>
<HWConfigurations><XrayGenerator><TargetName>Cu</TargetName><WavelengthKalpha1>1.540593</WavelengthKalpha1>
<WavelengthKalpha2>1.544414</WavelengthKalpha2></XrayGenerator></HWConfigurations><Axes>{axes}</Axes>
</MeasurementConditions>"""
    return zipped(members)


SPEC_HEAD = "#F test\n#E 1000\n#D Mon Jan 1 2024\n#O0 Two Theta  Theta  Chi  Phi\n#O1 energy\n"


def spec_scan(
    number=1, *, values=None, command="ascan  th 25.432 25.632  100 1", monitor=None, angle=OMEGA, more=""
):
    values = counts() if values is None else values
    monitor = np.full(len(values), 1e5) if monitor is None else monitor
    rows = "\n".join(
        f"{x:.6f} {i} 1 {m:.10g} {y:.10g}"
        for i, (x, m, y) in enumerate(zip(angle, monitor, values, strict=True))
    )
    return (
        f"\n#S {number}  {command}\n#D Mon Jan 1 2024\n#T 1  (Seconds)\n#P0 51.064 25.432 0 90\n#P1 8.048\n#N 5\n{more}"
        f"#L Theta  Epoch  Seconds  Monitor  Detector\n{rows}\n"
    )


def spec(*scans):
    return (SPEC_HEAD + "".join(scans)).encode()


def nexus(*, fill=None, angle=OMEGA, values=None, name="omega", units="deg", signal_units="counts"):
    """A NeXus file with one scan; `fill` is called with its NXdata group."""
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        root.attrs["default"] = "entry"
        entry = root.create_group("entry")
        entry.attrs.update({"NX_class": "NXentry", "default": "data"})
        entry["title"] = "implanted GGG"
        beam = entry.create_group("instrument/beam")
        beam["incident_wavelength"] = 1.540598
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        data = entry.create_group("data")
        data.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": [name]})
        data["counts"] = counts() if values is None else values
        data["counts"].attrs["units"] = signal_units
        data[name] = angle
        data[name].attrs["units"] = units
        data["count_time"] = 2.0
        if fill is not None:
            fill(data)
    return file.getvalue()
