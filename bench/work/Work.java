import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.SynchronousQueue;

/** Work NAME REPEAT: milliseconds of one round of work in a warm JVM, the median of REPEAT rounds after REPEAT to warm up. "start" does nothing. */
public class Work {
    interface Round {
        void run() throws Exception;
    }

    /** Short-lived objects and maps: the collector's work, in all of its threads. */
    static void objects() {
        SplittableRandom random = new SplittableRandom(3);
        List<Map<String, long[]>> kept = new ArrayList<>();
        for (int map = 0; map < 60; map++) {
            Map<String, long[]> m = new HashMap<>();
            for (int i = 0; i < 4000; i++)
                m.merge(Long.toString(random.nextLong(3000)), new long[] {i, 1}, (a, b) -> new long[] {a[0] + b[0], a[1] + b[1]});
            if (m.values().stream().mapToLong(v -> v[1]).sum() != 4000)
                throw new IllegalStateException("objects: entries were lost");
            if (map % 3 == 0)
                kept.add(m);
        }
        if (kept.size() != 20)
            throw new IllegalStateException("objects: maps were lost");
    }

    /** Arithmetic on arrays: compiled code without allocation. */
    static void arrays() {
        double[] a = new double[1 << 18];
        for (int i = 0; i < a.length; i++)
            a[i] = Math.sin(i * 0.37) * i;
        for (int pass = 0; pass < 4; pass++)
            for (int i = 1; i < a.length; i++)
                a[i] = a[i] * 0.75 + a[i - 1] * 0.25;
        Arrays.sort(a);
        if (a[0] > a[a.length - 1])
            throw new IllegalStateException("arrays: not sorted");
    }

    /** Two threads that hand numbers to each other: parking and waking by futex. */
    static void handover() throws Exception {
        SynchronousQueue<Integer> there = new SynchronousQueue<>(), back = new SynchronousQueue<>();
        Thread t = new Thread(() -> {
            try {
                for (int n = there.take(); n >= 0; n = there.take())
                    back.put(n + 1);
            } catch (InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        t.start();
        for (int i = 0; i < 3000; i++) {
            there.put(i);
            if (back.take() != i + 1)
                throw new IllegalStateException("handover: another number");
        }
        there.put(-1);
        t.join();
    }

    /** Small reads and writes of a file: the JVM's system calls. */
    static void files() throws Exception {
        Path path = Files.createTempFile("scone-bench", ".data");
        try (FileChannel file = FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer block = ByteBuffer.allocateDirect(4096);
            for (int i = 0; i < 4000; i++) {
                block.clear();
                block.putInt(0, i);
                file.write(block, i % 256 * 4096L);
                block.clear();
                file.read(block, i % 256 * 4096L);
                if (block.getInt(0) != i)
                    throw new IllegalStateException("files: another block");
            }
        } finally {
            Files.delete(path);
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, Round> rounds = Map.of("objects", Work::objects, "arrays", Work::arrays, "handover", Work::handover, "files", Work::files);
        if (args.length == 1 && args[0].equals("start"))
            return;
        if (args.length != 2 || !rounds.containsKey(args[0])) {
            System.err.println("usage: Work start | Work objects|arrays|handover|files REPEAT");
            System.exit(2);
        }
        int repeat = Integer.parseInt(args[1]);
        double[] ms = new double[repeat];
        for (int i = -repeat; i < repeat; i++) {
            long began = System.nanoTime();
            rounds.get(args[0]).run();
            if (i >= 0)
                ms[i] = (System.nanoTime() - began) / 1e6;
        }
        Arrays.sort(ms);
        System.out.printf("%.3f%n", ms[repeat / 2]);
    }
}
