package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// operate is what ../../managing.rs asks.
func operate(servers, topic string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := client(kgo.SeedBrokers(strings.Split(servers, ",")...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	admin := kadm.NewClient(client)
	created, err := admin.CreateTopics(ctx, 2, 1, nil, topic)
	check(err)
	check(created[topic].Err)
	grown, err := admin.UpdatePartitions(ctx, 4, topic)
	check(err)
	check(grown[topic].Err)
	topics, err := admin.ListTopics(ctx, topic)
	check(err)
	fmt.Println("partitions", len(topics[topic].Partitions))
	retention := "654321"
	altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &retention}}, topic)
	check(err)
	check(altered[0].Err)
	described, err := admin.DescribeTopicConfigs(ctx, topic)
	check(err)
	for _, config := range described[0].Configs {
		if config.Key == "retention.ms" {
			fmt.Println("config", *config.Value)
		}
	}
	nodes, err := admin.ListBrokers(ctx)
	check(err)
	fmt.Println("nodes", len(nodes))
	for number := 0; number < 5; number++ {
		check(client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("value")}).FirstErr())
	}
	before := kadm.Offsets{}
	before.Add(kadm.Offset{Topic: topic, Partition: 0, At: 3})
	deleted, err := admin.DeleteRecords(ctx, before)
	check(err)
	check(deleted[topic][0].Err)
	first, err := admin.ListStartOffsets(ctx, topic)
	check(err)
	end, err := admin.ListEndOffsets(ctx, topic)
	check(err)
	fmt.Println("records", first[topic][0].Offset, end[topic][0].Offset)
	gone, err := admin.DeleteTopics(ctx, topic)
	check(err)
	check(gone[topic].Err)
}
