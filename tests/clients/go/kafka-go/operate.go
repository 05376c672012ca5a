package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

// operate is what ../../managing.rs asks. kafka-go deletes no records.
func operate(servers, topic string) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// A transport remembers metadata for a while.
	fresh := func() *kafka.Client {
		return &kafka.Client{Addr: kafka.TCP(strings.Split(servers, ",")...), Transport: &kafka.Transport{}}
	}
	client := fresh()
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: 2, ReplicationFactor: 1,
	}}})
	check(err)
	check(created.Errors[topic])
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}},
	})
	check(err)
	check(grown.Errors[topic])
	metadata, err := fresh().Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	check(err)
	fmt.Println("partitions", len(metadata.Topics[0].Partitions))
	change := kafka.IncrementalAlterConfigsRequestConfig{
		Name: "retention.ms", Value: "654321", ConfigOperation: kafka.ConfigOperationSet,
	}
	_, err = client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{change},
		}},
	})
	check(err)
	described, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"},
		}},
	})
	check(err)
	fmt.Println("config", described.Resources[0].ConfigEntries[0].ConfigValue)
	fmt.Println("nodes", len(metadata.Brokers))
	gone, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	check(err)
	check(gone.Errors[topic])
}
