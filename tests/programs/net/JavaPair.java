// JavaPair serve ADDRESS HTTP NIO; run ADDRESS HTTP NIO SECRET: java.net.http and com.sun.net.httpserver; a selector, channels, old sockets.
import com.sun.net.httpserver.HttpServer;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.FileChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;

public class JavaPair {
	static void serveHttp(InetSocketAddress at) throws Exception {
		HttpServer server = HttpServer.create(at, 200);
		server.createContext("/", e -> {
			byte[] body = e.getRequestMethod().equals("POST") ? e.getRequestBody().readAllBytes() : ("asked " + e.getRequestURI() + "\n").getBytes();
			e.sendResponseHeaders(200, body.length);
			try (OutputStream out = e.getResponseBody()) {
				out.write(body);
			}
		});
		server.setExecutor(Executors.newFixedThreadPool(8));
		server.start();
	}

	/** An echo of one thread; a connection that has ended is closed when all is written. */
	static void serveNio(InetSocketAddress at) throws Exception {
		Selector selector = Selector.open();
		ServerSocketChannel listener = ServerSocketChannel.open();
		listener.bind(at, 200).configureBlocking(false);
		listener.register(selector, SelectionKey.OP_ACCEPT);
		while (true) {
			selector.select();
			for (SelectionKey key : selector.selectedKeys()) {
				if (key.isAcceptable()) {
					SocketChannel c = listener.accept();
					if (c == null)
						continue;
					c.configureBlocking(false);
					c.register(selector, SelectionKey.OP_READ, ByteBuffer.allocateDirect(100000));
					continue;
				}
				SocketChannel c = (SocketChannel) key.channel();
				ByteBuffer b = (ByteBuffer) key.attachment();
				try {
					boolean end = key.isReadable() && b.hasRemaining() && c.read(b) < 0;
					b.flip();
					c.write(b);
					b.compact();
					if (end && b.position() == 0)
						c.close();
					else
						key.interestOps((b.hasRemaining() ? SelectionKey.OP_READ : 0) | (b.position() > 0 ? SelectionKey.OP_WRITE : 0));
				} catch (java.io.IOException e) {
					c.close();
				}
			}
			selector.selectedKeys().clear();
		}
	}

	static void http(String url, String secret) throws Exception {
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
		int right = 0;
		for (int i = 0; i < 30; i++) {
			String path = "/" + secret + "/" + i;
			right += client.send(HttpRequest.newBuilder(URI.create(url + path)).build(), HttpResponse.BodyHandlers.ofString()).body().equals("asked " + path + "\n") ? 1 : 0;
		}
		System.out.println("http " + right);
		List<CompletableFuture<HttpResponse<String>>> all = new ArrayList<>();
		for (int i = 0; i < 60; i++)
			all.add(client.sendAsync(HttpRequest.newBuilder(URI.create(url + "/a" + i)).build(), HttpResponse.BodyHandlers.ofString()));
		System.out.println("asynchronous " + all.stream().filter(f -> f.join().statusCode() == 200).count());
		String body = secret.repeat(50000);
		HttpRequest post = HttpRequest.newBuilder(URI.create(url)).POST(HttpRequest.BodyPublishers.ofString(body)).timeout(Duration.ofMinutes(1)).build();
		System.out.println("post " + client.send(post, HttpResponse.BodyHandlers.ofString()).body().equals(body));
	}

	static void channels(InetSocketAddress at, String secret) throws Exception {
		byte[] text = ("nio line " + secret + "\n").repeat(40000).getBytes();
		Path file = Files.createTempFile("pair", "");
		Files.write(file, text);
		try (SocketChannel c = SocketChannel.open(at); FileChannel f = FileChannel.open(file, StandardOpenOption.READ)) {
			Thread sender = new Thread(() -> {
				try {
					for (long done = 0; done < text.length;)
						done += f.transferTo(done, text.length - done, c);
					c.shutdownOutput();
				} catch (Exception e) {
					System.out.println("sender " + e);
				}
			});
			sender.start();
			ByteBuffer got = ByteBuffer.allocate(text.length + 1);
			while (c.read(got) >= 0)
				;
			sender.join();
			System.out.println("channel " + Arrays.equals(text, Arrays.copyOf(got.array(), got.position())));
		}
		Files.delete(file);
		AsynchronousSocketChannel a = AsynchronousSocketChannel.open();
		a.connect(at).get();
		a.write(ByteBuffer.wrap(secret.getBytes())).get();
		ByteBuffer b = ByteBuffer.allocate(secret.length());
		while (b.hasRemaining())
			a.read(b).get();
		System.out.println("asynchronous channel " + new String(b.array()).equals(secret));
		a.close();
	}

	/** Thirty at once in one selector, connected without waiting. */
	static void crowd(InetSocketAddress at, String secret) throws Exception {
		Selector selector = Selector.open();
		byte[] line = (secret + " of the crowd\n").getBytes();
		for (int i = 0; i < 30; i++) {
			SocketChannel c = SocketChannel.open();
			c.configureBlocking(false);
			c.connect(at);
			c.register(selector, SelectionKey.OP_CONNECT, ByteBuffer.allocate(line.length));
		}
		int done = 0;
		while (done < 30 && selector.select(60000) > 0) {
			for (SelectionKey key : selector.selectedKeys()) {
				SocketChannel c = (SocketChannel) key.channel();
				ByteBuffer b = (ByteBuffer) key.attachment();
				if (key.isConnectable() && c.finishConnect()) {
					key.interestOps(SelectionKey.OP_READ);
					c.write(ByteBuffer.wrap(line));
				} else if (key.isReadable() && c.read(b) >= 0 && !b.hasRemaining()) {
					done += Arrays.equals(b.array(), line) ? 1 : 0;
					c.close();
				}
			}
			selector.selectedKeys().clear();
		}
		System.out.println("crowd " + done);
	}

	static void sockets(InetSocketAddress at, String secret) throws Exception {
		try (Socket s = new Socket(at.getAddress(), at.getPort())) {
			s.setSoTimeout(200);
			try {
				s.getInputStream().read();
			} catch (SocketTimeoutException e) {
				System.out.println("timeout");
			}
			s.setSoTimeout(0);
			OutputStream out = s.getOutputStream();
			BufferedReader in = new BufferedReader(new InputStreamReader(s.getInputStream()));
			int right = 0;
			for (int i = 0; i < 200; i++) {
				out.write((secret + i + "\n").getBytes());
				right += in.readLine().equals(secret + i) ? 1 : 0;
			}
			out.write("12345".getBytes());
			InputStream raw = s.getInputStream();
			while (raw.available() < 5)
				Thread.sleep(5);
			System.out.println("socket " + right + " available " + raw.available());
			s.shutdownOutput();
			System.out.println("rest " + new String(raw.readAllBytes()));
		}
	}

	public static void main(String[] args) throws Exception {
		InetSocketAddress http = new InetSocketAddress(args[1], Integer.parseInt(args[2])), nio = new InetSocketAddress(args[1], Integer.parseInt(args[3]));
		if (args[0].equals("serve")) {
			Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(0)));
			serveHttp(http);
			serveNio(nio);
			return;
		}
		http("http://" + args[1] + ":" + args[2], args[4]);
		channels(nio, args[4]);
		crowd(nio, args[4]);
		sockets(nio, args[4]);
		System.exit(0);
	}
}
