// node_pair.mjs serve|run ADDRESS PORT [SECRET]: Node's http on both sides.
import http from 'node:http';
import net from 'node:net';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const [what, host, port, secret] = process.argv.slice(2);
const sha = (data) => createHash('sha256').update(data).digest('hex').slice(0, 16);

function serve() {
	const server = http.createServer((req, res) => {
		res.setHeader('X-Says', 'node-says');
		if (req.url === '/echo') {
			pipeline(req, res).catch(() => {});
		} else if (req.url === '/big') {
			Readable.from((function* () { for (let i = 0; i < 400; i++) yield `${i} `.repeat(3000); })()).pipe(res);
		} else if (req.url === '/destroy') {
			res.writeHead(200, { 'Content-Length': 100 });
			res.write('ten bytes.');
			setTimeout(() => req.socket.end(), 50);
		} else {
			res.end(`asked ${req.url}\n`);
		}
	});
	server.on('upgrade', (req, socket) => {
		socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
		socket.pipe(socket);
	});
	server.keepAliveTimeout = 30000;
	server.listen(Number(port), host);
	process.on('SIGTERM', () => process.exit(0));
}

function ask(options, body) {
	return new Promise((resolve, reject) => {
		const req = http.request({ host, port, ...options }, (res) => {
			const parts = [];
			res.on('data', (d) => parts.push(d));
			res.on('end', () => resolve({ status: res.statusCode, says: res.headers['x-says'], body: Buffer.concat(parts) }));
			res.on('error', reject);
		});
		req.on('error', reject);
		if (body instanceof Readable) body.pipe(req);
		else req.end(body);
	});
}

async function run() {
	const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
	const answers = await Promise.all([...Array(100).keys()].map((i) => ask({ agent, path: `/${secret}/${i}` })));
	console.log('keep-alive', answers.filter((a, i) => a.body.toString() === `asked /${secret}/${i}\n` && a.says === 'node-says').length);
	const single = new http.Agent({ keepAlive: false });
	const alone = await Promise.all([...Array(40).keys()].map((i) => ask({ agent: single, path: `/${i}` })));
	console.log('a connection each', alone.filter((a) => a.status === 200).length);
	const body = Buffer.from(secret.repeat(100000));
	const back = await ask({ agent, path: '/echo', method: 'POST' }, body);
	console.log('echo', back.body.equals(body), sha(back.body) === sha(body));
	const streamed = await ask({ agent, path: '/echo', method: 'POST' }, Readable.from(Array.from({ length: 500 }, (_, i) => `${secret} ${i}\n`)));
	console.log('stream', streamed.body.toString().split('\n').length);
	console.log('big', sha((await ask({ agent, path: '/big' })).body));
	console.log('destroyed', await ask({ agent, path: '/destroy' }).then(() => 'whole', (e) => e.code));
	await new Promise((resolve) => {
		const req = http.request({ host, port, path: '/up', headers: { Connection: 'Upgrade', Upgrade: 'echo' } });
		req.on('upgrade', (res, socket) => {
			let got = '';
			socket.on('data', (d) => { got += d; });
			socket.on('end', () => { console.log('upgraded', got.length, got.startsWith(secret)); resolve(); });
			for (let i = 0; i < 200; i++) socket.write(secret);
			socket.end();
		});
		req.end();
	});
	await new Promise((resolve) => {
		const socket = net.connect({ host, port, allowHalfOpen: true });
		socket.setTimeout(200, () => {
			console.log('idle');
			socket.write(`GET /late/${secret} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
			socket.setTimeout(0);
		});
		let got = '';
		socket.on('data', (d) => { got += d; });
		socket.on('end', () => { console.log('raw', got.split('\r\n')[0], got.includes(`asked /late/${secret}`)); socket.end(); });
		socket.on('close', (bad) => { console.log('close', bad); resolve(); });
	});
	agent.destroy();
}

if (what === 'serve') serve();
else await run();
