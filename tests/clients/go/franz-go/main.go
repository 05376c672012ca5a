// franz-go: what ../../main.rs asks of every client.
package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
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
	servers, topic, named := kgo.SeedBrokers(os.Args[1]), os.Args[2], strings.Split(os.Args[3], ",")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	admin := kadm.NewClient(client(servers))
	manage(ctx, admin, topic)
	for _, codec := range named {
		produce(ctx, topic, codec, "plain", servers, kgo.DisableIdempotentWrite())
		produce(ctx, topic, codec, "idempotent", servers)
	}
	consume(ctx, topic, 6*len(named), servers)
	tell(ctx, admin, topic)
}

func client(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(options...)
	check(err)
	return client
}

func manage(ctx context.Context, admin *kadm.Client, topic string) {
	topics, err := admin.ListTopics(ctx)
	check(err)
	names := topics.Names()
	sort.Strings(names)
	fmt.Println("listed", strings.Join(names, " "))
	retention := "123456"
	created, err := admin.CreateTopics(ctx, 2, 1, map[string]*string{"retention.ms": &retention}, topic)
	check(err)
	check(created[topic].Err)
	topics, err = admin.ListTopics(ctx, topic)
	check(err)
	fmt.Println("created", len(topics[topic].Partitions))
}

func produce(ctx context.Context, topic, codec, mode string, options ...kgo.Opt) {
	options = append(options, kgo.ProducerBatchCompression(codecs[codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	producer := client(options...)
	defer producer.Close()
	var records []*kgo.Record
	for number := 0; number < 3; number++ {
		value := fmt.Sprintf("%s %s %d %s", codec, mode, number, strings.Repeat("x", 200))
		header := kgo.RecordHeader{Key: "header", Value: []byte("value")}
		records = append(records, &kgo.Record{
			Topic: topic, Key: []byte("key"), Value: []byte(value), Headers: []kgo.RecordHeader{header},
		})
	}
	check(producer.ProduceSync(ctx, records...).FirstErr())
	fmt.Println("acked", codec, mode, records[0].Offset, records[1].Offset, records[2].Offset)
}

func consume(ctx context.Context, topic string, count int, servers kgo.Opt) {
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	consumer := client(servers, kgo.ConsumePartitions(start))
	defer consumer.Close()
	for read := 0; read < count; {
		fetched := consumer.PollRecords(ctx, count)
		check(fetched.Err())
		for _, record := range fetched.Records() {
			value := strings.TrimRight(string(record.Value), " x")
			header := record.Headers[0]
			fmt.Println("read", record.Offset, string(record.Key), header.Key, string(header.Value), value)
			read++
		}
	}
}

func tell(ctx context.Context, admin *kadm.Client, topic string) {
	first, err := admin.ListStartOffsets(ctx, topic)
	check(err)
	end, err := admin.ListEndOffsets(ctx, topic)
	check(err)
	fmt.Println("offsets", first[topic][0].Offset, end[topic][0].Offset)
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	check(err)
	for _, config := range described[0].Configs {
		if config.Key == "retention.ms" {
			fmt.Println("config", *config.Value)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
}
