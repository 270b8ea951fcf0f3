import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.Exchanger;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.LinkedTransferQueue;
import java.util.concurrent.Phaser;
import java.util.concurrent.RecursiveTask;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.stream.LongStream;

/** Threads, locks, and what sees threads from outside. */
public class Threads extends Suite {
	static List<Thread> start(int n, Runnable r) {
		List<Thread> all = new ArrayList<>();
		for (int i = 0; i < n; i++) {
			Thread t = new Thread(r);
			t.start();
			all.add(t);
		}
		return all;
	}

	static void join(List<Thread> all) throws InterruptedException {
		for (Thread t : all) {
			t.join(120_000);
			check(!t.isAlive(), "a thread does not end");
		}
	}

	public static void thousandAtOnce() throws Exception {
		CountDownLatch ready = new CountDownLatch(1000), go = new CountDownLatch(1);
		AtomicInteger ran = new AtomicInteger();
		List<Thread> all = start(1000, () -> {
			ready.countDown();
			try {
				go.await();
			} catch (InterruptedException e) {
				return;
			}
			ran.incrementAndGet();
		});
		check(ready.await(100, TimeUnit.SECONDS), "all have started");
		go.countDown();
		join(all);
		same(1000, ran.get(), "threads that ran");
	}

	public static void tenThousandInTurn() throws Exception {
		AtomicInteger ran = new AtomicInteger();
		for (int i = 0; i < 200; i++)
			join(start(50, ran::incrementAndGet));
		same(10_000, ran.get(), "threads that ran");
	}

	public static void monitors() throws Exception {
		Object lock = new Object();
		int[] turn = {0};
		List<Thread> all = new ArrayList<>();
		for (int me = 0; me < 4; me++) {
			int id = me;
			Thread t = new Thread(() -> {
				for (int i = 0; i < 2000; i++)
					synchronized (lock) {
						while (turn[0] % 4 != id)
							try {
								lock.wait();
							} catch (InterruptedException e) {
								return;
							}
						turn[0]++;
						lock.notifyAll();
					}
			});
			t.start();
			all.add(t);
		}
		join(all);
		same(8000, turn[0], "turns");
	}

	public static void contention() throws Exception {
		ReentrantLock lock = new ReentrantLock(), fair = new ReentrantLock(true);
		ReentrantReadWriteLock rw = new ReentrantReadWriteLock();
		long[] n = {0, 0, 0};
		join(start(16, () -> {
			for (int i = 0; i < 2000; i++) {
				lock.lock();
				n[0]++;
				lock.unlock();
				if (i % 20 == 0) {
					fair.lock();
					n[1]++;
					fair.unlock();
				}
				rw.writeLock().lock();
				n[2]++;
				rw.writeLock().unlock();
				rw.readLock().lock();
				rw.readLock().unlock();
			}
		}));
		same("32000 1600 32000", n[0] + " " + n[1] + " " + n[2], "counts");
	}

	public static void parking() throws Exception {
		AtomicInteger turns = new AtomicInteger();
		Thread[] two = new Thread[2];
		for (int i = 0; i < 2; i++) {
			int id = i;
			two[i] = new Thread(() -> {
				while (turns.get() < 20_000)
					if (turns.get() % 2 == id) {
						turns.incrementAndGet();
						LockSupport.unpark(two[1 - id]);
					} else {
						LockSupport.parkNanos(1_000_000);
					}
			});
		}
		for (Thread t : two)
			t.start();
		join(List.of(two));
		check(turns.get() >= 20_000, "turns");
	}

	public static void interrupts() throws Exception {
		for (Action how : new Action[] {() -> Thread.sleep(100_000), () -> new Object() {
				synchronized void block() throws InterruptedException {
					wait();
				}
			}.block(), () -> new CountDownLatch(1).await(), () -> new Exchanger<Integer>().exchange(1), () -> new LinkedTransferQueue<Integer>().take(), () -> new ProcessBuilder("sleep", "1").start().waitFor()}) {
			AtomicInteger seen = new AtomicInteger();
			CountDownLatch started = new CountDownLatch(1);
			Thread t = new Thread(() -> {
				started.countDown();
				try {
					how.run();
				} catch (InterruptedException e) {
					seen.incrementAndGet();
				} catch (Exception e) {
					e.printStackTrace(System.out);
				}
			});
			t.start();
			started.await();
			Thread.sleep(20);
			t.interrupt();
			t.join(10_000);
			same(1, seen.get(), "interrupted");
		}
	}

	public static void barriers() throws Exception {
		CyclicBarrier barrier = new CyclicBarrier(8);
		Phaser phaser = new Phaser(8);
		AtomicInteger rounds = new AtomicInteger();
		join(start(8, () -> {
			try {
				for (int i = 0; i < 200; i++) {
					barrier.await();
					rounds.incrementAndGet();
					phaser.arriveAndAwaitAdvance();
				}
			} catch (Exception e) {
				e.printStackTrace(System.out);
			}
		}));
		same(1600, rounds.get(), "rounds");
	}

	static class Fib extends RecursiveTask<Integer> {
		final int n;

		Fib(int n) {
			this.n = n;
		}

		@Override
		protected Integer compute() {
			if (n < 2)
				return n;
			Fib f = new Fib(n - 1);
			f.fork();
			return new Fib(n - 2).compute() + f.join();
		}
	}

	public static void forkJoin() {
		same(17711, new ForkJoinPool(8).invoke(new Fib(22)), "fib");
		same(499_999_500_000L, LongStream.range(0, 1_000_000).parallel().sum(), "parallel sum");
		same(5050, CompletableFuture.supplyAsync(() -> 5000).thenCombineAsync(CompletableFuture.supplyAsync(() -> 50), Integer::sum).join(), "future");
	}

	public static void timers() throws Exception {
		ScheduledExecutorService s = Executors.newScheduledThreadPool(2);
		AtomicInteger ticks = new AtomicInteger();
		var f = s.scheduleAtFixedRate(ticks::incrementAndGet, 0, 2, TimeUnit.MILLISECONDS);
		eventually(() -> ticks.get() >= 100, "100 ticks");
		f.cancel(false);
		s.shutdown();
		check(s.awaitTermination(10, TimeUnit.SECONDS), "the pool ends");
		long before = System.nanoTime();
		Thread.sleep(50);
		check(System.nanoTime() - before >= 50_000_000, "slept");
	}

	static void hotWork(AtomicLong out) {
		long x = out.get();
		for (int i = 0; i < 50_000_000; i++)
			x = x * 31 + i;
		out.set(x);
	}

	public static void cpuTimes() throws Exception {
		ThreadMXBean mx = ManagementFactory.getThreadMXBean();
		AtomicLong out = new AtomicLong();
		long[] times = new long[2];
		Thread t = new Thread(() -> {
			hotWork(out);
			times[0] = mx.getCurrentThreadCpuTime();
			times[1] = mx.getThreadCpuTime(Thread.currentThread().getId());
		});
		t.start();
		t.join();
		check(times[0] > 1_000_000 && times[1] >= times[0], "processor times " + times[0] + " " + times[1]);
	}

	public static void deadlocks() throws Exception {
		Object a = new Object(), b = new Object();
		CyclicBarrier both = new CyclicBarrier(2);
		for (Object[] order : new Object[][] {{a, b}, {b, a}}) {
			Thread t = new Thread(() -> {
				synchronized (order[0]) {
					try {
						both.await();
					} catch (Exception e) {
						return;
					}
					synchronized (order[1]) {
						System.out.println("unreachable");
					}
				}
			});
			t.setDaemon(true);
			t.start();
		}
		ThreadMXBean mx = ManagementFactory.getThreadMXBean();
		eventually(() -> mx.findDeadlockedThreads() != null, "the deadlock is found");
		same(2, mx.findDeadlockedThreads().length, "threads in the deadlock");
	}

	public static void stackTraces() throws Exception {
		List<Thread> all = start(20, () -> {
			try {
				Thread.sleep(3000);
			} catch (InterruptedException e) {
			}
		});
		for (int i = 0; i < 50; i++)
			check(Thread.getAllStackTraces().size() > 20, "stack traces");
		for (Thread t : all)
			t.interrupt();
		join(all);
	}

	public static void prioritiesAndNames() throws Exception {
		Thread t = new Thread(() -> LockSupport.park(), "a-name-that-is-long");
		t.setPriority(Thread.MAX_PRIORITY);
		t.start();
		eventually(() -> {
			for (String task : new java.io.File("/proc/self/task").list())
				if (Files.readString(Path.of("/proc/self/task", task, "comm")).startsWith("a-name-that-is"))
					return true;
			return false;
		}, "the kernel knows the thread's name");
		LockSupport.unpark(t);
		join(List.of(t));
	}

	public static void exitWithThreads() throws Exception {
		for (int i = 0; i < 5; i++) {
			Ended e = command(jvm("Threads", "exit"));
			same(23, e.status(), "exit while threads run: " + e.text());
		}
	}

	public static void uncaught() throws Exception {
		Ended e = command(jvm("Threads", "uncaught"));
		same(1, e.status(), "uncaught exception in main");
		check(e.text().contains("IllegalStateException: on purpose"), e.text());
	}

	public static void mainEndsFirst() throws Exception {
		Ended e = command(jvm("Threads", "first"));
		same("0 last\n", e.status() + " " + e.text(), "thread that outlives main");
	}

	/** The flight recorder's sampler stops threads by a signal and walks their stacks. */
	public static void flightRecorder() throws Exception {
		Path file = Files.createTempFile("flight", ".jfr");
		Ended e = command(jvm("-XX:StartFlightRecording=settings=profile,filename=" + file, "Threads", "work"));
		same(0, e.status(), "recorded run: " + e.text());
		Ended s = command(tool("jfr"), "print", "--events", "jdk.ExecutionSample", "--stack-depth", "3", file.toString());
		check(s.text().contains("hotWork"), "samples show hotWork: " + s.text().substring(0, Math.min(300, s.text().length())));
		Files.delete(file);
	}

	public static void main(String[] args) throws Exception {
		switch (args[0]) {
		case "exit" -> {
			AtomicLong sink = new AtomicLong();
			start(8, () -> {
				for (;;)
					hotWork(sink);
			});
			start(8, LockSupport::park);
			Thread.sleep(100);
			System.exit(23);
		}
		case "uncaught" -> throw new IllegalStateException("on purpose");
		case "first" -> start(1, () -> {
			LockSupport.parkNanos(200_000_000);
			System.out.println("last");
		});
		case "work" -> {
			AtomicLong sink = new AtomicLong();
			for (int i = 0; i < 40; i++)
				hotWork(sink);
		}
		default -> throw new IllegalArgumentException(args[0]);
		}
	}
}
