"""spark_job.py MASTER ADDRESS SECRET: a job with shuffles, Python functions, a broadcast and a collect; prints its results."""

import hashlib
import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

master, address, secret = sys.argv[1:]
spark = (
    SparkSession.builder.master(master)
    .appName("net-programs")
    .config("spark.driver.host", address)
    .config("spark.driver.bindAddress", address)
    .config("spark.driver.port", 7100)
    .config("spark.blockManager.port", 7200)
    .config("spark.ui.enabled", "false")
    .config("spark.executor.memory", "500m")
    .config("spark.executor.cores", 2)
    .config("spark.cores.max", 2)
    .config("spark.executor.processTreeMetrics.enabled", "false")
    .config("spark.sql.shuffle.partitions", 4)
    .config("spark.io.compression.codec", "lz4")
    .getOrCreate()
)
context = spark.sparkContext
context.setLogLevel("WARN")
rows = context.parallelize([(i % 97, f"{secret}.{i}") for i in range(5000)], 4)
print("rdd", rows.groupByKey().mapValues(len).map(lambda kv: kv[0] * kv[1]).sum())
table = context.broadcast({i: f"{secret}-{i}" for i in range(1000)})
print("broadcast", rows.map(lambda kv: len(table.value[kv[0]])).sum())
frame = spark.createDataFrame(rows, ["k", "v"])
upper = F.udf(lambda v: v.upper()[-3:])
out = frame.groupBy("k").agg(F.count("*").alias("n"), F.max("v").alias("m")).withColumn("u", upper("m")).orderBy("k").collect()
print("frame", len(out), hashlib.sha256(repr([tuple(r) for r in out]).encode()).hexdigest(), out[0]["u"])
joined = frame.join(spark.range(50).withColumnRenamed("id", "k"), "k")
print("join", joined.count())
spark.stop()
