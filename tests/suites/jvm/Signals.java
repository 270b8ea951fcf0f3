import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/** Signals: handlers in Java, what the JVM does with its own, and how it dies. */
public class Signals extends Suite {
	static final String[] WAIT = {"Signals", "wait"};

	/** A JVM that waits, after it has said "ready". What it says later is in said. */
	static class Waiting {
		final Process process;
		final StringBuffer said = new StringBuffer();
		final Thread reader;

		Waiting(String... words) throws Exception {
			process = new ProcessBuilder(words).redirectErrorStream(true).start();
			reader = new Thread(() -> {
				try (BufferedReader in = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
					for (String line; (line = in.readLine()) != null;)
						said.append(line).append('\n');
				} catch (java.io.IOException e) {
					said.append(e);
				}
			});
			reader.start();
			until("ready");
		}

		void until(String text) throws Exception {
			eventually(() -> said.indexOf(text) >= 0 || !process.isAlive(), text);
			check(said.indexOf(text) >= 0, "no " + text + " in: " + said);
		}

		Ended end() throws Exception {
			check(process.waitFor(60, TimeUnit.SECONDS), "the JVM does not end");
			reader.join();
			return new Ended(process.exitValue(), said.toString());
		}
	}

	static Ended killed(String signal, String... words) throws Exception {
		Waiting w = new Waiting(words);
		Suite.signal(signal, w.process.pid());
		return w.end();
	}

	static String[] with(String option) {
		return jvm(option, "Signals", "wait");
	}

	public static void handlers() throws Exception {
		AtomicInteger seen = new AtomicInteger();
		for (String name : new String[] {"HUP", "WINCH", "ALRM", "CONT", "IO", "URG", "PROF", "TRAP", "RTMIN"}) {
			int before = seen.get();
			SignalHandler old;
			try {
				old = Signal.handle(new Signal(name), s -> seen.incrementAndGet());
			} catch (IllegalArgumentException e) {
				continue; /* the JVM does not know it or keeps it */
			}
			Suite.signal(name, ProcessHandle.current().pid());
			eventually(() -> seen.get() == before + 1, "handler of " + name);
			Signal.handle(new Signal(name), old);
		}
		check(seen.get() >= 7, "handled " + seen.get());
	}

	public static void raised() throws Exception {
		AtomicInteger seen = new AtomicInteger();
		Signal hup = new Signal("HUP");
		SignalHandler old = Signal.handle(hup, s -> seen.incrementAndGet());
		for (int i = 1; i <= 200; i++) {
			int n = i;
			Signal.raise(hup);
			eventually(() -> seen.get() >= n, "raised " + n);
		}
		Signal.handle(hup, old);
		Signal alarm = new Signal("ALRM"); /* once ignored, SIGHUP would stay so */
		Signal.handle(alarm, SignalHandler.SIG_IGN);
		Suite.signal("ALRM", ProcessHandle.current().pid());
		same(200, seen.get(), "handled");
	}

	/** While threads allocate, collect and block. */
	public static void many() throws Exception {
		AtomicInteger seen = new AtomicInteger();
		Signal.handle(new Signal("HUP"), s -> seen.incrementAndGet()); /* for good: some may come late */
		boolean[] stop = {false};
		for (int i = 0; i < 4; i++)
			new Thread(() -> {
				while (!stop[0]) {
					byte[] garbage = new byte[10_000];
					if (garbage[5] != 0)
						System.out.println("unreachable");
					Thread.yield();
				}
			}).start();
		String pid = Long.toString(ProcessHandle.current().pid());
		Ended e = command("bash", "-c", "for ((i = 0; i < 2000; i++)); do kill -HUP " + pid + " || exit 1; done");
		stop[0] = true;
		same(0, e.status(), "sender");
		eventually(() -> seen.get() > 0, "handled");
	}

	public static void shutdownHooks() throws Exception {
		String[][] cases = {{"TERM", "143"}, {"INT", "130"}, {"HUP", "129"}};
		for (String[] c : cases) {
			Ended e = killed(c[0], jvm(WAIT));
			same(c[1], Integer.toString(e.status()), "status after SIG" + c[0]);
			check(e.text().endsWith("hook\n"), "the hook ran: " + e.text());
		}
	}

	public static void withoutHandlers() throws Exception {
		for (String[] c : new String[][] {{"TERM", "143"}, {"INT", "130"}, {"KILL", "137"}, {"USR1", "138"}}) {
			Ended e = killed(c[0], with("-Xrs"));
			same(c[1] + " ready\n", e.status() + " " + e.text(), "-Xrs and SIG" + c[0]);
		}
	}

	public static void threadDump() throws Exception {
		Waiting w = new Waiting(jvm(WAIT));
		for (int i = 0; i < 3; i++) {
			w.said.setLength(0);
			Suite.signal("QUIT", w.process.pid());
			w.until("JNI global refs");
			check(w.said.indexOf("Full thread dump OpenJDK 64-Bit Server VM") >= 0, "begins: " + w.said);
			check(w.said.indexOf("\"main\" #1") >= 0 && w.said.indexOf("Signals.main") >= 0, "the main thread: " + w.said);
		}
		Suite.signal("TERM", w.process.pid());
		same(143, w.end().status(), "status");
	}

	static void crash(String what, String[] words, String signal, String report, int status) throws Exception {
		Path dir = Files.createTempDirectory("crash");
		String file = dir + "/hs_err";
		String[] all = new String[words.length + 1];
		all[0] = words[0];
		all[1] = "-XX:ErrorFile=" + file;
		System.arraycopy(words, 1, all, 2, words.length - 1);
		Ended e = signal == null ? command(all) : killed(signal, all);
		same(status, e.status(), what + ": status: " + e.text());
		check(Files.exists(Path.of(file)), what + ": an error file: " + e.text());
		String text = Files.readString(Path.of(file));
		check(text.contains(report), what + ": " + report + " is not in: " + text.substring(0, Math.min(600, text.length())));
		check(e.text().contains("error report file"), what + ": " + e.text());
		for (String part : new String[] {"Registers:", "RIP=0x", "Dynamic libraries:", "libjvm.so", "VM Arguments:", "END."})
			check(text.contains(part), what + ": " + part + " is not in the error file");
	}

	public static void crashes() throws Exception {
		crash("a wild write", jvm("Signals", "crash"), null, "SIGSEGV (0xb)", 1);
		crash("a wild write, interpreted", jvm("-Xint", "Signals", "crash"), null, "si_addr: 0x0000000000000010", 1);
	}

	public static void crashesFromOutside() throws Exception {
		crash("SIGSEGV from outside", jvm(WAIT), "SEGV", "sent by kill", 1);
		crash("SIGBUS from outside", jvm(WAIT), "BUS", "SIGBUS (0x7)", 1);
		crash("SIGILL from outside", jvm(WAIT), "ILL", "SIGILL (0x4)", 1);
		crash("SIGFPE from outside", jvm(WAIT), "FPE", "SIGFPE (0x8)", 1);
	}

	public static void crashByAbort() throws Exception {
		String[] java = jvm("-XX:+CreateCoredumpOnCrash", "-XX:ErrorFile=/dev/null", "Signals", "crash");
		Ended e = command("bash", "-c", "ulimit -c 0; '" + String.join("' '", java) + "'; echo ended $?");
		check(e.text().endsWith("ended 134\n"), e.text());
	}

	public static void abort() throws Exception {
		same(134, killed("ABRT", jvm(WAIT)).status(), "status after SIGABRT");
	}

	public static void onError() throws Exception {
		Ended e = command(jvm("-XX:OnError=echo said of %p", "-XX:ErrorFile=" + Files.createTempDirectory("crash") + "/hs", "Signals", "crash"));
		check(e.status() == 1 && e.text().contains("\nsaid of "), e.toString());
	}

	public static void onOutOfMemory() throws Exception {
		Ended e = command(jvm("-Xmx24m", "-XX:+ExitOnOutOfMemoryError", "Signals", "memory"));
		same(3, e.status(), "-XX:+ExitOnOutOfMemoryError: " + e.text());
		e = command(jvm("-Xmx24m", "-XX:OnOutOfMemoryError=echo said of %p", "Signals", "memory"));
		check(e.status() == 1 && e.text().contains("said of ") && e.text().contains("OutOfMemoryError: Java heap space"), e.toString());
	}

	public static void stopped() throws Exception {
		Waiting w = new Waiting(jvm(WAIT));
		for (int i = 0; i < 3; i++) {
			Suite.signal("STOP", w.process.pid());
			Path stat = Path.of("/proc/" + w.process.pid() + "/stat");
			eventually(() -> Files.readString(stat).contains(") T "), "stopped");
			Suite.signal("CONT", w.process.pid());
			eventually(() -> !Files.readString(stat).contains(") T "), "continued");
		}
		Suite.signal("TERM", w.process.pid());
		same(143, w.end().status(), "status");
	}

	public static void brokenPipe() throws Exception {
		Ended e = command("bash", "-c", "'" + String.join("' '", jvm("Signals", "write")) + "' | head -n 1; echo ${PIPESTATUS[0]}");
		same("line\n7\n", e.text(), "writer into a closed pipe");
	}

	public static void exitCodes() throws Exception {
		for (int code : new int[] {0, 1, 77, 255})
			same(code, command(jvm("Signals", "exit", Integer.toString(code))).status(), "exit");
		same(9, command(jvm("Signals", "halt")).status(), "halt in a hook");
	}

	public static void main(String[] args) throws Exception {
		switch (args[0]) {
		case "wait" -> {
			Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook")));
			System.out.println("ready");
			Thread.sleep(100_000);
		}
		case "crash" -> {
			Field f = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
			f.setAccessible(true);
			((sun.misc.Unsafe) f.get(null)).putAddress(16, 1);
		}
		case "memory" -> {
			java.util.List<byte[]> all = new java.util.ArrayList<>();
			for (;;)
				all.add(new byte[1 << 20]);
		}
		case "write" -> {
			while (!System.out.checkError())
				System.out.println("line");
			System.exit(7);
		}
		case "exit" -> System.exit(Integer.parseInt(args[1]));
		case "halt" -> {
			Runtime.getRuntime().addShutdownHook(new Thread(() -> Runtime.getRuntime().halt(9)));
			System.exit(1);
		}
		default -> throw new IllegalArgumentException(args[0]);
		}
	}
}
