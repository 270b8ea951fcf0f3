import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The JDK's own programs. */
public class Tools extends Suite {
	static Path dir() throws IOException {
		return Files.createTempDirectory("tools");
	}

	static Ended in(Path dir, String... words) throws Exception {
		Process p = new ProcessBuilder(words).directory(dir.toFile()).redirectErrorStream(true).start();
		p.getOutputStream().close();
		String said = text(p.getInputStream());
		return new Ended(p.waitFor(), said);
	}

	static void good(Path dir, String... words) throws Exception {
		Ended e = in(dir, words);
		same(0, e.status(), String.join(" ", words) + ": " + e.text());
	}

	/** 60 classes in three packages that use one another, an annotation, a record, a sealed interface. */
	static Path project() throws IOException {
		Path d = dir();
		for (int p = 0; p < 3; p++) {
			Files.createDirectories(d.resolve("src/p" + p));
			for (int i = 0; i < 20; i++) {
				String next = i < 19 ? "p" + p + ".C" + (i + 1) : p < 2 ? "p" + (p + 1) + ".C0" : null;
				Files.writeString(d.resolve("src/p" + p + "/C" + i + ".java"),
					"package p" + p + "; /** Class. */ public class C" + i + " { public record R(int a, String b) {}\n"
						+ "/** Counts.\n@param n so far\n@return more */ public static int count(int n) { var r = new R(n, \"x\"); return "
						+ (next == null ? "r.a() + 1" : next + ".count(r.a() + 1)") + "; } }\n");
			}
		}
		Files.writeString(d.resolve("src/Main.java"),
			"public class Main { sealed interface S permits A, B {} record A(int x) implements S {} record B() implements S {}\n"
				+ "public static void main(String[] a) { S s = new A(p0.C0.count(0)); System.out.println(s + \" \" + String.join(\"\", a)); } }\n");
		return d;
	}

	public static void compiler() throws Exception {
		Path d = project();
		Files.writeString(d.resolve("all"), String.join("\n", Files.walk(d.resolve("src")).filter(f -> f.toString().endsWith(".java")).map(Path::toString).sorted().toList()));
		good(d, tool("javac"), "-Xlint:all", "-Werror", "-d", "classes", "@all");
		same(new Ended(0, "A[x=60] ok\n"), in(d, tool("java"), "-cp", "classes", "Main", "ok"), "the project");
		good(d, tool("jar"), "--create", "--file", "main.jar", "--main-class", "Main", "-C", "classes", ".");
		same(new Ended(0, "A[x=60] jar\n"), in(d, tool("java"), "-jar", "main.jar", "jar"), "the archive");
		check(in(d, tool("javap"), "-c", "-cp", "main.jar", "p0.C0").text().contains("invokestatic"), "javap");
		check(in(d, tool("jdeps"), "main.jar").text().contains("java.base"), "jdeps");
		Files.writeString(d.resolve("Wrong.java"), "class Wrong { int f() { return \"text\"; } }");
		Ended e = in(d, tool("javac"), "Wrong.java");
		check(e.status() == 1 && e.text().contains("incompatible types"), e.toString());
	}

	public static void documentation() throws Exception {
		Path d = project();
		good(d, tool("javadoc"), "-quiet", "-Xdoclint:none", "-d", "doc", "-sourcepath", "src", "p0", "p1", "p2");
		check(Files.size(d.resolve("doc/p0/C0.html")) > 1000, "pages");
	}

	public static void sourceLauncher() throws Exception {
		Path d = dir();
		Files.writeString(d.resolve("tool"), "#!" + tool("java") + " --source 17\npublic class T { public static void main(String[] a) { System.out.println(\"launched \" + a[0]); } }\n");
		d.resolve("tool").toFile().setExecutable(true);
		same(new Ended(0, "launched x\n"), in(d, d + "/tool", "x"), "a script in Java");
	}

	public static void shell() throws Exception {
		Path d = dir();
		Files.writeString(d.resolve("script"), "int square(int x) { return x * x; }\nSystem.out.println(square(12));\nimport java.util.stream.*;\nSystem.out.println(IntStream.range(0, 10).sum());\nThread t = new Thread(() -> System.out.println(\"thread\"));\nt.start(); t.join();\n/exit 5\n");
		Ended e = in(d, tool("jshell"), "-s", "-J-Duser.home=" + d, "-R-Xmx64m", "script");
		check(e.status() == 5 && e.text().endsWith("144\n45\nthread\n"), e.toString()); /* after a word about its preferences */
	}

	public static void archivesOfClasses() throws Exception {
		Path d = project();
		good(d, tool("javac"), "-d", "classes", "-sourcepath", "src", "src/Main.java");
		good(d, tool("jar"), "--create", "--file", "main.jar", "-C", "classes", ".");
		good(d, tool("java"), "-XX:ArchiveClassesAtExit=app.jsa", "-cp", "main.jar", "Main");
		Ended e = in(d, tool("java"), "-XX:SharedArchiveFile=app.jsa", "-Xshare:on", "-Xlog:class+load", "-cp", "main.jar", "Main", "shared");
		check(e.text().contains("p0.C0 source: shared objects file (top)") && e.text().contains("A[x=60] shared"), "classes from the archive");
		good(d, tool("java"), "-Xshare:dump", "-XX:SharedArchiveFile=base.jsa");
		same(new Ended(0, "A[x=60] \n"), in(d, tool("java"), "-XX:SharedArchiveFile=base.jsa", "-Xshare:on", "-cp", "main.jar", "Main"), "another base archive");
	}

	public static void image() throws Exception {
		Path d = dir();
		good(d, tool("jlink"), "--add-modules", "java.base", "--output", "image", "--strip-debug", "--vm", "server");
		check(in(d, d + "/image/bin/java", "--list-modules").text().startsWith("java.base"), "the image's java");
	}

	public static void keys() throws Exception {
		Path d = dir();
		good(d, tool("keytool"), "-genkeypair", "-keystore", "store", "-storepass", "password", "-alias", "a", "-keyalg", "EC", "-dname", "CN=test");
		check(in(d, tool("keytool"), "-list", "-keystore", "store", "-storepass", "password").text().contains("PrivateKeyEntry"), "a key");
		Files.writeString(d.resolve("f"), "content");
		good(d, tool("jar"), "--create", "--file", "f.jar", "f");
		good(d, tool("jarsigner"), "-keystore", "store", "-storepass", "password", "f.jar", "a");
		check(in(d, tool("jarsigner"), "-verify", "f.jar").text().contains("jar verified"), "signature");
	}
}
