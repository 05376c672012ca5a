package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"clients/members"
)

// Members of one group, as ../members wants them.
func group(servers, topic string) {
	start := func(read chan<- string) members.Member { return member(servers, topic, read) }
	client := &kafka.Client{Addr: kafka.TCP(servers)}
	members.Run(start, func(numbers []int) {
		for _, number := range numbers {
			record := kafka.Record{Value: kafka.NewBytes([]byte(strconv.Itoa(number))), Time: time.Now()}
			produced, err := client.Produce(context.Background(), &kafka.ProduceRequest{
				Topic: topic, Partition: number % 4, RequiredAcks: kafka.RequireAll, Records: kafka.NewRecordReader(record),
			})
			check(err)
			check(produced.Error)
		}
	})
}

func member(servers, topic string, read chan<- string) members.Member {
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: "kafka-go", Brokers: []string{servers}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 200 * time.Millisecond,
	})
	check(err)
	counts, done := make(chan int, 100), make(chan struct{})
	go func() {
		defer close(done)
		for {
			generation, err := group.Next(context.Background())
			if errors.Is(err, kafka.ErrGroupClosed) {
				return
			}
			check(err)
			parts := generation.Assignments[topic]
			counts <- len(parts)
			for _, part := range parts {
				generation.Start(func(ctx context.Context) { readPart(ctx, servers, topic, generation, part, read) })
			}
		}
	}()
	leave := func() {
		check(group.Close())
		<-done
	}
	return members.Member{Counts: counts, Read: read, Leave: leave}
}

// Reads a partition of a generation until that ends.
func readPart(
	ctx context.Context, servers, topic string, generation *kafka.Generation, part kafka.PartitionAssignment, read chan<- string,
) {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{servers}, Topic: topic, Partition: part.ID, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	check(reader.SetOffset(part.Offset))
	for {
		message, err := reader.ReadMessage(ctx)
		if ctx.Err() != nil || errors.Is(err, kafka.ErrGenerationEnded) {
			return
		}
		check(err)
		check(generation.CommitOffsets(map[string]map[int]int64{topic: {part.ID: message.Offset + 1}}))
		read <- string(message.Value)
	}
}
