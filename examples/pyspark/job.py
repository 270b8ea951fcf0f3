"""The Spark driver: asks all queries of one data set and writes their results, row by row, and how long each took, as JSON."""

import argparse
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True, help="directory of the tables")
    p.add_argument("--work", required=True, help="directory for what Spark writes")
    p.add_argument("--out", required=True, help="file for the results")
    p.add_argument("--key", help="file of the key that the telephone numbers are sealed with")
    p.add_argument("--query", action="append", help="only this query; may be repeated")
    p.add_argument("--repeat", type=int, default=1, help="ask every query so often")
    p.add_argument("--hold", help="then make this file, and go on when it is gone")
    return p.parse_args()


def start(work):
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_LOCAL_DIRS"] = work
    builder = SparkSession.builder.master("local[2]").appName("openscone-pyspark")
    for name, value in {
        "spark.driver.memory": "1g",
        "spark.driver.extraJavaOptions": f"-Djava.io.tmpdir={work}",
        "spark.sql.warehouse.dir": f"{work}/warehouse",
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    for module in ("phones.py", "queries.py"):
        spark.sparkContext.addPyFile(os.path.join(HERE, module))
    return spark


def seconds(since):
    return time.perf_counter() - since


def processor():
    """Processor seconds that driver, JVM and workers have used so far, with those of the children they have waited for."""
    parent, used = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        parent[int(name)] = int(fields[1])
        used[int(name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def ours(pid):
        return pid == os.getpid() or pid in parent and ours(parent[pid])

    return sum(t for pid, t in used.items() if ours(pid))


def main():
    a = arguments()
    began = time.perf_counter()
    os.makedirs(a.work, exist_ok=True)
    spark = start(a.work)
    import queries

    queries.prepare(spark, a.data, a.key)
    result = {"spark": spark.version, "start": seconds(began), "queries": {}}
    for _ in range(a.repeat):
        for name in a.query or queries.QUERIES:
            t, p = time.perf_counter(), processor()
            rows = [[str(v) for v in row] for row in spark.sql(queries.QUERIES[name]).collect()]
            q = result["queries"].setdefault(name, {"rows": rows, "seconds": [], "processor": []})
            q["seconds"].append(seconds(t))
            q["processor"].append(processor() - p)
            if q["rows"] != rows:
                sys.exit(f"job: {name} gives other rows when it is asked again")
    if a.hold:
        with open(a.hold, "x"):
            pass
        deadline = time.monotonic() + 600
        while os.path.exists(a.hold):
            if time.monotonic() > deadline:
                sys.exit(f"job: {a.hold} is still there after ten minutes")
            time.sleep(0.1)
    t = time.perf_counter()
    jvm = spark.sparkContext._gateway.proc
    spark.stop()
    # The JVM ends when its standard input does; what it used is counted to this process only if it is waited for.
    jvm.stdin.close()
    status = jvm.wait(60)
    if status:
        sys.exit(f"job: the JVM ended with status {status}")
    result["stop"] = seconds(t)
    result["total"] = seconds(began)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)


main()
