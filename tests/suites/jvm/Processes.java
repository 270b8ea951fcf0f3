import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The process API; run once with each way of launching. */
public class Processes extends Suite {
	public static void statusAndOutput() throws Exception {
		for (int code : new int[] {0, 1, 42, 255})
			same(new Ended(code, "said " + code + "\n"), command("sh", "-c", "echo said " + code + " >&2; exit " + code), "sh");
		same(128 + 9, command("sh", "-c", "kill -KILL $$").status(), "killed");
		same(128 + 15, command("sh", "-c", "kill -TERM $$").status(), "terminated");
	}

	public static void notFound() {
		Throwable e = thrown(IOException.class, () -> new ProcessBuilder("/nonexistent/program").start());
		check(e.getMessage().contains("error=2"), e.getMessage());
		e = thrown(IOException.class, () -> new ProcessBuilder("nonexistent-program").start());
		check(e.getMessage().contains("error=2"), e.getMessage());
		e = thrown(IOException.class, () -> new ProcessBuilder("true").directory(new File("/nonexistent")).start());
		check(e.getMessage().contains("error=2"), e.getMessage());
		e = thrown(IOException.class, () -> new ProcessBuilder("/etc/passwd").start());
		check(e.getMessage().contains("error=13"), e.getMessage());
		e = thrown(IOException.class, () -> new ProcessBuilder("/etc").start());
		check(e.getMessage().contains("error=13"), e.getMessage());
		String long17 = "x".repeat(1 << 17);
		e = thrown(IOException.class, () -> new ProcessBuilder("true", long17).start());
		check(e.getMessage().contains("error=7"), e.getMessage());
	}

	static Path script(String content) throws IOException {
		Path p = Files.createTempFile("script", "");
		Files.writeString(p, content);
		Files.setPosixFilePermissions(p, PosixFilePermissions.fromString("rwxr-xr-x"));
		return p;
	}

	public static void scripts() throws Exception {
		same("one [two three] 0\n", command(script("#!/bin/sh\necho one \"[$1]\" $?\n").toString(), "two three").text(), "#! script");
		same("argument -e\n", command(script("#!/usr/bin/env bash\necho argument $1\n").toString(), "-e").text(), "#! env");
		/* Without #! the launcher runs a shell, as execvp does. */
		same("plain\n", command(script("echo plain\n").toString()).text(), "script without #!");
		Throwable e = thrown(IOException.class, () -> command(script("#!/nonexistent/shell\n").toString()));
		check(e.getMessage().contains("error=2"), e.getMessage());
	}

	public static void environment() throws Exception {
		ProcessBuilder b = new ProcessBuilder("env");
		Map<String, String> env = b.environment();
		env.clear();
		env.put("ONE", "first value");
		env.put("EMPTY", "");
		env.put("LONG", "y".repeat(50_000));
		Process p = b.start();
		same("EMPTY=\nLONG=" + "y".repeat(50_000) + "\nONE=first value\n", String.join("\n", text(p.getInputStream()).lines().sorted().toList()) + "\n", "environment");
	}

	public static void directories() throws Exception {
		Path dir = Files.createTempDirectory("here").toRealPath();
		Files.writeString(dir.resolve("tool"), "#!/bin/sh\npwd\n");
		Files.setPosixFilePermissions(dir.resolve("tool"), PosixFilePermissions.fromString("rwxr-xr-x"));
		Process p = new ProcessBuilder("./tool").directory(dir.toFile()).start();
		same(dir + "\n", text(p.getInputStream()), "working directory and relative path");
	}

	public static void redirects() throws Exception {
		Path in = Files.createTempFile("in", ""), out = Files.createTempFile("out", ""), err = Files.createTempFile("err", "");
		Files.writeString(in, "from a file\n");
		ProcessBuilder b = new ProcessBuilder("sh", "-c", "cat; echo to err >&2");
		b.redirectInput(in.toFile()).redirectOutput(out.toFile()).redirectError(Redirect.appendTo(err.toFile()));
		for (int i = 0; i < 2; i++)
			same(0, b.start().waitFor(), "status");
		same("from a file\n", Files.readString(out), "output");
		same("to err\nto err\n", Files.readString(err), "error output");
		same(0, new ProcessBuilder("sh", "-c", "echo inherited").redirectOutput(Redirect.INHERIT).redirectError(Redirect.DISCARD).start().waitFor(), "inherit");
	}

	public static void bothWays() throws Exception {
		Process p = new ProcessBuilder("cat").start();
		byte[] sent = new byte[5 << 20];
		for (int i = 0; i < sent.length; i++)
			sent[i] = (byte) (i * 31);
		CompletableFuture<Void> writer = CompletableFuture.runAsync(() -> {
			try (OutputStream o = p.getOutputStream()) {
				o.write(sent);
			} catch (IOException e) {
				throw new Failure(e.toString());
			}
		});
		check(java.util.Arrays.equals(sent, p.getInputStream().readAllBytes()), "what cat gives back");
		writer.get();
		same(0, p.waitFor(), "status");
	}

	public static void pipeline() throws Exception {
		List<Process> all = ProcessBuilder.startPipeline(List.of(new ProcessBuilder("seq", "10000"), new ProcessBuilder("sort", "-rn"), new ProcessBuilder("head", "-n", "2")));
		same("10000\n9999\n", text(all.get(2).getInputStream()), "pipeline");
		for (Process p : all)
			check(p.waitFor(20, TimeUnit.SECONDS), "ends");
	}

	public static void destroying() throws Exception {
		Process p = new ProcessBuilder("sleep", "100").start();
		check(!p.waitFor(50, TimeUnit.MILLISECONDS) && p.isAlive(), "alive");
		thrown(IllegalThreadStateException.class, p::exitValue);
		p.destroy();
		same(143, p.waitFor(), "destroyed");
		p = new ProcessBuilder("bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done").start();
		p.inputReader().readLine();
		p.destroy();
		check(!p.waitFor(200, TimeUnit.MILLISECONDS), "ignores SIGTERM");
		p.destroyForcibly();
		same(137, p.waitFor(), "killed");
	}

	public static void onExit() throws Exception {
		AtomicInteger sum = new AtomicInteger();
		List<CompletableFuture<?>> all = new ArrayList<>();
		for (int i = 0; i < 50; i++)
			all.add(new ProcessBuilder("sh", "-c", "exit " + i).start().onExit().thenAccept(p -> sum.addAndGet(p.exitValue())));
		for (CompletableFuture<?> f : all)
			f.get(60, TimeUnit.SECONDS);
		same(49 * 50 / 2, sum.get(), "sum of statuses");
	}

	public static void manyAtOnce() throws Exception {
		int files = openFiles();
		AtomicInteger good = new AtomicInteger();
		Threads.join(Threads.start(8, () -> {
			try {
				for (int i = 0; i < 25; i++)
					if (command("echo", "x" + i).equals(new Ended(0, "x" + i + "\n")))
						good.incrementAndGet();
			} catch (Exception e) {
				e.printStackTrace(System.out);
			}
		}));
		same(200, good.get(), "children");
		eventually(() -> {
			System.gc();
			return openFiles() <= files + 2;
		}, "files are closed again");
	}

	/** A descriptor that the JVM has open is not the child's. */
	public static void inheritsNothing() throws Exception {
		try (var f = new java.io.RandomAccessFile("/etc/passwd", "r"); var s = new java.net.ServerSocket(0)) {
			String open = command("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '").text();
			same("0 1 2 3 ", open, "open in the child");
		}
	}

	public static void handles() throws Exception {
		ProcessHandle me = ProcessHandle.current();
		Process p = new ProcessBuilder("bash", "-c", "sleep 50 & echo $!; wait $!").start();
		long grandchild = Long.parseLong(p.inputReader().readLine());
		check(me.children().anyMatch(c -> c.pid() == p.pid()), "children");
		eventually(() -> me.descendants().anyMatch(c -> c.pid() == grandchild), "descendants");
		same(p.pid(), ProcessHandle.of(grandchild).get().parent().get().pid(), "parent");
		check(ProcessHandle.allProcesses().count() > 2, "all processes");
		check(ProcessHandle.of(grandchild).get().destroy(), "destroy a grandchild");
		same(143, p.waitFor(), "the shell's status");
		check(!p.toHandle().isAlive(), "dead");
	}

	public static void infoOfSelf() {
		ProcessHandle.Info i = ProcessHandle.current().info();
		same(new File(HOME, "bin/java").getAbsoluteFile().toPath().toString(), i.command().orElse("none"), "command");
		check(i.arguments().isPresent() && String.join(" ", i.arguments().get()).contains("Suite Processes"), "arguments");
		same(System.getProperty("user.name"), i.user().orElse("none"), "user");
		check(i.startInstant().isPresent() && i.totalCpuDuration().isPresent(), "start and processor time");
	}

	public static void infoOfChild() throws Exception {
		Process p = new ProcessBuilder("sleep", "77").start();
		try {
			same("/usr/bin/sleep", p.info().command().orElse("none"), "command");
			same("[77]", p.info().arguments().map(a -> List.of(a).toString()).orElse("none"), "arguments");
			same("/usr/bin/sleep 77", p.info().commandLine().orElse("none"), "command line");
		} finally {
			p.destroyForcibly();
		}
	}

	public static void childJvm() throws Exception {
		Ended e = command(jvm("Processes", "nested", "3"));
		same(new Ended(13, "nested 3\nnested 2\nnested 1\nnested 0\n"), e, "JVMs in JVMs");
	}

	public static void interruptedWait() throws Exception {
		Process p = new ProcessBuilder("sleep", "100").start();
		Thread t = Thread.currentThread();
		new Thread(t::interrupt).start();
		thrown(InterruptedException.class, p::waitFor);
		p.destroyForcibly();
		same(137, p.waitFor(), "killed");
	}

	public static void main(String[] args) throws Exception {
		int n = Integer.parseInt(args[1]);
		System.out.println("nested " + n);
		System.out.flush();
		System.exit(n == 0 ? 13 : new ProcessBuilder(jvm("Processes", "nested", Integer.toString(n - 1))).inheritIO().start().waitFor());
	}
}
