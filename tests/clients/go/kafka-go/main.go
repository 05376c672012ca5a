// kafka-go: what ../../main.rs asks of every client. It has no idempotent producer.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

var codecs = map[string]kafka.Compression{
	"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func main() {
	if os.Args[1] == "group" {
		group(os.Args[2], os.Args[3])
		return
	}
	if os.Args[1] == "operate" {
		operate(os.Args[2], os.Args[3])
		return
	}
	servers, topic, named := os.Args[1], os.Args[2], strings.Split(os.Args[3], ",")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := &kafka.Client{Addr: kafka.TCP(servers)}
	manage(ctx, client, topic)
	for _, codec := range named {
		produce(ctx, client, topic, codec, "plain")
	}
	consume(ctx, servers, topic, 3*len(named))
	tell(ctx, client, topic)
}

func manage(ctx context.Context, client *kafka.Client, topic string) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{})
	check(err)
	var names []string
	for _, topic := range metadata.Topics {
		names = append(names, topic.Name)
	}
	sort.Strings(names)
	fmt.Println("listed", strings.Join(names, " "))
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "123456"}},
	}}})
	check(err)
	check(created.Errors[topic])
	metadata, err = client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	check(err)
	fmt.Println("created", len(metadata.Topics[0].Partitions))
}

func produce(ctx context.Context, client *kafka.Client, topic, codec, mode string) {
	var records []kafka.Record
	for number := 0; number < 3; number++ {
		value := fmt.Sprintf("%s %s %d %s", codec, mode, number, strings.Repeat("x", 200))
		records = append(records, kafka.Record{
			Key: kafka.NewBytes([]byte("key")), Value: kafka.NewBytes([]byte(value)), Time: time.Now(),
			Headers: []kafka.Header{{Key: "header", Value: []byte("value")}},
		})
	}
	produced, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: topic, Partition: 0, RequiredAcks: kafka.RequireAll, Compression: codecs[codec],
		Records: kafka.NewRecordReader(records...),
	})
	check(err)
	check(produced.Error)
	first := produced.BaseOffset
	fmt.Println("acked", codec, mode, first, first+1, first+2)
}

func consume(ctx context.Context, servers, topic string, count int) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{servers}, Topic: topic, Partition: 0, MaxWait: 100 * time.Millisecond,
	})
	for read := 0; read < count; read++ {
		message, err := reader.ReadMessage(ctx)
		check(err)
		value := strings.TrimRight(string(message.Value), " x")
		header := message.Headers[0]
		fmt.Println("read", message.Offset, string(message.Key), header.Key, string(header.Value), value)
	}
	check(reader.Close())
}

func tell(ctx context.Context, client *kafka.Client, topic string) {
	asked := map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}
	offsets, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	check(err)
	fmt.Println("offsets", offsets.Topics[topic][0].FirstOffset, offsets.Topics[topic][0].LastOffset)
	resource := kafka.DescribeConfigRequestResource{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"},
	}
	described, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{resource},
	})
	check(err)
	fmt.Println("config", described.Resources[0].ConfigEntries[0].ConfigValue)
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "kafka-go:", err)
		os.Exit(1)
	}
}
