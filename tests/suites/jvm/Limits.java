import java.util.List;

/** JVMs under limits, and with memory laid out in other ways. */
public class Limits extends Suite {

	static Ended under(String limit, String... words) throws Exception {
		String[] java = jvm(words);
		String[] all = new String[java.length + 4];
		all[0] = "bash";
		all[1] = "-c";
		all[2] = limit + " && exec \"$@\"";
		all[3] = "bash";
		System.arraycopy(java, 0, all, 4, java.length);
		return command(all);
	}

	static final String WORK = "Limits";
	static final Ended GOOD = new Ended(0, "good\n");

	public static void addressSpace() throws Exception {
		same(GOOD, under("ulimit -v 6000000", "-Xmx64m", "-XX:ReservedCodeCacheSize=32m", "-XX:CompressedClassSpaceSize=32m", WORK), "6 GB");
		Ended e = under("ulimit -v 1000000", "-Xmx4g", WORK);
		check(e.status() == 1 && e.text().contains("Could not reserve enough space"), "a heap larger than the limit: " + e);
	}

	public static void stacks() throws Exception {
		for (String limit : List.of("ulimit -s 256", "ulimit -s 8192", "ulimit -s 65536", "ulimit -s unlimited"))
			same(GOOD, under(limit, WORK), limit);
		for (String size : List.of("256k", "1m", "64m", "1g"))
			same(GOOD, command(jvm("-Xss" + size, WORK)), "-Xss" + size);
	}

	public static void files() throws Exception {
		same(GOOD, under("ulimit -n 40", WORK), "40 files");
		same(new Ended(0, "too many\n"), under("ulimit -n 40", WORK, "files"), "too many files");
	}

	public static void threads() throws Exception {
		Ended e = under("ulimit -v 8000000", "-Xss1m", "-Xmx64m", WORK, "threads");
		same(new Ended(0, "no more threads\n"), new Ended(e.status(), String.join("\n", e.text().lines().filter(l -> !l.contains("[warning]")).toList()) + "\n"), "threads until there is no memory");
	}

	public static void coreOff() throws Exception {
		same(GOOD, under("ulimit -c 0", WORK), "no core");
		same(GOOD, under("ulimit -c unlimited", WORK), "core");
	}

	public static void processorTime() throws Exception {
		Ended e = under("ulimit -t 2", WORK, "spin");
		check(e.status() == 137 || e.status() == 152, "ends at the limit: " + e);
	}

	public static void fileSize() throws Exception {
		same(new Ended(0, "too large\n"), under("ulimit -f 100", WORK, "grow"), "largest file");
	}

	public static void layouts() throws Exception {
		for (String option : List.of("-XX:-UseCompressedOops", "-XX:-UseCompressedClassPointers", "-XX:+AlwaysPreTouch", "-XX:+UseTransparentHugePages",
			     "-XX:HeapBaseMinAddress=8g", "-Xshare:off", "-Xint", "-Xcomp", "-XX:TieredStopAtLevel=1", "-XX:-TieredCompilation", "-XX:+UseNUMA",
			     "-XX:NativeMemoryTracking=detail", "-XX:-SegmentedCodeCache", "-XX:+UseStringDeduplication", "-XX:ActiveProcessorCount=1"))
			same(GOOD, command(jvm(option, WORK)), option);
		same(GOOD, command(jvm("-Xms3g", "-Xmx3g", WORK)), "3 GiB");
		same(GOOD, command(jvm("-Xmx40g", WORK)), "a heap of 40 GiB, reserved");
	}

	public static void flags() throws Exception {
		Ended e = command(tool("java"), "-XX:+PrintFlagsFinal", "-XX:MaxRAMPercentage=25", "-version");
		check(e.status() == 0 && e.text().contains("MaxHeapSize") && e.text().contains("UseG1GC"), "flags");
		same(1, command(jvm("-XX:NoSuchFlag=1", WORK)).status(), "an unknown flag");
		same(1, command(jvm("NoSuchClass")).status(), "an unknown class");
	}

	public static void main(String[] args) throws Exception {
		String what = args.length > 0 ? args[0] : "";
		if (what.equals("files")) {
			List<Object> open = new java.util.ArrayList<>();
			try {
				for (int i = 0; i < 100; i++)
					open.add(new java.io.FileInputStream("/dev/null"));
			} catch (java.io.FileNotFoundException e) {
				open.clear();
				System.out.println(e.getMessage().contains("Too many open files") ? "too many" : e.toString());
			}
			System.exit(0);
		}
		if (what.equals("threads")) {
			try {
				for (int i = 0; i < 20_000; i++) {
					Thread t = new Thread(() -> {
						try {
							Thread.sleep(100_000);
						} catch (InterruptedException e) {
						}
					});
					t.setDaemon(true);
					t.start();
				}
			} catch (OutOfMemoryError e) {
				System.out.println("no more threads");
			}
			System.out.flush();
			Runtime.getRuntime().halt(0);
		}
		if (what.equals("spin"))
			for (;;)
				Thread.onSpinWait();
		if (what.equals("grow")) {
			java.nio.file.Path p = java.nio.file.Files.createTempFile("large", "");
			try (var o = new java.io.FileOutputStream(p.toFile())) {
				for (int i = 0; i < 1000; i++)
					o.write(new byte[1024]);
				System.out.println("not limited");
			} catch (java.io.IOException e) {
				System.out.println(e.getMessage().contains("File too large") ? "too large" : e.toString());
			}
			System.exit(0);
		}
		long sum = 0;
		for (int i = 0; i < 200; i++)
			sum += new byte[1 << 16].length;
		System.out.println(sum == 200L << 16 ? "good" : "bad");
	}
}
