import java.lang.ref.Cleaner;
import java.lang.ref.PhantomReference;
import java.lang.ref.ReferenceQueue;
import java.lang.ref.SoftReference;
import java.lang.ref.WeakReference;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Garbage under load, for every collector: heaps of 192 MiB, of which much more than all is allocated. */
public class Gc extends Suite {
	record Node(long value, Node left, Node right) {
		static Node tree(int depth, long seed) {
			return depth == 0 ? null : new Node(seed, tree(depth - 1, seed * 2), tree(depth - 1, seed * 2 + 1));
		}

		static long sum(Node n) {
			return n == null ? 0 : n.value + sum(n.left) + sum(n.right);
		}
	}

	static void inThreads(int n, Action a) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(n);
		List<Future<?>> all = new ArrayList<>();
		for (int i = 0; i < n; i++)
			all.add(pool.submit(() -> {
				a.run();
				return null;
			}));
		for (Future<?> f : all)
			f.get(120, TimeUnit.SECONDS);
		pool.shutdown();
	}

	public static void trees() throws Exception {
		long wanted = Node.sum(Node.tree(14, 1));
		inThreads(4, () -> {
			ArrayDeque<Node> kept = new ArrayDeque<>();
			for (int i = 0; i < 60; i++) {
				kept.add(Node.tree(14, 1));
				if (kept.size() > 8)
					same(wanted, Node.sum(kept.remove()), "tree");
			}
			for (Node n : kept)
				same(wanted, Node.sum(n), "tree kept");
		});
	}

	public static void mapChurn() throws Exception {
		ConcurrentHashMap<Integer, byte[]> map = new ConcurrentHashMap<>();
		inThreads(4, () -> {
			Random random = new Random(1);
			for (int i = 0; i < 40_000; i++) {
				int key = random.nextInt(2000);
				byte[] value = new byte[random.nextInt(8000) + 4];
				value[0] = (byte) key;
				value[value.length - 1] = (byte) (key >> 8);
				map.put(key, value);
				byte[] other = map.get(random.nextInt(2000));
				if (other != null && other.length > 4)
					check(other.length <= 8004, "length");
			}
		});
		map.forEach((k, v) -> check(v[0] == (byte) (int) k && v[v.length - 1] == (byte) (k >> 8), "content of " + k));
	}

	public static void humongous() {
		long sum = 0;
		for (int i = 0; i < 60; i++) {
			int[] big = new int[6_000_000 + i];
			big[i] = i;
			big[big.length - 1] = 1;
			sum += big[i] + big[big.length - 1];
		}
		same(60L + 59 * 60 / 2, sum, "sum of large arrays");
	}

	public static void strings() {
		Map<String, Integer> counts = new HashMap<>();
		for (int i = 0; i < 300_000; i++)
			counts.merge(("key" + i % 5000).intern(), 1, Integer::sum);
		same(5000, counts.size(), "strings");
		check(counts.values().stream().allMatch(c -> c == 60), "counts");
	}

	public static void references() throws Exception {
		ReferenceQueue<Object> queue = new ReferenceQueue<>();
		Object kept = new Object();
		Object[] gone = {new Object(), new Object()};
		WeakReference<Object> weak = new WeakReference<>(gone[0]), strong = new WeakReference<>(kept);
		PhantomReference<Object> phantom = new PhantomReference<>(gone[1], queue);
		SoftReference<Object> soft = new SoftReference<>(new Object());
		gone = null;
		eventually(() -> {
			System.gc();
			return weak.get() == null;
		}, "the weak reference is cleared");
		same(phantom, queue.remove(30_000), "phantom reference queued");
		check(strong.get() == kept, "a reachable object stays");
		check(soft.get() != null, "a soft reference stays while there is room");
	}

	public static void cleaners() throws Exception {
		AtomicInteger cleaned = new AtomicInteger();
		Cleaner cleaner = Cleaner.create();
		for (int i = 0; i < 1000; i++)
			cleaner.register(new Object(), cleaned::incrementAndGet);
		eventually(() -> {
			System.gc();
			return cleaned.get() == 1000;
		}, "1000 cleaned");
	}

	public static void directMemory() {
		for (int i = 0; i < 200; i++) { /* of 64 MiB allowed: freed by collections */
			ByteBuffer b = ByteBuffer.allocateDirect(4 << 20);
			b.putLong(0, i).putLong(b.capacity() - 8, i);
			same((long) i, b.getLong(b.capacity() - 8), "direct memory");
		}
		List<ByteBuffer> all = new ArrayList<>();
		thrown(OutOfMemoryError.class, () -> {
			for (;;)
				all.add(ByteBuffer.allocateDirect(4 << 20));
		});
	}

	public static void outOfMemory() {
		for (int round = 0; round < 3; round++) {
			List<byte[]> all = new ArrayList<>();
			thrown(OutOfMemoryError.class, () -> {
				for (;;)
					all.add(new byte[1 << 20]);
			});
			check(all.size() > 80, "only " + all.size() + " MiB in a heap of 192");
		}
	}

	public static void classes() throws Exception {
		InvocationHandler handler = (p, m, a) -> m.getName().equals("compareTo") ? 42 : null;
		for (int i = 0; i < 300; i++) {
			ClassLoader loader = new ClassLoader(null) {};
			Object o = Proxy.newProxyInstance(loader, new Class<?>[] {Comparable.class}, handler);
			@SuppressWarnings("unchecked")
			int answer = ((Comparable<Object>) o).compareTo("x");
			same(42, answer, "proxy");
			if (i % 100 == 0)
				System.gc();
		}
	}

	/** Collections must stop threads that block in the kernel, compute without calls, or come and go. */
	public static void safepoints() throws Exception {
		Process sleeper = new ProcessBuilder("sleep", "100").start();
		Thread blocked = new Thread(() -> {
			try {
				sleeper.waitFor();
			} catch (InterruptedException e) {
			}
		});
		long[] count = {0};
		boolean[] stop = {false};
		Thread busy = new Thread(() -> {
			long x = 1;
			while (!stop[0]) {
				for (int i = 0; i < 1000; i++)
					x = x * 6364136223846793005L + 1;
				count[0] = x;
				Thread.onSpinWait();
			}
		});
		blocked.start();
		busy.setDaemon(true);
		busy.start();
		for (int i = 0; i < 20; i++) {
			Thread brief = new Thread(() -> Node.tree(10, 1));
			brief.start();
			System.gc();
			brief.join();
		}
		stop[0] = true;
		sleeper.destroyForcibly();
		blocked.join(10_000);
		check(!blocked.isAlive(), "the blocked thread ended");
	}
}
