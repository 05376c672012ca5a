// franz-go as one of the peers that are measured side by side; its idiom is a promise for every record.
//
// Called as every client here, see benches/peers/README.md. TASKS and TOPICS in the environment: how many goroutines
// send, and over how many topics (NAME-0, NAME-1, …) records are spread. RATE: records a second, with latencies printed.
// TRUST: the CA's certificate, for TLS.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type work struct {
	topics  []string
	records int
	keyed   bool
	tasks   int
	rate    int
	values  [][]byte
	keys    [][]byte
}

func main() {
	args := os.Args[1:]
	w := newWork(args)
	client, err := kgo.NewClient(options(args)...)
	check(err)
	defer client.Close()
	ctx := context.Background()
	check(client.Ping(ctx))
	latencies := make([]int64, 0)
	if w.rate > 0 {
		latencies = make([]int64, w.records)
	}
	var ok, failed atomic.Int64
	start := time.Now()
	if w.rate > 0 {
		w.paced(ctx, client, start, latencies, &ok, &failed)
	} else {
		w.flatOut(ctx, client, &ok, &failed)
	}
	check(client.Flush(ctx))
	wall := time.Since(start).Seconds()
	fmt.Printf("franz-go ok=%d err=%d wall=%.3f rate=%.0f/s\n", ok.Load(), failed.Load(), wall, float64(w.records)/wall)
	if w.rate > 0 {
		percentiles(latencies)
	}
}

func newWork(args []string) *work {
	w := &work{records: number(args[2]), keyed: args[7] == "key", tasks: variable("TASKS", 1), rate: variable("RATE", 0)}
	w.topics = []string{args[1]}
	if count := variable("TOPICS", 1); count > 1 {
		w.topics = nil
		for i := range count {
			w.topics = append(w.topics, fmt.Sprintf("%s-%d", args[1], i))
		}
	}
	size := number(args[3])
	x := uint64(88172645463325252)
	for i := range 1024 {
		value := make([]byte, size)
		for j := range value {
			if j%2 == 0 {
				value[j] = byte('a' + j%26)
				continue
			}
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
			value[j] = byte('a' + x%26)
		}
		w.values = append(w.values, value)
		w.keys = append(w.keys, fmt.Appendf(nil, "key-%04d", i))
	}
	return w
}

func options(args []string) []kgo.Opt {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, known := codecs[args[6]]
	if !known {
		log.Fatalf("no codec %s", args[6])
	}
	opts := []kgo.Opt{
		kgo.SeedBrokers(args[0]),
		kgo.ProducerBatchMaxBytes(int32(number(args[4]))),
		kgo.ProducerLinger(time.Duration(number(args[5])) * time.Millisecond),
		kgo.ProducerBatchCompression(codec),
		// As much as buffer.memory is by default elsewhere; its own default counts records, ten thousand.
		kgo.MaxBufferedRecords(1 << 18),
		kgo.MaxBufferedBytes(32 << 20),
	}
	if trust := os.Getenv("TRUST"); trust != "" {
		pem, err := os.ReadFile(trust)
		check(err)
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: roots}))
	}
	return opts
}

func (w *work) record(i int) *kgo.Record {
	record := &kgo.Record{Topic: w.topics[i%len(w.topics)], Value: w.values[i&1023]}
	if w.keyed {
		record.Key = w.keys[i/len(w.topics)&1023]
	}
	return record
}

func (w *work) flatOut(ctx context.Context, client *kgo.Client, ok, failed *atomic.Int64) {
	promise := func(_ *kgo.Record, err error) {
		if err == nil {
			ok.Add(1)
		} else {
			failed.Add(1)
		}
	}
	var senders sync.WaitGroup
	for task := range w.tasks {
		senders.Go(func() {
			for i := task; i < w.records; i += w.tasks {
				client.Produce(ctx, w.record(i), promise)
			}
		})
	}
	senders.Wait()
}

func (w *work) paced(ctx context.Context, client *kgo.Client, start time.Time, latencies []int64, ok, failed *atomic.Int64) {
	for i := range w.records {
		due := start.Add(time.Duration(float64(i) / float64(w.rate) * 1e9))
		time.Sleep(time.Until(due))
		sent := time.Now()
		client.Produce(ctx, w.record(i), func(_ *kgo.Record, err error) {
			latencies[i] = int64(time.Since(sent))
			if err == nil {
				ok.Add(1)
			} else {
				failed.Add(1)
			}
		})
	}
}

func percentiles(latencies []int64) {
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	at := func(p float64) float64 { return float64(latencies[int(p*float64(len(latencies)-1))]) / 1e6 }
	fmt.Printf("  franz-go latency ms p50=%.2f p95=%.2f p99=%.2f p999=%.2f\n", at(0.5), at(0.95), at(0.99), at(0.999))
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	check(err)
	return n
}

func variable(name string, otherwise int) int {
	if text := os.Getenv(name); text != "" {
		return number(text)
	}
	return otherwise
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
