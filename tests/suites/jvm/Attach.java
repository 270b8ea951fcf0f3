import com.sun.tools.attach.AttachNotSupportedException;
import com.sun.tools.attach.VirtualMachine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicReference;

/** Tools that look into another JVM. */
public class Attach extends Suite {
	static void with(Action2 a, String... options) throws Exception {
		String[] words = Arrays.copyOf(options, options.length + 2);
		words[options.length] = "Attach";
		words[options.length + 1] = "wait";
		Process p = new ProcessBuilder(jvm(words)).redirectErrorStream(true).start();
		try {
			same("ready", p.inputReader().readLine(), "the other JVM");
			a.run(Long.toString(p.pid()));
		} finally {
			p.destroyForcibly().waitFor();
		}
	}

	interface Action2 {
		void run(String pid) throws Exception;
	}

	static void says(String part, String... words) throws Exception {
		Ended e = command(words);
		check(e.status() == 0 && e.text().contains(part), String.join(" ", words) + ": status " + e.status() + ": " + e.text());
	}

	public static void jcmd() throws Exception {
		with(pid -> {
			says("JDK 17", tool("jcmd"), pid, "VM.version");
			says("Attach.main", tool("jcmd"), pid, "Thread.print");
			says("garbage-first heap", tool("jcmd"), pid, "GC.heap_info");
			says("java_command: Attach wait", tool("jcmd"), pid, "VM.command_line");
			says("Command executed successfully", tool("jcmd"), pid, "GC.run");
			says("Total: reserved=", tool("jcmd"), pid, "VM.native_memory", "summary");
			says("Attach", tool("jcmd"), "-l");
			Path dump = Files.createTempDirectory("heap").resolve("heap.hprof");
			says("Heap dump file created", tool("jcmd"), pid, "GC.heap_dump", dump.toString());
			check(Files.size(dump) > 100_000, "a heap dump of " + Files.size(dump) + " bytes");
		}, "-XX:NativeMemoryTracking=summary");
	}

	public static void jstackJmapJinfo() throws Exception {
		with(pid -> {
			says("\"main\"", tool("jstack"), "-l", pid);
			says("java.lang.String", tool("jmap"), "-histo", pid);
			says("-XX:+UseG1GC", tool("jinfo"), "-flag", "UseG1GC", pid);
			says("java.class.path", tool("jinfo"), "-sysprops", pid);
			says("S0C", tool("jstat"), "-gc", pid);
			says(pid + " Attach wait", tool("jps"), "-m");
			for (int i = 0; i < 5; i++)
				says("JDK 17", tool("jcmd"), pid, "VM.version");
		});
	}

	public static void fromJava() throws Exception {
		with(pid -> {
			VirtualMachine vm = VirtualMachine.attach(pid);
			same("17", vm.getSystemProperties().getProperty("java.specification.version"), "property");
			check(vm.startLocalManagementAgent().startsWith("service:jmx:rmi:"), "management agent");
			vm.detach();
		});
	}

	public static void off() throws Exception {
		with(pid -> {
			Throwable e = thrown(AttachNotSupportedException.class, () -> VirtualMachine.attach(pid));
			check(e.getMessage() != null, "a reason");
			check(command(tool("jcmd"), pid, "VM.version").status() != 0, "jcmd fails");
			check(ProcessHandle.of(Long.parseLong(pid)).get().isAlive(), "the other JVM lives on");
		}, "-XX:+DisableAttachMechanism");
	}

	public static void noSuchProcess() {
		AtomicReference<String> pid = new AtomicReference<>("4194303");
		thrown(IOException.class, () -> VirtualMachine.attach(pid.get()));
	}

	/** A debugger over a socket: breakpoint, stack, go on. */
	public static void debugger() throws Exception {
		Process p = new ProcessBuilder(tool("jdb"), "-classpath", System.getProperty("java.class.path"), "Attach", "debug").redirectErrorStream(true).start();
		StringBuffer said = new StringBuffer();
		Thread reader = new Thread(() -> {
			try {
				for (int c; (c = p.getInputStream().read()) >= 0;)
					said.append((char) c);
			} catch (IOException e) {
				said.append(e);
			}
		});
		reader.start();
		String[][] talk = {{"stop in Attach.here\n", "Deferring"}, {"run\n", "Breakpoint hit"}, {"where\n", "[1] Attach.here"}, {"print n\n", "n = 42"}, {"cont\n", "application exited"}};
		for (String[] t : talk) {
			p.outputWriter().write(t[0]);
			p.outputWriter().flush();
			eventually(() -> said.indexOf(t[1]) >= 0, t[1] + " in: " + said);
		}
		check(said.indexOf("here 42") >= 0, said.toString());
		reader.join();
		p.waitFor();
	}

	static void here(int n) {
		System.out.println("here " + n);
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("debug")) {
			here(42);
			return;
		}
		System.out.println("ready");
		Thread.sleep(300_000);
	}
}
