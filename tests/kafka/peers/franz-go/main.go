// franz-go under the load of ../../fault/load.rs: main BOOTSTRAP TOPIC CLIENT FIRST AT_LEAST. Sends until standard input ends,
// but at least so many records, and tells every step in the words of ../../fault/client.rs.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	pace = 2
	keys = 100
	// Java's delivery.timeout.ms; franz-go has none of its own.
	deliveryTimeout = 2 * time.Minute
)

func main() {
	topic, client, first, atLeast := os.Args[2], number(3), number(4), number(5)
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The broker's time for a Produce and ours on top of it, 5 s together; for other requests ours alone.
		kgo.ProduceRequestTimeout(4*time.Second),
		kgo.RequestTimeoutOverhead(time.Second),
		kgo.RecordDeliveryTimeout(deliveryTimeout),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
	var end atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		end.Store(true)
	}()
	start := time.Now()
	for i := 0; i < atLeast || !end.Load(); i++ {
		time.Sleep(time.Until(start.Add(time.Duration(i/pace) * time.Millisecond)))
		send(producer, topic, client, first+i)
	}
	if err := producer.Flush(context.Background()); err != nil {
		os.Exit(1)
	}
	producer.Close()
}

func send(producer *kgo.Client, topic string, client, id int) {
	say("sent %d %d", client, id)
	mix := (uint64(client)<<32 | uint64(id)) * 0x9e3779b97f4a7c15
	record := &kgo.Record{
		Topic: topic,
		Key:   fmt.Appendf(nil, "key-%d", id%keys),
		Value: fmt.Appendf(nil, "%d/%d/%s", client, id, strings.Repeat(fmt.Sprintf("%016x", mix), 5)),
	}
	producer.Produce(context.Background(), record, func(record *kgo.Record, err error) {
		told := "unknown"
		if err == nil {
			told = fmt.Sprintf("at %d", record.Offset)
		}
		say("told %d %d %d %s", client, id, record.Partition, told)
	})
}

// say writes a line whole: one write to a pipe is never mixed with another. With nobody to read it, this process ends.
func say(format string, arguments ...any) {
	if _, err := os.Stdout.Write(fmt.Appendf(nil, format+"\n", arguments...)); err != nil {
		os.Exit(1)
	}
}

func number(at int) int {
	n, err := strconv.Atoi(os.Args[at])
	if err != nil {
		fmt.Fprintln(os.Stderr, "franz-go:", err)
		os.Exit(1)
	}
	return n
}
