package main

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"clients/members"
)

// Members of one group, as ../members wants them.
func group(servers, topic string) {
	start := func(read chan<- string) members.Member { return member(servers, topic, read) }
	producer := client(kgo.SeedBrokers(servers), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	members.Run(start, func(numbers []int) {
		var records []*kgo.Record
		for _, number := range numbers {
			value := []byte(strconv.Itoa(number))
			records = append(records, &kgo.Record{Topic: topic, Partition: int32(number % 4), Value: value})
		}
		check(producer.ProduceSync(context.Background(), records...).FirstErr())
	})
}

func member(servers, topic string, read chan<- string) members.Member {
	counts, count := make(chan int, 100), 0
	change := func(sign int) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
			count += sign * len(partitions[topic])
			counts <- count
		}
	}
	consumer := client(
		kgo.SeedBrokers(servers), kgo.ConsumerGroup("franz-go"), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.OnPartitionsAssigned(change(1)), kgo.OnPartitionsRevoked(change(-1)), kgo.OnPartitionsLost(change(-1)),
	)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			fetched := consumer.PollFetches(ctx)
			if records := fetched.Records(); len(records) > 0 {
				check(consumer.CommitRecords(context.Background(), records...))
				for _, record := range records {
					read <- string(record.Value)
				}
			}
		}
	}()
	leave := func() {
		cancel()
		<-done
		consumer.Close()
	}
	return members.Member{Counts: counts, Read: read, Leave: leave}
}
