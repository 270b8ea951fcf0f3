"""Head line, table, JSON and picture of a comparison. Used by every benchmark of this directory."""

import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def machine():
    """What the figures hold for: processor, kernel, load, date, version."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), platform.processor())
    version = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    return {"processor": model, "processors": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0],
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "version": version or "unknown"}


def head(m):
    return f"{m['processor']}, {m['processors']} processors, Linux {m['kernel']}; load {m['load']:.1f} before; {m['date']}; version {m['version']}"


def pairs(native, other):
    """(median of the rounds' ratios, median of the rounds' differences): a pair of one round has seen the same moment of the machine. Rounds that
    the other side was left out of (None) do not count."""
    both = [(n, o) for n, o in zip(native, other) if o is not None]
    return statistics.median(o / n for n, o in both), statistics.median(o - n for n, o in both)


def write_json(path, value):
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1)
        f.write("\n")
    os.replace(path + ".new", path)


def picture(path, title, rows):
    """Bars of cost against native, one group for each (text, {series: cost or None}); False where there is no gnuplot. Costs are ratios of time:
    above 1 is slower than native."""
    gnuplot = shutil.which("gnuplot")
    if not gnuplot or not rows:
        return False
    series = list(rows[0][1])
    data, labels = "", []
    for n, (text, costs) in enumerate(reversed(rows)):
        labels.append('"{}" {}'.format(text.replace('"', ""), n))
        data += f"{n} " + " ".join("NaN" if costs[name] is None else f"{costs[name]:.4f}" for name in series) + "\n"
    step = 0.8 / len(series)
    colours = ("#1f6fb4", "#c8c8c8", "#7a7a7a")

    def bar(n, name):
        low, high = (f"$1+{0.4 - step * (n + k):.3f}" for k in (1, 0))
        value = f"column({n + 2})"
        return (f"$data using (1):({low}):({value} >= 0 ? 1 : NaN):({value}):({low}):({high}) with boxxyerror linecolor rgb '{colours[n % len(colours)]}' "
                f"title '{name}'")
    bars = ", ".join(bar(n, name) for n, name in enumerate(series))
    marks = f", $data using ($2 > 1 ? $2 : 1):($1+{0.4 - step / 2:.3f}):(sprintf(' %.2f', $2)) with labels left font ',9' notitle"
    script = f"""set terminal pngcairo size 1100,{150 + 26 * len(rows)} font 'sans,10'
set output '{path}'
$data << EOD
{data}EOD
set title "{title.replace('"', "'")}" noenhanced
set style fill solid 1.0 noborder
set logscale x 2
set xlabel 'time against native (1 = native, above = slower)'
set xrange [0.5:*]
set yrange [-0.6:{len(rows) - 0.4}]
set ytics ({", ".join(labels)}) noenhanced
set grid xtics
set key below
set arrow from 1,graph 0 to 1,graph 1 nohead linecolor rgb 'black'
plot {bars}{marks}
"""
    r = subprocess.run([gnuplot], input=script, capture_output=True, text=True, check=False)
    if r.returncode:
        raise OSError(f"gnuplot: {r.stderr.strip()[-300:]}")
    return True
