// Asks a cluster about a topic, and moves its leaders: Overseer.java BOOTSTRAP. Reads commands from standard input, one a
// line, and answers each with one line. It stays, because starting Java for each question would take longer than a fault.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;

public class Overseer {
    public static void main(String[] arguments) throws Exception {
        // A node that is frozen must not hold up a question for long: the next one is asked.
        Map<String, Object> settings = Map.of("bootstrap.servers", arguments[0], "request.timeout.ms", 1000);
        try (Admin admin = Admin.create(settings);
                BufferedReader commands = new BufferedReader(new InputStreamReader(System.in))) {
            for (String command = commands.readLine(); command != null; command = commands.readLine()) {
                System.out.println(answer(admin, command.split(" ")));
            }
        }
    }

    static String answer(Admin admin, String[] command) {
        try {
            return switch (command[0]) {
                case "create" -> create(admin, command);
                case "mark" -> mark(admin, command[1]);
                case "describe" -> describe(partitions(admin, command[1]));
                case "describe-since" -> describe(partitionsSince(admin, command[1], command[2]));
                case "move" -> move(admin, command[1]);
                case "controller" -> "" + admin.describeMetadataQuorum().quorumInfo().get().leaderId();
                default -> "failed: no command " + command[0];
            };
        } catch (Exception e) {
            return "failed: " + e.toString().replace('\n', ' ');
        }
    }

    static List<TopicPartitionInfo> partitions(Admin admin, String topic) throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions();
    }

    /** A topic whose partitions have these replicas, each as 1,2,3 with the leader first. */
    static String create(Admin admin, String[] command) throws Exception {
        Map<Integer, List<Integer>> replicas = new HashMap<>();
        for (int i = 2; i < command.length; i++) {
            replicas.put(i - 2, Stream.of(command[i].split(",")).map(Integer::valueOf).toList());
        }
        NewTopic topic = new NewTopic(command[1], replicas).configs(Map.of("min.insync.replicas", "2"));
        admin.createTopics(List.of(topic)).all().get();
        return command[1];
    }

    /** Creates a topic by which one can tell what a node knows. */
    static String mark(Admin admin, String topic) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        return topic;
    }

    /** What a node says that knows of the mark: one that was frozen would else tell how things were before. */
    static List<TopicPartitionInfo> partitionsSince(Admin admin, String topic, String mark) throws Exception {
        return admin.describeTopics(List.of(topic, mark)).allTopicNames().get().get(topic).partitions();
    }

    /** LEADER:IN,SYNC for each partition, -1 where there is no leader. */
    static String describe(List<TopicPartitionInfo> partitions) {
        return partitions.stream().map(Overseer::describe).collect(Collectors.joining(" "));
    }

    static String describe(TopicPartitionInfo partition) {
        int leader = partition.leader() == null ? -1 : partition.leader().id();
        return leader + ":" + partition.isr().stream().map(Node::idString).collect(Collectors.joining(","));
    }

    /** Takes each partition from the broker that leads it, then gives that broker a replica again. */
    static String move(Admin admin, String topic) throws Exception {
        Map<TopicPartition, List<Integer>> without = new HashMap<>();
        Map<TopicPartition, List<Integer>> with = new HashMap<>();
        for (TopicPartitionInfo partition : partitions(admin, topic)) {
            List<Integer> others = new ArrayList<>(partition.replicas().stream().map(Node::id).toList());
            others.remove(Integer.valueOf(partition.leader().id()));
            List<Integer> all = new ArrayList<>(others);
            all.add(partition.leader().id());
            without.put(new TopicPartition(topic, partition.partition()), others);
            with.put(new TopicPartition(topic, partition.partition()), all);
        }
        reassign(admin, without);
        reassign(admin, with);
        return describe(partitions(admin, topic));
    }

    static void reassign(Admin admin, Map<TopicPartition, List<Integer>> replicas) throws Exception {
        Map<TopicPartition, Optional<NewPartitionReassignment>> targets = new HashMap<>();
        replicas.forEach((partition, nodes) -> targets.put(partition, Optional.of(new NewPartitionReassignment(nodes))));
        admin.alterPartitionReassignments(targets).all().get();
        while (!admin.listPartitionReassignments(replicas.keySet()).reassignments().get().isEmpty()) {
            Thread.sleep(20);
        }
    }
}
