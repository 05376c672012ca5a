import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import org.apache.kafka.common.utils.Exit;

/**
 * Runs Apache's console tools, many times in one process. Each line of the input is a run: the class, what it reads, and its arguments, all but the
 * class in Base64. Each line of the output is what came of it: the exit code, and what it printed on stdout and on stderr, both in Base64.
 */
public final class ConsoleTools {
    /** Takes the place of the end of the process. A tool that catches it ends again, with another code: the first one counts. */
    private static final class Ended extends Error {
        private final int code;

        private Ended(int code) {
            this.code = code;
        }
    }

    /** With which code the tool ended first. */
    private static Integer ended;

    public static void main(String[] arguments) throws Exception {
        BufferedReader runs = new BufferedReader(new InputStreamReader(System.in));
        PrintStream answers = System.out;
        PrintStream errors = System.err;
        List<Runnable> hooks = new ArrayList<>();
        Exit.setExitProcedure((code, message) -> {
            if (ended == null) {
                ended = code;
            }
            throw new Ended(code);
        });
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        for (String run = runs.readLine(); run != null; run = runs.readLine()) {
            String[] words = run.split(" ", -1);
            String[] given = new String[words.length - 2];
            for (int i = 0; i < given.length; i++) {
                given[i] = new String(Base64.getDecoder().decode(words[i + 2]), "UTF-8");
            }
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            System.setIn(new ByteArrayInputStream(Base64.getDecoder().decode(words[1])));
            System.setOut(new PrintStream(out, true));
            System.setErr(new PrintStream(err, true));
            ended = null;
            int code = exitCode(words[0], given);
            code = ended == null ? code : ended;
            hooks.forEach(Runnable::run);
            hooks.clear();
            System.setErr(errors);
            Base64.Encoder encoder = Base64.getEncoder();
            answers.println(code + " " + encoder.encodeToString(out.toByteArray()) + " " + encoder.encodeToString(err.toByteArray()));
        }
    }

    private static int exitCode(String tool, String[] arguments) throws Exception {
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
            return 0;
        } catch (java.lang.reflect.InvocationTargetException e) {
            if (e.getCause() instanceof Ended ended) {
                return ended.code;
            }
            throw e;
        }
    }
}
