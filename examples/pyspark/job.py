"""The Spark driver: asks all queries of one data set, or those it is told to, and gives their results, row by row, and how long each took, as JSON."""

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
    p.add_argument("--out", help="file for the results")
    p.add_argument("--serve", action="store_true", help="ask what standard input names, line by line, and print rows and seconds as JSON")
    p.add_argument("--key", help="file of the key that the telephone numbers are sealed with")
    p.add_argument("--query", action="append", help="only this query; may be repeated")
    p.add_argument("--hold", help="then make this file, and go on when it is gone")
    a = p.parse_args()
    if a.serve == (a.out is not None):
        p.error("either --out or --serve")
    return a


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


def ask(spark, name):
    """(rows as text, seconds)."""
    import queries

    began = time.perf_counter()
    rows = spark.sql(queries.QUERIES[name]).collect()
    took = seconds(began)
    return [[str(v) for v in row] for row in rows], took


def serve(spark, started):
    """A line of JSON when ready, then one for each name of a query on standard input."""
    print(json.dumps({"start": started, "spark": spark.version}), flush=True)
    for line in sys.stdin:
        rows, took = ask(spark, line.strip())
        print(json.dumps({"rows": rows, "seconds": took}), flush=True)


def batch(a, spark, began):
    """Every query, and the file of results."""
    import queries

    result = {"spark": spark.version, "start": seconds(began), "queries": {}}
    for name in a.query or queries.QUERIES:
        rows, took = ask(spark, name)
        result["queries"][name] = {"rows": rows, "seconds": took}
    if a.hold:
        with open(a.hold, "x"):
            pass
        deadline = time.monotonic() + 600
        while os.path.exists(a.hold):
            if time.monotonic() > deadline:
                sys.exit(f"job: {a.hold} is still there after ten minutes")
            time.sleep(0.1)
    return result


def stop(spark):
    """The JVM ends when its standard input does; it is waited for, so that nothing is left behind."""
    jvm = spark.sparkContext._gateway.proc
    spark.stop()
    jvm.stdin.close()
    status = jvm.wait(60)
    if status:
        sys.exit(f"job: the JVM ended with status {status}")


def main():
    a = arguments()
    began = time.perf_counter()
    os.makedirs(a.work, exist_ok=True)
    spark = start(a.work)
    import queries

    queries.prepare(spark, a.data, a.key)
    if a.serve:
        serve(spark, seconds(began))
        stop(spark)
        return
    result = batch(a, spark, began)
    stop(spark)
    result["total"] = seconds(began)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump(result, f, indent=1)


main()
