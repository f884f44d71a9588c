// Consumer reads a topic of events from its beginning to where it ends now, decodes each by its header ce_type, and checks
// that the versions of each key follow one another. It is a reader that knows the contracts and nothing else of the service.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func main() {
	brokers := flag.String("brokers", "127.0.0.1:9092", "host:port of Kafka brokers, by commas")
	topic := flag.String("topic", "erx.prescriptions.events.v1", "topic to read")
	tenant := flag.String("tenant", "", "only the events of this tenant; empty: of all")
	asJSON := flag.Bool("json", false, "print each event whole, as a line of JSON")
	seconds := flag.Int("seconds", 60, "give up after so long")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*seconds)*time.Second)
	defer cancel()
	seen := &order{highest: map[string]int64{}}
	err := readTopic(ctx, strings.Split(*brokers, ","), *topic, func(record *kgo.Record) error {
		event, err := decode(record)
		if err != nil {
			return fmt.Errorf("%s/%d@%d: %w", record.Topic, record.Partition, record.Offset, err)
		}
		if *tenant != "" && !strings.HasPrefix(event.Key, *tenant+"/") {
			return nil
		}
		seen.take(event)
		return event.print(*asJSON)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if seen.report() > 0 {
		os.Exit(1)
	}
}

// event is one record of the topic, decoded.
type event struct {
	Key     string `json:"key"`
	Version int64  `json:"version"`
	ID      string `json:"id"`
	Type    string `json:"type"`
	message proto.Message
}

// decode finds the message that ce_type names among those this program was built with, and reads the value as that.
func decode(record *kgo.Record) (*event, error) {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	version, err := strconv.ParseInt(headers["ce_sequence"], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("header ce_sequence: %w", err)
	}
	kind, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(headers["ce_type"]))
	if err != nil {
		return nil, fmt.Errorf("no message %q among the contracts this program was built with: %w", headers["ce_type"], err)
	}
	message := kind.New().Interface()
	if err := proto.Unmarshal(record.Value, message); err != nil {
		return nil, fmt.Errorf("not a %s: %w", headers["ce_type"], err)
	}
	return &event{string(record.Key), version, headers["ce_id"], headers["ce_type"], message}, nil
}

func (e *event) print(asJSON bool) error {
	if !asJSON {
		fmt.Printf("%s version=%d type=%s\n", e.Key, e.Version, e.Type)
		return nil
	}
	shown, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(e.message)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		*event
		Event json.RawMessage `json:"event"`
	}{e, shown})
}

// order knows how far each key has come. What comes twice is counted, what is missing is named.
type order struct {
	highest                map[string]int64
	records, repeats, gaps int
}

func (o *order) take(e *event) {
	o.records++
	known := o.highest[e.Key]
	switch {
	case e.Version <= known:
		o.repeats++
		return
	case e.Version > known+1:
		o.gaps++
		fmt.Fprintf(os.Stderr, "%s: version %d follows %d\n", e.Key, e.Version, known)
	}
	o.highest[e.Key] = e.Version
}

func (o *order) report() int {
	fmt.Fprintf(os.Stderr, "%d records, %d keys, %d repeats, %d gaps\n", o.records, len(o.highest), o.repeats, o.gaps)
	return o.gaps
}
