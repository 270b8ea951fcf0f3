import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;

/** Runs the public static methods without parameters of a class, each a test: java Suite CLASS [TEST...]. Lines with @@ are for the driver. */
public class Suite {
	public static class Failure extends RuntimeException {
		public Failure(String what) {
			super(what);
		}
	}

	public static void check(boolean holds, String what) {
		if (!holds)
			throw new Failure(what);
	}

	public static void same(Object wanted, Object got, String what) {
		check(wanted == null ? got == null : wanted.equals(got), what + ": " + got + ", wanted " + wanted);
	}

	public interface Action {
		void run() throws Exception;
	}

	public static Throwable thrown(Class<? extends Throwable> kind, Action a) {
		try {
			a.run();
		} catch (Throwable e) {
			check(kind.isInstance(e), e + ", wanted " + kind.getName());
			return e;
		}
		throw new Failure("nothing thrown, wanted " + kind.getName());
	}

	public interface Condition {
		boolean holds() throws Exception;
	}

	public static void eventually(Condition c, String what) throws Exception {
		for (int i = 0; i < 3000; i++) {
			if (c.holds())
				return;
			Thread.sleep(10);
		}
		throw new Failure("after 30 s not: " + what);
	}

	/** How a program ended and what it printed on both outputs. */
	public record Ended(int status, String text) {}

	public static String text(InputStream in) throws IOException {
		ByteArrayOutputStream all = new ByteArrayOutputStream();
		in.transferTo(all);
		return all.toString(StandardCharsets.UTF_8);
	}

	public static Ended command(String... words) throws Exception {
		Process p = new ProcessBuilder(words).redirectErrorStream(true).start();
		p.getOutputStream().close();
		String said = text(p.getInputStream());
		check(p.waitFor(120, TimeUnit.SECONDS), words[0] + " does not end");
		return new Ended(p.exitValue(), said);
	}

	public static final String HOME = System.getProperty("java.home");

	/** The words for a JVM of the same kind that runs one of the classes here; options come first. */
	public static String[] jvm(String... words) {
		List<String> all = new ArrayList<>(List.of(HOME + "/bin/java", "-Xmx128m", "-XX:-CreateCoredumpOnCrash", "-cp", System.getProperty("java.class.path")));
		all.addAll(Arrays.asList(words));
		return all.toArray(String[]::new);
	}

	public static String tool(String name) {
		return HOME + "/bin/" + name;
	}

	public static void signal(String name, long pid) throws Exception {
		same(0, command("kill", "-" + name, Long.toString(pid)).status(), "kill -" + name);
	}

	public static int openFiles() {
		return new File("/proc/self/fd").list().length;
	}

	public static void main(String[] args) throws Exception {
		TreeMap<String, Method> tests = new TreeMap<>();
		for (Method m : Class.forName(args[0]).getDeclaredMethods())
			if (Modifier.isStatic(m.getModifiers()) && Modifier.isPublic(m.getModifiers()) && m.getParameterCount() == 0)
				tests.put(m.getName(), m);
		Set<String> only = Set.of(Arrays.copyOfRange(args, 1, args.length));
		for (Method m : tests.values()) {
			if (!only.isEmpty() && !only.contains(m.getName()))
				continue;
			System.out.println("@@ " + m.getName() + " hang");
			String verdict = "ok", detail = "";
			try {
				m.invoke(null);
			} catch (InvocationTargetException e) {
				verdict = e.getCause() instanceof Failure ? "fail" : "error";
				detail = e.getCause().toString();
				if (verdict.equals("error"))
					e.getCause().printStackTrace(System.out);
			}
			System.out.println("@@ " + m.getName() + " " + verdict + " " + detail.replace('\n', ' '));
		}
		System.out.println("@@ end ok");
		System.out.flush();
		System.exit(0);
	}
}
