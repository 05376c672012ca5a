package main

import (
	"fmt"
	"strings"

	"github.com/IBM/sarama"
)

// operate is what ../../managing.rs asks.
func operate(servers, topic string) {
	config := config()
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	client, err := sarama.NewClient(strings.Split(servers, ","), config)
	check(err)
	admin, err := sarama.NewClusterAdminFromClient(client)
	check(err)
	check(admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1}, false))
	check(admin.CreatePartitions(topic, 4, nil, false))
	described, err := admin.DescribeTopics([]string{topic})
	check(err)
	fmt.Println("partitions", len(described[0].Partitions))
	retention := "654321"
	changes := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &retention},
	}
	check(admin.IncrementalAlterConfig(sarama.TopicResource, topic, changes, false))
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	check(err)
	for _, entry := range entries {
		if entry.Name == "retention.ms" {
			fmt.Println("config", entry.Value)
		}
	}
	nodes, _, err := admin.DescribeCluster()
	check(err)
	fmt.Println("nodes", len(nodes))
	producer, err := sarama.NewSyncProducerFromClient(client)
	check(err)
	for number := 0; number < 5; number++ {
		_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("value")})
		check(err)
	}
	check(admin.DeleteRecords(topic, map[int32]int64{0: 3}))
	first, err := client.GetOffset(topic, 0, sarama.OffsetOldest)
	check(err)
	end, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	check(err)
	fmt.Println("records", first, end)
	check(admin.DeleteTopic(topic))
}
