// The gateway's interface as one would write it in Go: net/http and franz-go.
//
// KAFKA_BOOTSTRAP_SERVERS and PORT in the environment, as for the gateway. It keeps the states of as many requests.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/twmb/franz-go/pkg/kgo"
)

const kept = 100_000

type answer struct {
	RequestID string `json:"requestId"`
	State     string `json:"state,omitempty"`
	EventID   string `json:"eventId,omitempty"`
	Mode      string `json:"mode,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
	Timestamp int64  `json:"timestamp,omitempty"`
	Error     string `json:"error,omitempty"`
}

type statuses struct {
	sync.Mutex
	known map[string]answer
	order []string
	next  int
}

func (s *statuses) begin(id string) {
	s.Lock()
	defer s.Unlock()
	if len(s.order) < kept {
		s.order = append(s.order, id)
	} else {
		delete(s.known, s.order[s.next])
		s.order[s.next], s.next = id, (s.next+1)%kept
	}
	s.known[id] = answer{RequestID: id, State: "PENDING"}
}

func (s *statuses) set(id string, a answer) {
	s.Lock()
	defer s.Unlock()
	if _, known := s.known[id]; known {
		s.known[id] = a
	}
}

func outcome(id string, r *kgo.Record, err error) answer {
	if err != nil {
		return answer{RequestID: id, State: "ERROR", Error: err.Error()}
	}
	return answer{RequestID: id, State: "OK", Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: r.Timestamp.UnixMilli()}
}

func write(w http.ResponseWriter, status int, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(a)
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Getenv("KAFKA_BOOTSTRAP_SERVERS")), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1<<18), kgo.MaxBufferedBytes(32<<20))
	if err != nil {
		log.Fatal(err)
	}
	known := &statuses{known: map[string]answer{}}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	http.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, r *http.Request) {
		known.Lock()
		a, found := known.known[r.URL.Query().Get("requestId")]
		known.Unlock()
		if !found {
			http.NotFound(w, r)
			return
		}
		write(w, http.StatusOK, a)
	})
	http.HandleFunc("POST /api/v1/send", func(w http.ResponseWriter, r *http.Request) {
		query, raw := r.URL.Query(), make([]byte, 16)
		rand.Read(raw)
		id, event, topic := hex.EncodeToString(raw), query.Get("eventId"), query.Get("topic")
		if topic == "" {
			topic = "bhf-transactions"
		}
		value, _ := json.Marshal(map[string]string{"eventId": event})
		record := &kgo.Record{Topic: topic, Value: value, Headers: []kgo.RecordHeader{{Key: "eventId", Value: []byte(event)}}}
		if key := query.Get("key"); key != "" {
			record.Key = []byte(key)
		}
		if query.Get("sendMode") == "async" {
			known.begin(id)
			client.TryProduce(context.Background(), record, func(r *kgo.Record, err error) { known.set(id, outcome(id, r, err)) })
			w.Header().Set("Location", "/api/v1/status?requestId="+id)
			write(w, http.StatusAccepted, answer{RequestID: id, State: "PENDING", EventID: event, Mode: query.Get("mode"), Topic: topic})
			return
		}
		produced, err := client.ProduceSync(r.Context(), record).First()
		if err != nil {
			write(w, http.StatusServiceUnavailable, answer{RequestID: id, Error: err.Error()})
			return
		}
		a := outcome(id, produced, nil)
		a.State, a.EventID, a.Mode = "", event, query.Get("mode")
		write(w, http.StatusOK, a)
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Getenv("PORT")}
	stop, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		server.Shutdown(context.Background())
		client.Flush(context.Background())
		close(ended)
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		log.Fatal(err)
	}
	<-ended
}
