import java.io.*;
import java.lang.reflect.Proxy;
import java.net.*;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.stream.*;
import java.util.zip.*;

/** Executors, implicit null checks in compiled code, stack overflow, child processes, mapped files, sockets, garbage. */
public class Conformance {
	static final class Node {
		Node next;
		int value;

		Node(int value, Node next) {
			this.value = value;
			this.next = next;
		}
	}

	/** Hot enough to be compiled; then the null check is a fault that the JVM turns into an exception. */
	static int follow(Node n, int steps) {
		int sum = 0;
		for (int i = 0; i < steps; i++) {
			sum += n.value;
			n = n.next;
		}
		return sum;
	}

	static void nullChecks() {
		Node list = new Node(1, new Node(2, null));
		int caught = 0, sum = 0;
		for (int i = 0; i < 300_000; i++) {
			sum += follow(list, 2);
			if (i % 100 == 0) {
				try {
					sum += follow(list, 3);
				} catch (NullPointerException e) {
					caught++;
				}
			}
		}
		System.out.println("null checks " + caught + " " + sum);
		int divided = 0, bounds = 0, casts = 0;
		Object[] things = {1, "two"};
		for (int i = 0; i < 20_000; i++) {
			try {
				sum += 10 / (i % 2);
			} catch (ArithmeticException e) {
				divided++;
			}
			try {
				sum += things.length + ((String) things[i % 3]).length();
			} catch (ArrayIndexOutOfBoundsException e) {
				bounds++;
			} catch (ClassCastException e) {
				casts++;
			}
		}
		System.out.println("division " + divided + ", bounds " + bounds + ", casts " + casts + ", " + sum);
	}

	static int depth;

	static int dive(int n) {
		depth++;
		return dive(n + 1) + 1;
	}

	static void stackOverflow() throws Exception {
		int caught = 0;
		for (int i = 0; i < 5; i++) {
			depth = 0;
			try {
				dive(0);
			} catch (StackOverflowError e) {
				caught += depth > 500 ? 1 : 0;
			}
		}
		AtomicInteger inThread = new AtomicInteger();
		Thread t = new Thread(() -> {
			try {
				dive(0);
			} catch (StackOverflowError e) {
				inThread.incrementAndGet();
			}
		});
		t.start();
		t.join();
		System.out.println("stack overflow " + caught + " " + inThread.get());
	}

	static void executor() throws Exception {
		ExecutorService ex = Executors.newFixedThreadPool(8);
		List<Future<Long>> fs = new ArrayList<>();
		for (int i = 0; i < 64; i++) {
			final int n = i;
			fs.add(ex.submit(() -> LongStream.rangeClosed(1, 10_000 + n).filter(x -> x % 7 == 0).sum()));
		}
		long sum = 0;
		for (Future<Long> f : fs)
			sum += f.get();
		ex.shutdown();
		System.out.println("executor " + sum + " " + ex.awaitTermination(10, TimeUnit.SECONDS));
		System.out.println("parallel stream " + IntStream.range(0, 1_000_000).parallel().mapToLong(x -> (long) x * x).sum());
		ConcurrentHashMap<Integer, LongAdder> map = new ConcurrentHashMap<>();
		Thread[] ts = new Thread[8];
		for (int i = 0; i < ts.length; i++) {
			ts[i] = new Thread(() -> {
				for (int k = 0; k < 20_000; k++)
					map.computeIfAbsent(k % 50, x -> new LongAdder()).increment();
			});
			ts[i].start();
		}
		for (Thread t : ts)
			t.join();
		System.out.println("map " + map.size() + " " + map.values().stream().mapToLong(LongAdder::sum).sum());
		Object monitor = new Object();
		int[] turn = {0};
		Thread[] pair = new Thread[2];
		for (int i = 0; i < 2; i++) {
			final int me = i;
			pair[i] = new Thread(() -> {
				for (int k = 0; k < 2000; k++)
					synchronized (monitor) {
						while (turn[0] % 2 != me)
							try {
								monitor.wait();
							} catch (InterruptedException e) {
								return;
							}
						turn[0]++;
						monitor.notifyAll();
					}
			});
			pair[i].start();
		}
		for (Thread t : pair)
			t.join();
		Thread sleeper = new Thread(() -> {
			try {
				Thread.sleep(60_000);
			} catch (InterruptedException e) {
				System.out.println("interrupted");
			}
		});
		sleeper.start();
		sleeper.interrupt();
		sleeper.join();
		System.out.println("turns " + turn[0]);
	}

	static void children() throws Exception {
		ProcessBuilder b = new ProcessBuilder("sh", "-c", "echo $GREETING in $PWD; cat; exit 9").redirectErrorStream(true).directory(new File("/"));
		b.environment().put("GREETING", "hello");
		Process p = b.start();
		try (OutputStream o = p.getOutputStream()) {
			o.write("through stdin\n".getBytes());
		}
		System.out.print(new String(p.getInputStream().readAllBytes()));
		System.out.println("exit " + p.waitFor());
		try {
			new ProcessBuilder("absent-command").start();
		} catch (IOException e) {
			System.out.println(e.getMessage());
		}
		p = new ProcessBuilder("sleep", "60").start();
		System.out.println("waits " + p.waitFor(50, TimeUnit.MILLISECONDS));
		p.destroyForcibly();
		System.out.println("killed " + p.waitFor());
		List<Process> all = ProcessBuilder.startPipeline(List.of(new ProcessBuilder("seq", "100"), new ProcessBuilder("grep", "7"), new ProcessBuilder("wc", "-l")));
		System.out.println("pipeline " + new String(all.get(2).getInputStream().readAllBytes()).trim());
		String java = Path.of(System.getProperty("java.home"), "bin", "java").toString();
		p = new ProcessBuilder(java, "-Xshare:auto", "-cp", System.getProperty("java.class.path"), "Conformance", "child").start();
		System.out.println("a JVM in a JVM: " + new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
	}

	static void files() throws Exception {
		Path f = Path.of("mapped");
		try (FileChannel c = FileChannel.open(f, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			ByteBuffer m = c.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
			for (int i = 0; i < 1 << 20; i += 8)
				m.putLong(i, i * 31L);
		}
		CRC32 crc = new CRC32();
		crc.update(Files.readAllBytes(f));
		System.out.println("mapped " + crc.getValue());
		ByteArrayOutputStream z = new ByteArrayOutputStream();
		try (GZIPOutputStream g = new GZIPOutputStream(z)) {
			g.write(Files.readAllBytes(f));
		}
		System.out.println("gunzip " + new GZIPInputStream(new ByteArrayInputStream(z.toByteArray())).readAllBytes().length);
		Path d = Files.createDirectory(Path.of("dir"));
		for (int i = 0; i < 30; i++)
			Files.writeString(d.resolve("f" + i), "x".repeat(i));
		try (Stream<Path> s = Files.walk(d)) {
			System.out.println("walk " + s.filter(Files::isRegularFile).mapToLong(x -> x.toFile().length()).sum());
		}
	}

	static void sockets() throws Exception {
		try (ServerSocket s = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
			Thread t = new Thread(() -> {
				try {
					for (int i = 0; i < 10; i++)
						try (Socket c = s.accept()) {
							c.getInputStream().transferTo(c.getOutputStream());
						}
				} catch (IOException e) {
					System.out.println(e);
				}
			});
			t.start();
			int total = 0;
			for (int i = 0; i < 10; i++)
				try (Socket c = new Socket(s.getInetAddress(), s.getLocalPort())) {
					c.getOutputStream().write(new byte[1000 + i]);
					c.shutdownOutput();
					total += c.getInputStream().readAllBytes().length;
				}
			t.join();
			System.out.println("sockets " + total);
		}
	}

	static void garbage() {
		long sum = 0;
		Deque<byte[]> kept = new ArrayDeque<>();
		for (int i = 0; i < 40_000; i++) {
			byte[] b = new byte[4000 + i % 1000];
			b[i % 4000] = 1;
			kept.add(b);
			if (kept.size() > 2000)
				sum += kept.remove().length;
		}
		System.gc();
		System.out.println("garbage " + sum);
	}

	interface Add {
		int add(int a, int b);
	}

	public static void main(String[] args) throws Exception {
		if (args.length > 0) {
			System.out.print("child speaks");
			System.exit(3);
		}
		nullChecks();
		stackOverflow();
		executor();
		children();
		files();
		sockets();
		garbage();
		Add a = (Add) Proxy.newProxyInstance(Conformance.class.getClassLoader(), new Class<?>[] {Add.class}, (p, m, v) -> (int) v[0] + (int) v[1]);
		System.out.println("proxy " + a.add(2, 3));
		Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("shutdown hook")));
		System.exit(14);
	}
}
