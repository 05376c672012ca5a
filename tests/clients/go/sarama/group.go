package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"clients/members"
)

// Members of one group, as ../members wants them.
func group(servers, topic string) {
	start := func(read chan<- string) members.Member { return member(servers, topic, read) }
	settings := config()
	settings.Producer.Return.Successes = true
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	producer, err := sarama.NewSyncProducer(strings.Split(servers, ","), settings)
	check(err)
	members.Run(start, func(numbers []int) {
		var messages []*sarama.ProducerMessage
		for _, number := range numbers {
			value := sarama.StringEncoder(strconv.Itoa(number))
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: int32(number % 4), Value: value})
		}
		check(producer.SendMessages(messages))
	})
}

type handler struct {
	topic  string
	counts chan int
	read   chan<- string
}

func (h handler) Setup(session sarama.ConsumerGroupSession) error {
	h.counts <- len(session.Claims()[h.topic])
	return nil
}

func (h handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		session.MarkMessage(message, "")
		session.Commit()
		h.read <- string(message.Value)
	}
	return nil
}

func member(servers, topic string, read chan<- string) members.Member {
	settings := config()
	settings.Consumer.Offsets.Initial = sarama.OffsetOldest
	settings.Consumer.Offsets.AutoCommit.Enable = false
	settings.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	consumer, err := sarama.NewConsumerGroup(strings.Split(servers, ","), "sarama", settings)
	check(err)
	handler := handler{topic: topic, counts: make(chan int, 100), read: read}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			check(consumer.Consume(ctx, []string{topic}, handler))
		}
	}()
	leave := func() {
		cancel()
		<-done
		check(consumer.Close())
	}
	return members.Member{Counts: handler.counts, Read: read, Leave: leave}
}
