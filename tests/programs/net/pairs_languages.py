"""Servers and clients of one language each, and PySpark."""

import os
import re
import subprocess

from lab import ADDRESS, CLIENT, SERVER, Failed
from pairs import filler, pair, write

HERE = os.path.dirname(os.path.abspath(__file__))
AT = ADDRESS[SERVER]


@pair("node", ports=[8100], marks=["GET /", "node-says"])
def node(run, secret):
    """Node's http: keep-alive, streams both ways, an upgrade"""
    server = run.start(SERVER, "server", ["node", f"{HERE}/node_pair.mjs", "serve", AT, 8100], port=8100)
    return {"client": run.run(CLIENT, ["node", f"{HERE}/node_pair.mjs", "run", AT, 8100, secret]), "end": run.end(server)}


@pair("go", ports=[8200], marks=["GET /", "Go-http-client"])
def go(run, secret):
    """Go's net/http: keep-alive, sendfile, bodies of unknown length, raw connections with deadlines and half close"""
    program = f"{run.where}/pair"
    subprocess.run(["go", "build", "-o", program, f"{HERE}/go_pair.go"], check=True, capture_output=True, env={**os.environ, "CGO_ENABLED": "0"}, cwd=HERE)
    served = write(f"{run.where}/file", filler(5_000_000, secret))
    server = run.start(SERVER, "server", [program, "serve", f"{AT}:8200", served], port=8200)
    return {"client": run.run(CLIENT, [program, "run", f"{AT}:8200", secret]), "end": run.end(server)}


@pair("java", "javac", ports=[8300, 8301], marks=["GET /", "nio line"])
def java(run, secret):
    """Java's HttpClient (blocking and asynchronous) and HttpServer; NIO: a selector that serves, channels and old sockets that ask"""
    subprocess.run(["javac", "-d", run.where, f"{HERE}/JavaPair.java"], check=True, capture_output=True)
    java = ["java", "-Xmx300m", "-XX:+UseSerialGC", "-cp", run.where, "JavaPair"]
    server = run.start(SERVER, "server", [*java, "serve", AT, 8300, 8301], port=8301)
    return {"client": run.run(CLIENT, [*java, "run", AT, 8300, 8301, secret]), "end": run.end(server)}


@pair("java", ports=["*"], marks=["pyspark", "org.apache.spark"])
def pyspark(run, secret):
    """PySpark: master and worker in one namespace, the driver in the other; every TCP connection by a rule for any port"""
    made = subprocess.run([os.path.join(HERE, "../../../examples/pyspark/venv.sh")], capture_output=True, text=True, check=False)
    if made.returncode:
        raise Failed(f"no PySpark: {made.stderr[-300:]}")
    python = made.stdout.split()[-1]
    home = subprocess.run([python, "-c", "import pyspark; print(pyspark.__path__[0])"], capture_output=True, text=True, check=True).stdout.strip()
    scala = re.search(r"spark-core_([0-9.]+)-", " ".join(os.listdir(f"{home}/jars")))[1]
    env = {"SPARK_HOME": home, "SPARK_SCALA_VERSION": scala, "PYSPARK_PYTHON": python, "PYSPARK_DRIVER_PYTHON": python, "SPARK_LOCAL_DIRS": f"{run.where}/local",
           "SPARK_WORKER_DIR": f"{run.where}/work", "SPARK_NO_DAEMONIZE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{home}/jars/*", "--add-opens=java.base/java.lang=ALL-UNNAMED",
            "--add-opens=java.base/java.nio=ALL-UNNAMED", "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED", "--add-opens=java.base/java.util=ALL-UNNAMED"]
    there, here = ({**env, "SPARK_LOCAL_IP": ADDRESS[side]} for side in (SERVER, CLIENT))
    master = run.start(SERVER, "master", [*java, "org.apache.spark.deploy.master.Master", "--host", AT, "--port", 7077, "--webui-port", 7078], port=7077,
                       env=there, seconds=300)
    worker = run.start(SERVER, "worker", [*java, "org.apache.spark.deploy.worker.Worker", "--host", AT, "--port", 7079, "--webui-port", 7080, "--cores", 2,
                                          "--memory", "600M", f"spark://{AT}:7077"], port=7079, env=there, seconds=300)
    run.until(lambda: "Successfully registered with master" in run.text(worker.log), "the worker registers", 300)
    result = {"job": run.run(CLIENT, [python, f"{HERE}/spark_job.py", f"spark://{AT}:7077", ADDRESS[CLIENT], secret], env=here, seconds=900)}
    run.end(worker)
    run.end(master)
    return result
