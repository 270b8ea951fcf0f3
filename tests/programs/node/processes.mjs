// child_process in its forms, worker threads, signals, timers, a server on the loopback, file system calls from the thread pool.
import { spawn, spawnSync, exec, execFile, execFileSync, fork } from "node:child_process";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { createHash, pbkdf2 } from "node:crypto";
import { promisify } from "node:util";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import fs from "node:fs/promises";
import http from "node:http";
import zlib from "node:zlib";

const self = fileURLToPath(import.meta.url);

function fib(n) {
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

async function main() {
	let r = spawnSync("sh", ["-c", "echo out; echo err >&2; exit 7"], { encoding: "utf8" });
	console.log(r.stdout.trim(), r.stderr.trim(), r.status);
	r = spawnSync("absent-command");
	console.log(r.error.code);
	console.log((await promisify(exec)("echo $A; seq 3 | tail -n 1", { env: { ...process.env, A: "from env" } })).stdout);
	await promisify(execFile)("sh", ["-c", "exit 4"]).catch((e) => console.log("exit", e.code));
	console.log(execFileSync(process.execPath, ["-p", "6*7"], { encoding: "utf8" }).trim());

	const cat = spawn("cat");
	let got = 0;
	cat.stdout.on("data", (d) => (got += d.length));
	for (let i = 0; i < 20; i++) cat.stdin.write(Buffer.alloc(50000, i));
	cat.stdin.end();
	console.log("cat", (await once(cat, "close"))[0], got);

	const sleeper = spawn("sleep", ["60"]);
	await once(sleeper, "spawn");
	sleeper.kill("SIGTERM");
	console.log("killed", (await once(sleeper, "exit")).join(" "));

	const child = fork(self, ["child"]);
	child.send({ n: 20 });
	console.log("message", (await once(child, "message"))[0]);
	child.disconnect();
	console.log("forked", (await once(child, "exit"))[0]);

	const all = await Promise.all([...Array(8).keys()].map((i) => promisify(exec)(`sleep 0.0${i}; echo ${i}`)));
	console.log(all.map((x) => x.stdout.trim()).join(","));

	const workers = [21, 22, 23, 24].map((n) => once(new Worker(self, { workerData: n }), "message"));
	console.log("workers", (await Promise.all(workers)).map((m) => m[0]).join(" "));
	const bad = new Worker("throw new Error('thrown in a worker')", { eval: true });
	console.log("worker error:", (await once(bad, "error"))[0].message);
	const endless = new Worker("for (;;);", { eval: true });
	await once(endless, "online");
	console.log("terminated", await endless.terminate());

	const signal = new Promise((ok) => process.once("SIGUSR2", ok));
	const awake = setInterval(() => {}, 1000); // a signal alone keeps no event loop alive
	process.kill(process.pid, "SIGUSR2");
	console.log("signal", await signal);
	clearInterval(awake);

	const server = http.createServer((q, a) => q.pipe(zlib.createGzip()).pipe(a)).listen(0, "127.0.0.1");
	await once(server, "listening");
	const answers = await Promise.all(
		[...Array(20).keys()].map(async (i) => {
			const a = await fetch(`http://127.0.0.1:${server.address().port}/`, { method: "POST", body: "b".repeat(1000 * i + 1) });
			return zlib.gunzipSync(Buffer.from(await a.arrayBuffer())).length;
		}),
	);
	server.closeAllConnections();
	server.close();
	console.log("http", answers.reduce((a, b) => a + b));

	await Promise.all([...Array(50).keys()].map((i) => fs.writeFile(`f${i}`, String(i).repeat(100))));
	const files = await Promise.all([...Array(50).keys()].map((i) => fs.readFile(`f${i}`)));
	console.log("files", createHash("sha256").update(Buffer.concat(files)).digest("hex").slice(0, 16));
	console.log("pbkdf2", (await promisify(pbkdf2)("p", "s", 20000, 16, "sha256")).toString("hex"));

	let ticks = 0;
	await new Promise((ok) => {
		const t = setInterval(() => ++ticks === 20 && (clearInterval(t), ok()), 2);
	});
	console.log("ticks", ticks);
	const wasm = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0, 10, 9, 1, 7, 0, 32, 0, 65, 2, 108, 11]);
	const bytes = await WebAssembly.instantiate(wasm).catch((e) => e.name);
	console.log("wasm", bytes.instance ? bytes.instance.exports.f(21) : bytes);
	let depth = 0;
	const dive = () => (depth++, dive());
	try {
		dive();
	} catch (e) {
		console.log("recursion", e.name, depth > 1000);
	}
	console.log("jit", fib(30));
	process.exitCode = 15;
}

if (!isMainThread) parentPort.postMessage(fib(workerData));
else if (process.argv[2] === "child") process.once("message", (m) => process.send({ fib: fib(m.n) }, () => process.once("disconnect", () => process.exit(6))));
else await main();
