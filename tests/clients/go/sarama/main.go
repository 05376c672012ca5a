// sarama: what ../../main.rs asks of every client.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/IBM/sarama"
)

var codecs = map[string]sarama.CompressionCodec{
	"none":   sarama.CompressionNone,
	"gzip":   sarama.CompressionGZIP,
	"snappy": sarama.CompressionSnappy,
	"lz4":    sarama.CompressionLZ4,
	"zstd":   sarama.CompressionZSTD,
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
	servers, topic, named := strings.Split(os.Args[1], ","), os.Args[2], strings.Split(os.Args[3], ",")
	client, err := sarama.NewClient(servers, config())
	check(err)
	admin, err := sarama.NewClusterAdminFromClient(client)
	check(err)
	manage(admin, topic)
	for _, codec := range named {
		produce(servers, topic, codec, "plain")
		produce(servers, topic, codec, "idempotent")
	}
	consume(client, topic, 6*len(named))
	tell(client, admin, topic)
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	return config
}

func manage(admin sarama.ClusterAdmin, topic string) {
	topics, err := admin.ListTopics()
	check(err)
	var names []string
	for name := range topics {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Println("listed", strings.Join(names, " "))
	retention := "123456"
	detail := sarama.TopicDetail{
		NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &retention},
	}
	check(admin.CreateTopic(topic, &detail, false))
	described, err := admin.DescribeTopics([]string{topic})
	check(err)
	fmt.Println("created", len(described[0].Partitions))
}

func produce(servers []string, topic, codec, mode string) {
	config := config()
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Compression = codecs[codec]
	config.Producer.Partitioner = sarama.NewManualPartitioner
	if mode == "idempotent" {
		config.Producer.Idempotent = true
		config.Net.MaxOpenRequests = 1
	}
	producer, err := sarama.NewSyncProducer(servers, config)
	check(err)
	var messages []*sarama.ProducerMessage
	for number := 0; number < 3; number++ {
		value := fmt.Sprintf("%s %s %d %s", codec, mode, number, strings.Repeat("x", 200))
		header := sarama.RecordHeader{Key: []byte("header"), Value: []byte("value")}
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic, Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder(value),
			Headers: []sarama.RecordHeader{header},
		})
	}
	check(producer.SendMessages(messages))
	check(producer.Close())
	fmt.Println("acked", codec, mode, messages[0].Offset, messages[1].Offset, messages[2].Offset)
}

func consume(client sarama.Client, topic string, count int) {
	consumer, err := sarama.NewConsumerFromClient(client)
	check(err)
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	check(err)
	for read := 0; read < count; read++ {
		select {
		case message := <-partition.Messages():
			value := strings.TrimRight(string(message.Value), " x")
			header := message.Headers[0]
			fmt.Println("read", message.Offset, string(message.Key), string(header.Key), string(header.Value), value)
		case <-time.After(20 * time.Second):
			check(fmt.Errorf("nothing more comes"))
		}
	}
	check(partition.Close())
}

func tell(client sarama.Client, admin sarama.ClusterAdmin, topic string) {
	first, err := client.GetOffset(topic, 0, sarama.OffsetOldest)
	check(err)
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	check(err)
	fmt.Println("offsets", first, end)
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(err)
	for _, entry := range entries {
		if entry.Name == "retention.ms" {
			fmt.Println("config", entry.Value)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "sarama:", err)
		os.Exit(1)
	}
}
