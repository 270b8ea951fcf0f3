import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.AsynchronousFileChannel;
import java.nio.channels.AsynchronousServerSocketChannel;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.DatagramChannel;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.channels.Pipe;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.StandardWatchEventKinds;
import java.nio.file.WatchKey;
import java.nio.file.WatchService;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserDefinedFileAttributeView;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** Channels, selectors, mapped and locked files, directories that are watched. */
public class Nio extends Suite {
	static final InetAddress HERE = InetAddress.getLoopbackAddress();

	static Path file(int size) throws IOException {
		Path p = Files.createTempFile("file", "");
		byte[] content = new byte[size];
		new Random(size).nextBytes(content);
		Files.write(p, content);
		return p;
	}

	static FileChannel open(Path p) throws IOException {
		return FileChannel.open(p, StandardOpenOption.READ, StandardOpenOption.WRITE);
	}

	public static void mappings() throws Exception {
		Path p = file(3 << 20);
		byte[] content = Files.readAllBytes(p);
		try (FileChannel c = open(p)) {
			MappedByteBuffer shared = c.map(FileChannel.MapMode.READ_WRITE, 4099, 1 << 20);
			MappedByteBuffer copy = c.map(FileChannel.MapMode.PRIVATE, 0, 2 << 20);
			MappedByteBuffer read = c.map(FileChannel.MapMode.READ_ONLY, 0, c.size()).load();
			same(content[4099], shared.get(0), "mapped");
			shared.put(0, (byte) ~content[4099]);
			copy.put(1, (byte) ~content[1]);
			shared.force();
			same((byte) ~content[4099], Files.readAllBytes(p)[4099], "written through the mapping");
			same((byte) ~content[4099], read.get(4099), "seen in the other mapping");
			same(content[1], read.get(1), "a private mapping stays private");
			thrown(java.nio.ReadOnlyBufferException.class, () -> read.put(0, (byte) 1));
		}
		try (FileChannel c = FileChannel.open(Files.createTempFile("sparse", ""), StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE)) {
			MappedByteBuffer far = c.map(FileChannel.MapMode.READ_WRITE, 5L << 30, 1 << 16); /* extends the file */
			far.putLong(8, 42);
			same((5L << 30) + (1 << 16), c.size(), "size");
			ByteBuffer b = ByteBuffer.allocate(8);
			c.read(b, (5L << 30) + 8);
			same(42L, b.getLong(0), "read back");
		}
	}

	public static void positions() throws Exception {
		try (FileChannel c = open(file(100))) {
			c.position(90);
			same(10, c.read(ByteBuffer.allocate(50)), "up to the end");
			same(-1, c.read(ByteBuffer.allocate(1)), "at the end");
			same(100L, c.position(), "position");
			c.write(ByteBuffer.wrap(new byte[5]), 200);
			same(205L, c.size(), "size");
			c.truncate(50);
			same("50 50", c.size() + " " + c.position(), "truncated");
			c.force(true);
			ByteBuffer[] parts = {ByteBuffer.allocate(10), ByteBuffer.allocateDirect(20), ByteBuffer.allocate(100)};
			same(50L, c.position(0).read(parts), "scattered");
			for (ByteBuffer b : parts)
				b.flip();
			same(50L, c.position(0).write(parts), "gathered");
		}
		try (FileChannel c = FileChannel.open(file(10), StandardOpenOption.APPEND)) {
			c.write(ByteBuffer.wrap(new byte[3]));
			same(13L, c.size(), "appended");
		}
	}

	public static void locks() throws Exception {
		Path p = file(100);
		try (FileChannel c = open(p); FileChannel d = open(p)) {
			FileLock l = c.lock(10, 20, false);
			check(l.isValid() && !l.isShared(), "lock");
			thrown(OverlappingFileLockException.class, () -> d.tryLock(15, 1, false));
			String locked = "import fcntl,os,sys;f=open(sys.argv[1],'r+b')\ntry:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,5,15);print('free')\nexcept OSError:print('locked')";
			same("locked\n", command("python3", "-c", locked, p.toString()).text(), "seen by another process");
			l.release();
			same("free\n", command("python3", "-c", locked, p.toString()).text(), "released");
			FileLock s = c.lock(0, Long.MAX_VALUE, true);
			check(s.isShared(), "shared");
		}
	}

	public static void transfers() throws Exception {
		Path from = file(5 << 20), to = file(0);
		try (FileChannel in = open(from); FileChannel out = open(to)) {
			long done = 0;
			while (done < in.size())
				done += in.transferTo(done, in.size() - done, out);
			same(-1L, Files.mismatch(from, to), "file to file");
			out.truncate(0);
			try (ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(HERE, 0))) {
				Thread t = new Thread(() -> {
					try (SocketChannel s = SocketChannel.open(server.getLocalAddress())) {
						for (long at = 0; at < in.size();)
							at += in.transferTo(at, in.size() - at, s);
					} catch (IOException e) {
						e.printStackTrace(System.out);
					}
				});
				t.start();
				try (SocketChannel s = server.accept()) {
					for (long at = 0; at < 5 << 20;)
						at += out.transferFrom(s, at, 1 << 20);
				}
				t.join();
			}
		}
		same(-1L, Files.mismatch(from, to), "file to socket to file");
	}

	/** 200 clients and one selector that gives back what they send. */
	public static void selector() throws Exception {
		Selector selector = Selector.open();
		ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(HERE, 0), 300);
		server.configureBlocking(false).register(selector, SelectionKey.OP_ACCEPT);
		AtomicReference<Throwable> wrong = new AtomicReference<>();
		Thread loop = new Thread(() -> {
			ByteBuffer b = ByteBuffer.allocateDirect(4096);
			try {
				while (server.isOpen()) {
					selector.select();
					for (SelectionKey k : selector.selectedKeys()) {
						if (k.isValid() && k.isAcceptable()) {
							server.accept().configureBlocking(false).register(selector, SelectionKey.OP_READ);
						} else if (k.isValid() && k.isReadable()) {
							SocketChannel s = (SocketChannel) k.channel();
							b.clear();
							if (s.read(b) < 0) {
								s.close();
								continue;
							}
							b.flip();
							while (b.hasRemaining())
								s.write(b);
						}
					}
					selector.selectedKeys().clear();
				}
			} catch (Throwable e) {
				wrong.set(e);
			}
		});
		loop.start();
		List<SocketChannel> clients = new ArrayList<>();
		for (int i = 0; i < 200; i++)
			clients.add(SocketChannel.open(server.getLocalAddress()));
		for (int round = 0; round < 5; round++)
			for (int i = 0; i < 200; i++) {
				ByteBuffer b = ByteBuffer.allocate(4).putInt(i * round).flip();
				clients.get(i).write(b);
				b.clear();
				while (b.hasRemaining())
					check(clients.get(i).read(b) > 0, "echo");
				same(i * round, b.getInt(0), "echo");
			}
		for (SocketChannel c : clients)
			c.close();
		server.close();
		selector.wakeup();
		loop.join(10_000);
		selector.close();
		same(null, wrong.get(), "the loop");
	}

	public static void wakeups() throws Exception {
		try (Selector s = Selector.open()) {
			long before = System.nanoTime();
			same(0, s.select(50), "nothing");
			check(System.nanoTime() - before > 40_000_000, "the time of select");
			for (int i = 0; i < 100; i++) {
				Thread t = new Thread(s::wakeup);
				t.start();
				s.select();
				t.join();
			}
			Thread me = Thread.currentThread();
			new Thread(me::interrupt).start();
			s.select();
			check(Thread.interrupted(), "interrupted");
		}
		try (Selector s = Selector.open()) {
			Pipe p = Pipe.open();
			p.source().configureBlocking(false).register(s, SelectionKey.OP_READ);
			p.sink().write(ByteBuffer.wrap(new byte[10]));
			same(1, s.select(10_000), "pipe");
			same(10, p.source().read(ByteBuffer.allocate(100)), "read");
		}
	}

	/** A blocked thread is woken by closing what it blocks on, and by interruption; underneath, by a signal. */
	public static void closing() throws Exception {
		for (int i = 0; i < 20; i++) {
			ServerSocketChannel server = ServerSocketChannel.open().bind(new InetSocketAddress(HERE, 0));
			Class<?>[] seen = new Class<?>[1];
			Thread t = new Thread(() -> {
				try {
					server.accept();
				} catch (IOException e) {
					seen[0] = e.getClass();
				}
			});
			t.start();
			Thread.sleep(5);
			if (i % 2 == 0)
				t.interrupt();
			else
				server.close();
			t.join(10_000);
			check(!t.isAlive(), "the blocked thread is woken");
			Class<?> wanted = i % 2 == 0 ? ClosedByInterruptException.class : AsynchronousCloseException.class;
			check(seen[0] == wanted, seen[0] + ", wanted " + wanted);
		}
		ServerSocket plain = new ServerSocket(0, 5, HERE);
		Socket client = new Socket(HERE, plain.getLocalPort()), served = plain.accept();
		Thread closer = new Thread(() -> {
			try {
				Thread.sleep(50);
				served.close();
			} catch (Exception e) {
				e.printStackTrace(System.out);
			}
		});
		closer.start();
		thrown(SocketException.class, () -> served.getInputStream().read());
		same(-1, client.getInputStream().read(), "end at the other side");
		client.close();
		plain.setSoTimeout(50);
		thrown(SocketTimeoutException.class, plain::accept);
		plain.close();
	}

	public static void unixSockets() throws Exception {
		UnixDomainSocketAddress at = UnixDomainSocketAddress.of(Files.createTempDirectory("sock").resolve("s"));
		try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(at);
			SocketChannel c = SocketChannel.open(at); SocketChannel s = server.accept()) {
			c.write(ByteBuffer.wrap("over a unix socket".getBytes()));
			ByteBuffer b = ByteBuffer.allocate(100);
			s.read(b);
			same(18, b.position(), "bytes");
		}
	}

	public static void datagrams() throws Exception {
		try (DatagramChannel a = DatagramChannel.open().bind(new InetSocketAddress(HERE, 0)); DatagramChannel b = DatagramChannel.open().bind(new InetSocketAddress(HERE, 0))) {
			for (int i = 0; i < 100; i++) {
				a.send(ByteBuffer.allocate(8).putInt(0, i), b.getLocalAddress());
				ByteBuffer got = ByteBuffer.allocate(100);
				same(a.getLocalAddress(), b.receive(got), "sender");
				same(i, got.getInt(0), "content");
			}
		}
	}

	public static void asynchronousFiles() throws Exception {
		Path p = file(1 << 20);
		byte[] content = Files.readAllBytes(p);
		try (AsynchronousFileChannel c = AsynchronousFileChannel.open(p, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
			List<Future<Integer>> all = new ArrayList<>();
			List<ByteBuffer> buffers = new ArrayList<>();
			for (int i = 0; i < 64; i++) {
				ByteBuffer b = ByteBuffer.allocate(16384);
				buffers.add(b);
				all.add(c.read(b, i * 16384L));
			}
			for (int i = 0; i < 64; i++) {
				same(16384, all.get(i).get(30, TimeUnit.SECONDS), "read");
				same(content[i * 16384 + 7], buffers.get(i).get(7), "content");
			}
			same(4, c.write(ByteBuffer.wrap("text".getBytes()), 1 << 20).get(), "written");
			check(c.lock().get().isValid(), "lock");
		}
	}

	public static void asynchronousSockets() throws Exception {
		try (AsynchronousServerSocketChannel server = AsynchronousServerSocketChannel.open().bind(new InetSocketAddress(HERE, 0))) {
			for (int i = 0; i < 50; i++) {
				Future<AsynchronousSocketChannel> accepted = server.accept();
				try (AsynchronousSocketChannel c = AsynchronousSocketChannel.open()) {
					c.connect(server.getLocalAddress()).get(30, TimeUnit.SECONDS);
					try (AsynchronousSocketChannel s = accepted.get(30, TimeUnit.SECONDS)) {
						Future<Integer> read = s.read(ByteBuffer.allocate(100));
						same(5, c.write(ByteBuffer.wrap(new byte[5])).get(30, TimeUnit.SECONDS), "written");
						same(5, read.get(30, TimeUnit.SECONDS), "read");
					}
				}
			}
		}
	}

	public static void watching() throws Exception {
		Path dir = Files.createTempDirectory("watched");
		try (WatchService w = dir.getFileSystem().newWatchService()) {
			dir.register(w, StandardWatchEventKinds.ENTRY_CREATE, StandardWatchEventKinds.ENTRY_DELETE, StandardWatchEventKinds.ENTRY_MODIFY);
			Set<String> seen = new HashSet<>();
			Files.writeString(dir.resolve("a"), "content");
			Files.createDirectory(dir.resolve("b"));
			Files.delete(dir.resolve("a"));
			eventually(() -> {
				WatchKey k = w.poll(1, TimeUnit.SECONDS);
				if (k != null) {
					k.pollEvents().forEach(e -> seen.add(e.kind().name().substring(6) + e.context()));
					k.reset();
				}
				return seen.containsAll(Set.of("CREATEa", "CREATEb", "DELETEa", "MODIFYa"));
			}, "events");
		}
	}

	public static void attributes() throws Exception {
		Path p = file(1000);
		Files.setPosixFilePermissions(p, PosixFilePermissions.fromString("rw-r-x--x"));
		Files.setLastModifiedTime(p, FileTime.fromMillis(1_234_567_890_123L));
		PosixFileAttributes a = Files.readAttributes(p, PosixFileAttributes.class);
		same("rw-r-x--x 1234567890123 1000 true", PosixFilePermissions.toString(a.permissions()) + " " + a.lastModifiedTime().toMillis() + " " + a.size() + " " + a.isRegularFile(), "attributes");
		Path link = p.resolveSibling(p.getFileName() + ".link");
		Files.createSymbolicLink(link, p.getFileName());
		same(p.toRealPath(), link.toRealPath(), "symbolic link");
		check(Files.isSameFile(p, link) && Files.isSymbolicLink(link), "same file");
		UserDefinedFileAttributeView user = Files.getFileAttributeView(p, UserDefinedFileAttributeView.class);
		if (Files.getFileStore(p).supportsFileAttributeView("user")) {
			user.write("note", ByteBuffer.wrap("text".getBytes()));
			same(List.of("note"), user.list(), "extended attributes");
		}
		check(Files.getFileStore(p).getTotalSpace() > 0, "file store");
		Files.delete(link);
	}

	public static void copiesAndMoves() throws Exception {
		Path dir = Files.createTempDirectory("dir"), a = dir.resolve("a"), b = dir.resolve("b");
		Files.copy(file(300_000), a);
		Files.copy(a, b, StandardCopyOption.COPY_ATTRIBUTES);
		same(-1L, Files.mismatch(a, b), "copied");
		thrown(FileAlreadyExistsException.class, () -> Files.copy(a, b));
		Files.move(a, b, StandardCopyOption.ATOMIC_MOVE);
		check(!Files.exists(a), "moved");
		thrown(NoSuchFileException.class, () -> Files.delete(a));
		thrown(DirectoryNotEmptyException.class, () -> Files.delete(dir));
		for (int i = 0; i < 300; i++)
			Files.createDirectories(dir.resolve("x" + i % 10).resolve("y" + i));
		try (var walk = Files.walk(dir)) {
			same(312L, walk.count(), "walk");
		}
		try {
			Files.move(b, Path.of("/dev/shm/suite-" + ProcessHandle.current().pid()), StandardCopyOption.ATOMIC_MOVE);
			throw new Failure("moved to another file system");
		} catch (AtomicMoveNotSupportedException e) {
			check(Files.exists(b), "stays");
		}
	}

	public static void interruptedFiles() throws Exception {
		Path p = file(1 << 20);
		for (int i = 0; i < 20; i++) {
			FileChannel c = open(p);
			Thread t = new Thread(() -> {
				ByteBuffer b = ByteBuffer.allocate(1 << 20);
				try {
					for (;;) {
						b.clear();
						c.read(b, 0);
					}
				} catch (IOException e) {
					same(ClosedByInterruptException.class, e.getClass(), "while reading");
				}
			});
			t.start();
			Thread.sleep(3);
			t.interrupt();
			t.join(10_000);
			check(!t.isAlive() && !c.isOpen(), "interrupted");
		}
	}

	public static void bigReadsAndFiles() throws Exception {
		try (RandomAccessFile f = new RandomAccessFile(Files.createTempFile("big", "").toFile(), "rw")) {
			byte[] block = new byte[32 << 20];
			new Random(1).nextBytes(block);
			f.write(block);
			f.seek(0);
			byte[] back = new byte[block.length];
			f.readFully(back);
			check(java.util.Arrays.equals(block, back), "32 MiB in one call");
			f.setLength(6L << 30);
			f.seek((6L << 30) - 1);
			same(0, f.read(), "end of a file with holes");
		}
	}
}
