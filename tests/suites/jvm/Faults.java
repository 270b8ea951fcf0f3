import java.io.RandomAccessFile;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Pattern;

/** Faults that the JVM turns into exceptions. */
public class Faults extends Suite {
	static class Wide {
		/* The last field is far from the object's start: not all null checks are of the first page. */
		long a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, b0, b1, b2, b3, b4, b5, b6, b7, b8, b9;
		Wide next;
		int value;
	}

	static int hot(Wide w) {
		return w.value;
	}

	static int deep(Wide w) {
		return w.next.next.value;
	}

	static void store(Wide w, int v) {
		w.value = v;
	}

	public static void nullReads() {
		Wide one = new Wide(), two = new Wide();
		one.next = two;
		two.next = one;
		int caught = 0, sum = 0;
		for (int i = 0; i < 400_000; i++) {
			sum += hot(one) + deep(one);
			if (i % 1000 == 0) {
				two.next = null;
				try {
					deep(one);
				} catch (NullPointerException e) {
					caught++;
				}
				try {
					hot(two.next);
				} catch (NullPointerException e) {
					caught++;
				}
				two.next = one;
			}
		}
		same(800, caught, "null pointers caught");
		same(0, sum, "sum");
	}

	public static void nullWrites() {
		Wide w = new Wide();
		int caught = 0;
		for (int i = 0; i < 400_000; i++) {
			store(w, i);
			if (i % 1000 == 999)
				try {
					store(null, i);
				} catch (NullPointerException e) {
					caught++;
				}
		}
		same(400, caught, "null pointers caught");
		same(399_999, w.value, "last value");
	}

	public static void nullInThreads() throws Exception {
		List<Thread> all = new ArrayList<>();
		AtomicInteger caught = new AtomicInteger();
		for (int t = 0; t < 8; t++) {
			Thread thread = new Thread(() -> {
				Wide w = new Wide();
				for (int i = 0; i < 60_000; i++) {
					hot(w);
					if (i % 200 == 0)
						try {
							hot(null);
						} catch (NullPointerException e) {
							caught.incrementAndGet();
						}
				}
			});
			thread.start();
			all.add(thread);
		}
		for (Thread t : all)
			t.join();
		same(8 * 300, caught.get(), "caught");
	}

	static int divide(int a, int b) {
		return a / b + a % b;
	}

	static long divideLong(long a, long b) {
		return a / b;
	}

	public static void divisions() {
		int caught = 0;
		for (int i = 0; i < 200_000; i++) {
			try {
				divide(i, i % 500);
				divideLong(i, i % 250);
			} catch (ArithmeticException e) {
				caught++;
			}
		}
		same(800, caught, "divisions by zero");
		same(Integer.MIN_VALUE, divide(Integer.MIN_VALUE, -1), "least by -1");
	}

	static int depth;

	static int dive(int n, long a, long b, double c) {
		depth = n;
		return dive(n + 1, a + 1, b * 2, c / 3) + 1;
	}

	public static void stackOverflow() {
		int least = Integer.MAX_VALUE;
		for (int i = 0; i < 50; i++) {
			thrown(StackOverflowError.class, () -> dive(0, 1, 2, 3));
			least = Math.min(least, depth);
		}
		check(least > 1000, "only " + least + " deep");
	}

	static int finalDepth;

	static void diveInto(int n) {
		try {
			diveInto(n + 1);
		} finally {
			finalDepth++;
		}
	}

	public static void stackOverflowFinally() {
		finalDepth = 0;
		thrown(StackOverflowError.class, () -> diveInto(0));
		check(finalDepth > 500, "finally ran " + finalDepth + " times");
	}

	public static void stackOverflowThreads() throws Exception {
		AtomicInteger caught = new AtomicInteger();
		List<Thread> all = new ArrayList<>();
		for (int i = 0; i < 24; i++) {
			long size = (128L << 10) << (i % 8); /* 128 KiB to 16 MiB */
			Thread t = new Thread(null, () -> {
				for (int k = 0; k < 3; k++)
					try {
						dive(0, 1, 2, 3);
					} catch (StackOverflowError e) {
						caught.incrementAndGet();
					}
			}, "deep", size);
			t.start();
			all.add(t);
		}
		for (Thread t : all)
			t.join();
		same(72, caught.get(), "caught");
	}

	/** Through native frames: reflection, sorting, regular expressions. */
	public static void stackOverflowNative() throws Exception {
		thrown(StackOverflowError.class, Faults::reflect);
		thrown(StackOverflowError.class, () -> Pattern.compile("(x|y)*").matcher("xy".repeat(100_000)).matches());
		Comparator<Integer>[] c = new Comparator[1];
		c[0] = (a, b) -> {
			List<Integer> l = new ArrayList<>(List.of(2, 1));
			l.sort(c[0]);
			return 0;
		};
		thrown(StackOverflowError.class, () -> new ArrayList<>(List.of(2, 1)).sort(c[0]));
	}

	public static void main(String[] args) throws Exception {
		reflect();
	}

	static void reflect() throws Exception {
		try {
			Faults.class.getDeclaredMethod("reflect").invoke(null);
		} catch (java.lang.reflect.InvocationTargetException e) {
			if (e.getCause() instanceof StackOverflowError s)
				throw s;
			throw e;
		}
	}

	/** The file gets shorter under its mapping: SIGBUS, which becomes InternalError. */
	public static void truncatedMapping() throws Exception {
		Path p = Files.createTempFile("mapped", "");
		try (RandomAccessFile f = new RandomAccessFile(p.toFile(), "rw")) {
			f.setLength(1 << 20);
			MappedByteBuffer m = f.getChannel().map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
			m.put(1 << 19, (byte) 7);
			f.setLength(4096);
			same((byte) 0, m.get(100), "within the file");
			Throwable e = thrown(InternalError.class, () -> {
				long sum = 0;
				for (int i = 0; i < 1 << 20; i += 4096)
					sum += m.get(i);
				check(sum == 0, "unreachable");
			});
			check(e.getMessage().contains("unsafe memory access"), e.getMessage());
		}
		Files.delete(p);
	}

	static int classCast(Object o) {
		return ((String) o).length();
	}

	public static void otherExceptions() {
		int casts = 0, bounds = 0, stores = 0;
		int[] small = new int[10];
		for (int i = 0; i < 100_000; i++) {
			try {
				classCast(i % 100 == 0 ? Integer.valueOf(1) : "s");
			} catch (ClassCastException e) {
				casts++;
			}
			try {
				small[i % 11]++;
			} catch (ArrayIndexOutOfBoundsException e) {
				bounds++;
			}
			try {
				Object[] a = new String[1];
				a[0] = i % 50 == 0 ? (Object) i : "s";
			} catch (ArrayStoreException e) {
				stores++;
			}
		}
		same("1000 9090 2000", casts + " " + bounds + " " + stores, "exceptions");
	}

	/** Floating point: conversions of what does not fit take a slow path; control words stay as they are. */
	public static void floats() {
		double d = 1e300;
		long sum = 0;
		for (int i = 0; i < 100_000; i++) {
			sum += (int) d + (long) (float) i + (int) Double.NaN + (long) Math.rint(i + 0.5);
			d = -d;
		}
		same(-50_000L + 2 * 4_999_950_000L + 50_000L, sum, "sum of conversions");
		same(0x1.921fb54442d18p+1, StrictMath.atan2(0.0, -1.0), "pi");
	}
}
