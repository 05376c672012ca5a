import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Method;
import java.util.Properties;
import java.util.TreeMap;

/**
 * Prints the settings that Apache's console producer makes of its options. Each line of the input is a list of options, with tabs between. Each line of
 * the output is a list of name=value, with tabs between.
 */
public final class ProducerSettings {
    public static void main(String[] arguments) throws Exception {
        PrintStream answers = System.out;
        // Warnings of deprecated options.
        System.setOut(System.err);
        Class<?> options = Class.forName("org.apache.kafka.tools.ConsoleProducer$ConsoleProducerOptions");
        Constructor<?> parse = options.getDeclaredConstructor(String[].class);
        Method settings = options.getDeclaredMethod("producerProps");
        parse.setAccessible(true);
        settings.setAccessible(true);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Properties made = (Properties) settings.invoke(parse.newInstance((Object) line.split("\t")));
            StringBuilder told = new StringBuilder();
            new TreeMap<>(made).forEach((name, value) -> told.append(told.isEmpty() ? "" : "\t").append(name).append('=').append(value));
            answers.println(told);
        }
    }
}
